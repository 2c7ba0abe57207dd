"""The folders of docs/datasets.md, as they stand there, and what recognises their files."""

import re
import shutil
from pathlib import Path

import pytest

from pipeline.annotations.assemble import AvaImport
from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError
from pipeline.project.compose import compose_params
from tests.annotations.sources import write_source

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PAGE = (REPOSITORY / "docs" / "datasets.md").read_text()
THREE = "1: walk\n2: sit\n3: wave\n"


def block(opening: str) -> str:
    """The text of the fenced block of the page that begins with ```opening."""
    found = re.findall(rf"^( *)```{re.escape(opening)}\n(.*?)^ *```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(found) == 1, opening
    indent, text = found[0]
    return "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))


def page_folder(folder: Path, *names: str) -> Path:
    """A folder with the page's videos.csv and some of its files."""
    folder.mkdir(exist_ok=True)
    for name in ("videos.csv", *names):
        (folder / name).write_text(block(f"{name.rpartition('.')[2]} {name}"))
    return folder


def labels(found: AvaImport) -> list[tuple]:
    """(video, timestamp, time, x1, x2, class name) of every row."""
    names = {label.id: label.name for label in found.labels}
    return [
        (row["video_id"], row["timestamp"], row["time_seconds"], row["x1"], row["x2"], names[row["action_id"]])
        for row in found.annotations.to_pylist()
    ]


def statuses(found: AvaImport) -> list[tuple]:
    return [(row["video_id"], row["timestamp"], row["status"]) for row in found.keyframes.to_pylist()]


def refusal(folder: Path, **options) -> str:
    with pytest.raises(InputError) as error:
        import_source(folder, SourceOptions(**{"classes": 3, **options}))
    return str(error.value)


def test_the_pages_cvat_file(tmp_path: Path) -> None:
    found = import_source(page_folder(tmp_path, "street.xml"), SourceOptions(classes=3))
    assert found.problems == []
    # Frame 14 of 44 and frame 44: 29.97 frames a second, keyframes at 0.5, 1.5 and 2.5 s.
    moved = 14 / 44 * 440
    expected = [
        ("street", 0.0, 0.5, pytest.approx((100 + moved) / 1280), pytest.approx((228 + moved) / 1280), "walk"),
        ("street", 1.0, 1.5, 540 / 1280, 668 / 1280, "walk"),
        ("street", 1.0, 1.5, 540 / 1280, 668 / 1280, "wave"),
    ]
    assert labels(found) == expected
    assert statuses(found) == [("street", 0.0, "annotated"), ("street", 1.0, "annotated"), ("street", 2.0, "empty")]
    assert found.timelines.to_pylist() == [
        {"video_id": "kitchen", "split": "train", "first_timestamp": 0.0, "offset_seconds": 0.0},
        {"video_id": "street", "split": "val", "first_timestamp": 0.0, "offset_seconds": 0.5},
    ]
    assert found.told == [
        "street.xml: CVAT for video 1.1: video street, 1 tracks, 29.97 frames per second, 3 keyframes; "
        "actions by action"
    ]
    assert found.summary["formats"] == ["CVAT for video 1.1"]


@pytest.mark.parametrize(("name", "times"), [("kitchen_via3.csv", (1.48, 2.52)), ("kitchen_via2.csv", (1.48, 1.48))])
def test_the_pages_via_files(tmp_path: Path, name: str, times: tuple[float, float]) -> None:
    folder = page_folder(tmp_path, name)
    (folder / "labelmap.txt").write_text(THREE)
    found = import_source(folder, SourceOptions(classes=3))
    assert found.problems == []
    first, second = times
    assert labels(found) == [
        ("kitchen", first, first, 0.1, 0.3, "sit"),
        ("kitchen", first, first, 0.1, 0.3, "wave"),
        ("kitchen", second, second, 0.5, 0.7, "walk"),
    ]
    if name == "kitchen_via2.csv":
        assert statuses(found) == [("kitchen", 1.48, "annotated"), ("kitchen", 2.48, "empty")]


def test_the_pages_json(tmp_path: Path) -> None:
    folder = page_folder(tmp_path, "actions.json")
    (folder / "labelmap.txt").write_text(THREE)
    found = import_source(folder, SourceOptions(classes=3))
    assert found.problems == []
    assert labels(found) == [("kitchen", 2.0, 2.0, 0.1, 0.3, "walk"), ("kitchen", 2.0, 2.0, 0.1, 0.3, "wave")]
    assert statuses(found) == [("kitchen", 2.0, "annotated"), ("kitchen", 3.0, "empty")]
    assert found.annotations["person_id"].to_pylist() == [0, 0]


def test_the_pages_label_studio_file(tmp_path: Path) -> None:
    found = import_source(page_folder(tmp_path, "export.json"), SourceOptions(classes=3))
    assert found.problems == []
    expected = [("kitchen", second, second + 0.5, "walk") for second in (0.0, 1.0)]
    assert [(video, stamp, time, name) for video, stamp, time, _, _, name in labels(found)] == expected
    assert labels(found)[0][3] == pytest.approx(0.1 + 0.3 * 11 / 49)
    assert [status for _, _, status in statuses(found)] == ["annotated", "annotated", "empty", "empty"]


def test_formats_stand_side_by_side_and_other_files_are_named(tmp_path: Path) -> None:
    folder = page_folder(tmp_path, "street.xml", "kitchen_via3.csv")
    (folder / "notes.csv").write_text("what,who\n")
    (folder / "other.json").write_text("{}")
    (folder / "train_det_boxes.csv").write_text("kitchen,1,0.1,0.1,0.2,0.2,,0.9\n")
    found = import_source(folder, SourceOptions(classes=3))
    assert found.timelines["video_id"].to_pylist() == ["kitchen", "street"]
    assert found.summary["formats"] == ["CVAT for video 1.1", "VIA 3 CSV"]
    assert found.told[-3:] == [
        "not read: notes.csv: no AVA CSV, and no CSV of VIA 2 or 3 (its first row is 'what,who')",
        "not read: other.json: no COCO-like JSON with images and annotations",
        "not read: train_det_boxes.csv: person boxes belong into dataset.proposals",
    ]


def test_an_ava_csv_of_any_name(tmp_path: Path) -> None:
    source = write_source(tmp_path, mine="a,902,0.1,0.2,0.3,0.4,1\nb,902\n", split="video_id,split\na,val\nb,train\n")
    found = import_source(source, SourceOptions(classes=12))
    assert found.told == ["mine.csv: AVA CSV: 2 videos"]
    assert found.timelines["split"].to_pylist() == ["val", "train"]
    assert found.keyframes["split"].to_pylist() == ["val", "train"]


def test_avas_files_as_published_give_the_same_tables(tmp_path: Path, real: Path) -> None:
    sample = (real / "ava_dataset/ava_sample.csv").read_text()
    excluded = (real / "ava_dataset/ava_excluded_timestamps_sample.csv").read_text()
    pbtxt = (real / "label_maps/ava_action_list_v2.1_for_activitynet_2018.pbtxt").read_text()
    names = {
        "short": ("train.csv", "excluded_train.csv", "labelmap.pbtxt"),
        "published": (
            "ava_train_v2.2.csv",
            "ava_train_excluded_timestamps_v2.2.csv",
            "ava_action_list_v2.2_for_activitynet_2019.pbtxt",
        ),
    }
    found = {}
    for kind, files in names.items():
        folder = tmp_path / kind
        folder.mkdir()
        for name, text in zip(files, (sample, excluded, pbtxt), strict=True):
            (folder / name).write_text(text)
        found[kind] = import_source(folder, SourceOptions(classes=80))
    (tmp_path / "published" / "ava_action_list_v2.2.pbtxt").write_text('item { name: "x" id: 1 }')
    (tmp_path / "published" / "ava_test_excluded_timestamps_v2.2.csv").write_text("elsewhere,902\n")
    (tmp_path / "published" / "ava_included_timestamps_v2.2.txt").write_text("902\n")
    found["beside"] = import_source(tmp_path / "published", SourceOptions(classes=80))
    for each in found.values():
        assert each.annotations.equals(found["short"].annotations)
        assert each.keyframes.equals(found["short"].keyframes)
        assert each.timelines.equals(found["short"].timelines)
        assert each.summary == found["short"].summary
        assert len(each.labels) == 60


def test_two_files_for_one_thing_are_refused(tmp_path: Path) -> None:
    row = "a,902,0.1,0.2,0.3,0.4,1\n"
    source = write_source(tmp_path, train=row, **{"ava_train_v2.1": row})
    assert (
        refusal(source, classes=12) == f"{source}: found ava_train_v2.1.csv and train.csv, expected one file for train"
    )
    (source / "train.csv").unlink()
    (source / "label_map.txt").write_text("1: a\n")
    assert refusal(source) == f"{source}: found label_map.txt and labelmap.pbtxt, expected one label map"


def test_a_video_in_two_files_is_refused(tmp_path: Path) -> None:
    folder = page_folder(tmp_path, "kitchen_via2.csv", "kitchen_via3.csv")
    (folder / "labelmap.txt").write_text(THREE)
    assert refusal(folder) == (
        f"{folder}: video kitchen is in kitchen_via2.csv and in kitchen_via3.csv; expected each video in one file"
    )


def test_a_folder_with_nothing_to_read(tmp_path: Path) -> None:
    assert refusal(tmp_path / "x") == f"{tmp_path / 'x'}: no such folder of annotations"
    nothing = f"{tmp_path}: nothing in it is read as annotations: there is no file that could be (docs/datasets.md has "
    assert refusal(tmp_path) == f"{nothing}the formats)"
    write_source(tmp_path)
    assert refusal(tmp_path, classes=12) == f"{nothing}the formats)"


def test_annotations_that_name_no_classes_need_a_label_map(tmp_path: Path) -> None:
    folder = page_folder(tmp_path, "kitchen_via2.csv")
    assert refusal(folder) == (
        f"{folder}: found kitchen_via2.csv and no names of classes: expected a label map (labelmap.pbtxt)"
    )


@pytest.mark.parametrize("dataset", ["custom", "multisports", "ava_kinetics"])
def test_each_source_has_a_configuration(dataset: str) -> None:
    assert compose_params([f"dataset={dataset}"], REPOSITORY / "conf")["dataset"]["name"] == dataset


def test_the_pages_choice_of_classes_composes(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")
    text = (tmp_path / "conf/dataset/custom.yaml").read_text() + "\n"
    chosen = block("yaml").replace("dataset:\n", "").replace("  classes: 2\n", "").rstrip()
    (tmp_path / "conf/dataset/mine.yaml").write_text(text.replace("  classes: 80\n", f"  classes: 2\n{chosen}\n"))
    mine = compose_params(["dataset=mine"], tmp_path / "conf")["dataset"]
    assert mine["class_map"] == {"moving": ["walk", "run/jog"], "sitting": "sit"}


@pytest.mark.parametrize(
    ("name", "films"),
    [
        ("actions.json", ("kitchen", "street")),
        ("street.xml", ("street", "kitchen")),
        ("kitchen_via3.csv", ("kitchen", "street")),
        ("kitchen_via2.csv", ("kitchen", "street")),
        ("export.json", ("kitchen", "street")),
    ],
)
def test_the_names_of_files_of_every_format_say_the_split(tmp_path: Path, name: str, films: tuple[str, str]) -> None:
    text = block(f"{name.rpartition('.')[2]} {name}")
    (tmp_path / "videos.csv").write_text("video_id,fps,width,height\nkitchen,25,640,360\nstreet,25,640,360\n")
    (tmp_path / "labelmap.txt").write_text(THREE)
    for file, film in zip(("val", "train"), films, strict=True):
        (tmp_path / f"{file}.{name.rpartition('.')[2]}").write_text(text.replace(films[0], film))
    found = import_source(tmp_path, SourceOptions(classes=3))
    assert {row["video_id"]: row["split"] for row in found.timelines.to_pylist()} == {
        films[0]: "val",
        films[1]: "train",
    }
    (tmp_path / "split.csv").write_text(f"video_id,split\n{films[1]},test\n")  # goes before
    found = import_source(tmp_path, SourceOptions(classes=3))
    assert {row["video_id"]: row["split"] for row in found.timelines.to_pylist()} == {films[0]: "val", films[1]: "test"}


def test_a_name_that_no_terminal_can_take_is_escaped_in_what_is_told(tmp_path: Path) -> None:
    folder = page_folder(tmp_path, "street.xml")
    text = (folder / "street.xml").read_text()
    (folder / "street.xml").write_text(text.replace("<name>action</name>", "<name>act\u202eion</name>"))
    told = import_source(folder, SourceOptions(classes=3)).told
    assert any(line.startswith("street.xml: CVAT for video 1.1: ") and r"act\u202eion" in line for line in told)
    assert all(line.isprintable() for line in told)

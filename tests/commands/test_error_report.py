"""`actionbank errors`: what it prints and writes, of a film whose frames are there and one whose frames are not."""

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from typer.testing import CliRunner

from pipeline.analysis.error_kinds import KINDS
from pipeline.analysis.keyframe_pictures import BOX_COLOUR, PERSON_COLOUR, keyframe_picture
from pipeline.base.command import new_app
from pipeline.base.errors import InputError
from pipeline.base.files import digest_tree
from pipeline.commands.error_report import errors
from pipeline.project.compose import compose_params, params_text
from pipeline.tables.label_map import Label, write_labels
from pipeline.tables.schemas import ANNOTATIONS, DETECTIONS, KEYFRAMES, write_table
from pipeline.video.extract import FrameSettings
from pipeline.video.store import FrameStore
from tests.evaluation.test_report import table
from tests.video.films import write_film
from tests.video.test_extract import extract

REPOSITORY = Path(__file__).resolve().parent.parent.parent
DATA = Path("data/playground_mini")
LEFT, RIGHT = (0.1, 0.1, 0.4, 0.9), (0.6, 0.1, 0.9, 0.9)
APP = new_app()
APP.command()(errors)


def run(*words: str) -> str:
    done = CliRunner().invoke(APP, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return str(done.output)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Film v has frames: he walks and is found, she waves and is not. Film w has none: nobody is there."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(params_text(compose_params(["dataset=playground_mini"], REPOSITORY / "conf")))
    truth = [("v", 1.0, 0.5, *LEFT, 1, 0), ("v", 1.0, 0.5, *RIGHT, 2, 1), ("v", 2.0, 1.5, *LEFT, 1, 0)]
    named = [("v", 1.0, 0.5, "annotated"), ("v", 2.0, 1.5, "annotated"), ("w", 1.0, 0.5, "empty")]
    found = [
        ("v", 1.0, 0.5, *LEFT, 1, 0.9), ("v", 1.0, 0.5, *LEFT, 2, 0.4), ("v", 2.0, 1.5, *LEFT, 1, 0.7),
        ("w", 1.0, 0.5, *RIGHT, 1, 0.8),
    ]  # fmt: skip
    annotations = DATA / "annotations"
    write_table(table(ANNOTATIONS, truth), annotations / "annotations.parquet", ANNOTATIONS)
    keyframes = [(*each[:3], "val", each[3]) for each in named]
    write_table(table(KEYFRAMES, keyframes), annotations / "keyframes.parquet", KEYFRAMES)
    write_labels(annotations / "labels.json", [Label(1, "walk <fast>", "a"), Label(2, "wave", "a")])
    for kind, rows in (("detected", found), ("ground_truth", found[:1])):
        write_table(table(DETECTIONS, rows), Path("results/detections", f"{kind}.parquet"), DETECTIONS)
    extract(write_film(tmp_path / "f.mp4"), DATA / "frames", FrameSettings(15.0, None, 90))
    return tmp_path


def test_what_it_prints_and_writes(project: Path) -> None:
    lines = run().splitlines()
    # walk: found at precisions 1 and 2/3, AP 5/6; wave: its only row is on another person, AP 0.
    assert lines == [
        "results/detections/detected.parquet, split val: mAP 0.4167 at IoU 0.5, 3 labels",
        "                                labels     false  share of the  mAP gained",
        "                             not found      rows      lost mAP   if mended",
        "missed person                        1         -          86%      +0.5000",
        "badly placed box                     0         0           0%      +0.0000",
        "wrong class                          0         1           0%      +0.0000",
        "badly placed, wrong class            -         0           0%      +0.0000",
        "second box                           -         0           0%      +0.0000",
        "nobody there                         -         1          14%      +0.0833",
        "the classes that lose most:",
        "  wave: AP 0.000 of 1 labels: missed person 100%",
        "  walk <fast>: AP 0.833 of 2 labels: nobody there 100%",
        "results/errors/index.html: the worst keyframes, 1 of them with a picture",
    ]
    folder = Path("results/errors")
    found = json.loads((folder / "errors.json").read_text())
    assert (found["map"], found["labels"]) == (pytest.approx(5 / 12), 3)
    assert list(found["kinds"]) == sorted(KINDS)
    assert found["kinds"]["missed"] == {
        "labels_not_found": 1, "false_rows": 0, "share": pytest.approx(6 / 7), "map_gain": 0.5,
    }  # fmt: skip
    with (folder / "per_class.csv").open() as file:
        walk, wave = csv.DictReader(file)
    assert (walk["class"], walk["false_background"], wave["not_found_missed"]) == ("walk <fast>", "1", "1")
    with (folder / "keyframes.csv").open() as file:
        rows = [list(row.values()) for row in csv.DictReader(file)]
    assert [row[:2] for row in rows] == [["v", "1.0"], ["w", "1.0"]]
    assert [float(row[3]) for row in rows] == pytest.approx([1 / 2, 1 / 12])
    with (folder / "confusions.csv").open() as file:
        pairs = [(row["class"], row["other"], row["other_above"], row["examples"]) for row in csv.DictReader(file)]
    assert pairs == [("walk <fast>", "wave", "0", "2")]
    assert digest_tree(folder) == (run(), digest_tree(folder))[1]


class Page(HTMLParser):
    """Tags, and what they refer to."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_has_the_learning_curves_of_its_trainings(project: Path) -> None:
    run()
    assert "<svg" not in Path("results/errors/index.html").read_text()
    Path("results/head").mkdir()
    Path("results/head/epochs.tsv").write_text("epoch\tlr\tloss\n1\t0.1\t0.75\n2\t0.1\t0.5\n")
    Path("results/head/validation.tsv").write_text("epoch\tmap\n2\t0.4167\n")
    digest = (run(), digest_tree(Path("results/errors")))[1]
    page = Page()
    page.feed(Path("results/errors/index.html").read_text())
    assert page.opened.count("svg") == 3
    assert digest_tree(Path("results/errors")) == (run(), digest)[1]
    run("--detections", "results/detections/ground_truth.parquet")
    assert "<svg" not in Path("results/errors/index.html").read_text(), "they may be of another training"


def test_the_page_refers_to_its_own_pictures_alone(project: Path) -> None:
    run("--worst", "1", "--out", "elsewhere")
    page = Page()
    text = Path("elsewhere/index.html").read_text()
    page.feed(text)
    assert page.references == ["keyframes/001.jpg"]
    assert not {"script", "link", "fast"} & set(page.opened)
    assert 'P2: <span class="bad">wave (not found: missed person)</span>' in text
    assert 'D1: <span class="good">walk &lt;fast&gt; 0.90</span>' in text
    picture = simplejpeg.decode_jpeg((Path("elsewhere") / page.references[0]).read_bytes())
    assert picture.shape == (384, 576, 3)
    assert [path.name for path in Path("elsewhere").iterdir() if path.name == "results"] == []


def test_no_pictures(project: Path) -> None:
    assert run("--worst", "0").endswith("the worst keyframes, 0 of them with a picture\n")
    (project / DATA / "frames").rename(project / "moved")
    assert run().endswith(f"0 of them with a picture ({DATA / 'frames'} is not there)\n")


def test_the_other_boxes_and_another_table(project: Path) -> None:
    assert run("--boxes", "ground_truth").startswith("results/detections/ground_truth.parquet, split val: mAP 0.2500")
    Path("results/detections/ground_truth.parquet").rename("mine.parquet")
    assert run("--detections", "mine.parquet").startswith("mine.parquet, split val: mAP 0.2500")


def test_rows_of_other_splits_do_not_count(project: Path) -> None:
    """Also by a protocol that counts detections in keyframes that nothing names."""
    path = Path("params.yaml")
    path.write_text(path.read_text().replace("protocol: official", "protocol: pyslowfast"))
    assert run().startswith("results/detections/detected.parquet, split val: mAP 0.4167")
    rows = [("v", 1.0, 0.5, *LEFT, 1, 0.9), ("train_film", 1.0, 0.5, *LEFT, 1, 0.95)]
    write_table(table(DETECTIONS, rows), Path("both.parquet"), DETECTIONS)
    assert "nobody there                         -         0" in run("--detections", "both.parquet")


def test_what_is_refused(project: Path) -> None:
    with pytest.raises(InputError, match=r"^results/detections/detected\.parquet: has no row of the 0 videos of split "
                                         r"train of data/playground_mini/annotations$"):  # fmt: skip
        run("--split", "train")
    with pytest.raises(InputError, match="no such table"):
        run("--detections", "nowhere.parquet")
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("metric: ava", "metric: multisports"))
    with pytest.raises(InputError, match=r"^evaluation\.metric is multisports, expected ava"):
        run()


def test_boxes_are_drawn_where_they_lie(project: Path) -> None:
    jpeg = keyframe_picture(
        FrameStore(DATA / "frames"), "v", 0.5, persons_xyxy=np.array([LEFT]), boxes_xyxy=np.array([RIGHT, (0, 0, 0, 0)])
    )
    picture = simplejpeg.decode_jpeg(jpeg).astype(int)
    height, width = picture.shape[:2]
    for (x1, y1, _, y2), colour in ((LEFT, PERSON_COLOUR), (RIGHT, BOX_COLOUR)):
        side = picture[round((y1 + 0.3) * height) : round(y2 * height) - 5, round(x1 * width)]
        assert np.abs(side - np.array(colour)).mean() < 60


def test_an_earlier_report_is_replaced_and_nothing_else(project: Path) -> None:
    run("--out", "report", "--worst", "1")
    run("--out", "report", "--worst", "0")
    assert not Path("report/keyframes").exists()
    Path("results/evaluate").mkdir()
    Path("results/evaluate/metrics.json").write_text("{}")
    Path("report/notes.txt").write_text("mine")
    for out, found in (
        ("results", "detections/detected.parquet"), ("results/detections", "detected.parquet"), ("report", "notes.txt")
    ):  # fmt: skip
        before = digest_tree(Path(out))
        with pytest.raises(InputError) as error:
            run("--out", out)
        assert str(error.value) == (
            f"{out}: holds {found}, which this command does not write, so it is not replaced; move it away, or choose "
            "another place"
        )
        assert digest_tree(Path(out)) == before


def test_a_split_in_whose_keyframes_nobody_is_has_only_false_rows(project: Path) -> None:
    write_table(ANNOTATIONS.empty_table(), DATA / "annotations" / "annotations.parquet", ANNOTATIONS)
    keyframes = [(*each, "val", "empty") for each in (("v", 1.0, 0.5), ("v", 2.0, 1.5), ("w", 1.0, 0.5))]
    write_table(table(KEYFRAMES, keyframes), DATA / "annotations" / "keyframes.parquet", KEYFRAMES)
    printed = run("--out", "report")
    assert "split val: mAP none at IoU 0.5, 0 labels" in printed
    assert (project / "report" / "index.html").is_file()


def test_a_split_without_a_keyframe_is_refused(project: Path) -> None:
    with pytest.raises(InputError, match="has no row of the 0 videos of split test"):
        run("--split", "test")

"""What is written is read again to equal content, by our own readers."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.annotations.assemble import AvaImport
from pipeline.annotations.frame_times import frame_times_text
from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError
from pipeline.base.files import check_own
from pipeline.commands.predict import predict
from pipeline.predict.predicted import Predicted, read_predicted
from pipeline.predict.scored_seconds import scored_seconds
from pipeline.predict.to_correct import OWN, Tool, Wish, after_predict, film_clocks, label_map_text, write_corrections
from pipeline.predict.write_predicted import check_out
from pipeline.tables.label_map import Label, read_label_map
from pipeline.tables.schemas import BOX_COLUMNS
from tests.predict.conftest import Trained
from tests.predict.made import LABELS, Person, moved, of_playground, predicted
from tests.video.films import write_film

TOOLS = get_args(Tool)
DECIMALS = {"cvat": 0.005, "via": 0.0011, "ava": 0.0}
"Largest error of a side, in pixels."


@pytest.fixture(scope="module")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predicted]:
    folder = tmp_path_factory.mktemp("playground")
    yield of_playground(folder)
    shutil.rmtree(folder)


def read(out: Path, found: Predicted) -> AvaImport:
    """Read the annotations, with the rates and sizes that `new-dataset` finds in the films."""
    folder = out / "annotations"
    if not (folder / "videos.csv").exists():
        lines = [
            f"{row['video_id']},{row['fps']:.5f},{row['width']},{row['height']}" for row in found.videos.to_pylist()
        ]
        (folder / "videos.csv").write_text("\n".join(["video_id,fps,width,height", *lines, ""]))
    return import_source(folder, SourceOptions(classes=max(label.id for label in found.labels)))


def written(found: Predicted, out: Path, tool: Tool, **more: Any) -> AvaImport:
    write_corrections(found, out, Wish(tool, **more))
    return read(out, found)


def rows(table: pa.Table) -> list[dict[str, Any]]:
    names = ["time_seconds", "action_id", *BOX_COLUMNS]
    return sorted(table.to_pylist(), key=lambda row: (row["video_id"], *(round(row[name], 2) for name in names)))


def assert_equal(found: AvaImport, expected: Predicted, tool: Tool) -> float:
    """Compare the labels of two annotations; returns the largest difference of a side, in pixels."""
    persons = {
        (row["video_id"], row["time_seconds"], *(row[name] for name in BOX_COLUMNS)): row["track_id"]
        for row in expected.persons.to_pylist()
    }
    sizes = {row["video_id"]: (row["width"], row["height"]) for row in expected.videos.to_pylist()}
    thresholds = {label.id: expected.model["thresholds"].get(str(label.id), 2) for label in expected.labels}
    shown = [row for row in rows(expected.detections) if row["score"] >= thresholds[row["action_id"]]]
    got = rows(found.annotations)
    assert found.problems == []
    assert len(got) == len(shown) > 0
    largest = 0.0
    for one, other in zip(got, shown, strict=True):
        assert (one["video_id"], one["action_id"]) == (other["video_id"], other["action_id"])
        frame = 1 / 24 if tool == "cvat" else 0.001
        assert abs(one["time_seconds"] - other["time_seconds"]) <= frame
        key = (other["video_id"], other["time_seconds"], *(other[name] for name in BOX_COLUMNS))
        assert one["person_id"] == persons[key]
        width, height = sizes[one["video_id"]]
        for name, side in zip(BOX_COLUMNS, (width, height, width, height), strict=True):
            largest = max(largest, abs(one[name] - other[name]) * side)
    assert largest <= DECIMALS[tool] + 1e-9
    assert [(label.id, label.name, label.group) for label in found.labels] == [
        (label.id, label.name, label.group) for label in expected.labels
    ]
    return largest


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("later", [0.0, 0.3])
def test_films_of_the_playground_are_read_again(
    playground: Predicted, tmp_path: Path, tool: Tool, later: float
) -> None:
    """At the middles of seconds, as `predict` steps, and at other times."""
    found = moved(playground, later)
    back = written(found, tmp_path / "out", tool)
    assert_equal(back, found, tool)
    seconds = set(zip(*(found.persons[name].to_pylist() for name in ("video_id", "timestamp")), strict=True))
    assert back.summary["rows"] >= len(found.detections)
    assert len(back.keyframes) == len(seconds)  # no second that was not predicted is a keyframe


def full_film(**more: Any) -> Predicted:
    """Two persons in every second of a film of 10 s; one is missing at 3.5, and does nothing at 5.5."""
    one = [Person(n + 0.5, 4, {1: 0.5 + n / 100}, (0.1 + n / 100, 0.2, 0.3, 0.4123)) for n in range(10) if n != 3]
    two = [Person(n + 0.5, 9, {2: 0.9, 4: 0.9} if n != 5 else {2: 0.1}, (0.5, 0.21, 0.7, 1.0)) for n in range(10)]
    return predicted(*one, *two, **more)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(("fps", "frames"), [(25.0, 250), (29.97002997, 300), (12.5, 125)])
def test_persons_who_come_and_go(tmp_path: Path, tool: Tool, fps: float, frames: int) -> None:
    found = full_film(fps=fps, frames=frames)
    back = written(found, tmp_path / "out", tool)
    assert_equal(back, found, tool)
    assert back.keyframes["status"].to_pylist() == ["annotated"] * 10
    if tool == "cvat":
        assert 'frame="' in (tmp_path / "out/annotations/a.xml").read_text()
        assert back.keyframes["timestamp"].to_pylist() == list(range(10))  # joined tracks: middles of seconds


@pytest.mark.parametrize("tool", TOOLS)
def test_a_second_whose_persons_do_nothing_shows_nobody(tmp_path: Path, tool: Tool) -> None:
    found = predicted(Person(0.5, 1, {1: 0.9}), Person(1.5, 1, {1: 0.1}), Person(2.5, 1, {1: 0.9}), frames=75)
    back = written(found, tmp_path / "out", tool)
    assert back.keyframes["status"].to_pylist() == ["annotated", "empty", "annotated"]


@pytest.mark.parametrize(("model", "expected"), [
    ({}, 2), ({"every": 1.0, "at": None}, 3), ({"every": 1.0, "at": 7}, 2), ({"every": 2.0, "at": None}, 2),
])  # fmt: skip
def test_a_second_without_a_box_shows_nobody_where_every_second_was_looked_at(
    tmp_path: Path, model: dict[str, Any], expected: int
) -> None:
    found = predicted(Person(0.5, 1, {1: 0.9}), Person(2.5, 1, {1: 0.9}), frames=75)
    back = written(replace(found, model=found.model | model), tmp_path / "out", "cvat")
    assert len(back.keyframes) == expected
    assert back.keyframes["status"].to_pylist().count("empty") == expected - 2


@pytest.mark.parametrize("tool", TOOLS)
def test_persons_without_a_track_get_ids_behind_those_that_there_are(tmp_path: Path, tool: Tool) -> None:
    found = predicted(
        Person(0.5, 5, {1: 0.9}), Person(0.5, None, {2: 0.9}, (0.5, 0.1, 0.6, 0.2)),
        Person(1.5, None, {2: 0.9}, (0.5, 0.1, 0.6, 0.2)),
    )  # fmt: skip
    back = written(found, tmp_path / "out", tool)
    assert sorted(back.annotations["person_id"].to_pylist()) == [5, 6, 7]


@pytest.mark.parametrize("tool", TOOLS)
def test_the_least_certain_seconds_alone(tmp_path: Path, tool: Tool) -> None:
    sure = [Person(n + 0.5, 4, {1: 0.97}) for n in range(10)]
    unsure = [Person(n + 0.5, 9, {2: 0.26}, (0.5, 0.2, 0.7, 1.0)) for n in (2, 8)]
    back = written(predicted(*sure, *unsure), tmp_path / "out", tool, uncertain=2)
    assert [round(each, 2) for each in back.keyframes["time_seconds"].to_pylist()] == [
        pytest.approx(2.5, abs=0.04), pytest.approx(8.5, abs=0.04),
    ]  # fmt: skip
    assert set(back.keyframes["status"].to_pylist()) == {"annotated"}
    assert back.annotations["action_id"].to_pylist() in ([1, 2, 1, 2], [2, 1, 2, 1])


def test_a_new_track_that_is_left_open_makes_no_other_second_a_keyframe(tmp_path: Path) -> None:
    """As a person adds somebody who was missed, in CVAT's mode of tracks, and does not end the track."""
    found = predicted(*(Person(n + 0.5, 4, {1: 0.5}) for n in range(10)))
    write_corrections(found, tmp_path / "out", Wish("cvat", uncertain=3))
    path = tmp_path / "out/annotations/a.xml"
    track = ElementTree.fromstring(path.read_text()).findall("track")[0]
    frames = [int(box.get("frame", "")) for box in track if box.get("outside") == "0"]
    assert len(frames) == 3
    track.set("id", "11")
    for box in track[1:]:
        track.remove(box)
    track[0].attrib |= {"frame": str(frames[1]), "xbr": "99.00"}
    new = ElementTree.tostring(track, encoding="unicode")
    path.write_text(path.read_text().replace("</annotations>", f"{new}</annotations>"))
    back = read(tmp_path / "out", found)
    assert [round(25 * time) for time in back.keyframes["time_seconds"].to_pylist()] == frames
    persons = sorted(back.annotations.select(["timestamp", "person_id"]).to_pylist(), key=lambda row: [*row.values()])
    assert [row["person_id"] for row in persons] == [4, 4, 11, 4, 11]


@pytest.mark.parametrize("tool", ["cvat", "via"])
def test_an_exclusive_group_is_one_choice(tmp_path: Path, tool: Tool) -> None:
    found = full_film()
    back = written(found, tmp_path / "out", tool, exclusive=["hands"])
    own = replace(found, model=found.model | {"exclusive": ["hands"]})
    assert written(own, tmp_path / "own", tool).annotations == back.annotations
    assert written(own, tmp_path / "none", tool, exclusive=[]).annotations != back.annotations
    # Of wave (0.9 at a threshold of 0.25) and carry (0.9 at 0.8) the first exceeds its threshold by more.
    assert set(back.annotations["action_id"].to_pylist()) == {1, 2}
    assert back.summary["splits"]["train"]["labels_per_class"] == {"1": 9, "2": 9, "4": 0}
    assert back.notices == [] or {each.kind for each in back.notices} == {"without-action"}


def test_a_film_whose_rate_varies_is_counted_by_its_own_times(tmp_path: Path) -> None:
    """Frames 0 to 49 at 25 a second, then 12.5 a second."""
    pts = [*range(50), *(50 + 2 * n for n in range(50))]
    path = write_film(tmp_path / "a.mp4", frames=100, rate=25, pts=pts)
    found = full_film(frames=100, fps=100 / 6)
    kept = pc.less(found.persons["time_seconds"], 6)
    videos = found.videos.set_column(1, found.videos.schema.field("path"), [[str(path)]])
    found = replace(
        found, persons=found.persons.filter(kept), videos=videos,
        detections=found.detections.filter(pc.less(found.detections["time_seconds"], 6)),
    )  # fmt: skip
    clocks, told = film_clocks(found.videos.to_pylist())
    assert told == []
    assert clocks["a"].frame(1.5) == 37
    assert clocks["a"].frame(3.5) == 68
    write_corrections(found, tmp_path / "out", Wish("cvat"))
    (tmp_path / "out/annotations/frame_times.csv").write_text(frame_times_text({"a": clocks["a"].knots}))
    assert_equal(read(tmp_path / "out", found), found, "cvat")


def test_what_is_written_and_said(tmp_path: Path) -> None:
    found = predicted(Person(0.5, 4, {1: 0.97}), Person(1.5, 4, {1: 0.97}))
    out = tmp_path / "out"
    missing = "films/a.mp4: is not here; its frames are counted at 25 a second, and a phone's rate may vary"
    then = f"then actionbank new-dataset NAME --videos DIR --annotations {out}/annotations"
    assert write_corrections(found, out, Wish("cvat")) == [
        missing,
        f"{out}: written: 2 boxes at 2 seconds of 1 film, for cvat",
        f"next: in CVAT, make a task of each film with the labels of {out}/cvat_labels.json (Raw), upload its XML, "
        f"correct it, and export it in place of that in {out}/annotations; {then}",
    ]
    files = ["annotations/a.xml", "annotations/labelmap.pbtxt", "cvat_labels.json", "written.json"]
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == files
    first = 'item {\n  name: "stand"\n  id: 1\n  group: "pose"\n}\n'
    assert (out / "annotations/labelmap.pbtxt").read_text().startswith(first)
    assert [each["name"] for each in json.loads((out / "cvat_labels.json").read_text())[0]["attributes"]] == [
        label.name for label in LABELS
    ]
    with pytest.raises(InputError) as error:
        write_corrections(found, out, Wish("via"))
    assert str(error.value) == f"{out}: is there already, expected another name (--out) or --force"
    csv = f"{out}/annotations/predicted.csv"
    assert write_corrections(found, out, Wish("via", force=True))[1] == (
        f"next: open {out}/via_project.json in VIA 3, correct, and export it over {csv}; {then}"
    )
    files = ["annotations/labelmap.pbtxt", "annotations/predicted.csv", "via_project.json", "written.json"]
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == files
    (out / "annotations/task.zip").touch()
    with pytest.raises(InputError, match=r"holds annotations/task\.zip, which this command does not write"):
        write_corrections(found, out, Wish("ava", force=True))
    other = tmp_path / "other"
    assert write_corrections(found, other, Wish("ava"))[1].startswith(
        f"next: correct {other}/annotations/predicted.csv; then actionbank new-dataset"
    )


def test_a_label_map_keeps_ids_and_names(tmp_path: Path) -> None:
    path = tmp_path / "labelmap.pbtxt"
    labels = [Label(2, 'say "no\\yes" # {x}', "a_b"), Label(7, "carry/hold, (an: object)", "hands")]
    path.write_text(label_map_text(labels))
    assert read_label_map(path) == labels


def test_the_same_prediction_gives_the_same_files(tmp_path: Path) -> None:
    for tool in TOOLS:
        for name in ("one", "two"):
            write_corrections(full_film(), tmp_path / name / tool, Wish(tool, uncertain=4))
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*") if path.is_file()]
    assert len(files) == 12
    assert all((tmp_path / "one" / each).read_bytes() == (tmp_path / "two" / each).read_bytes() for each in files)


def test_what_somebody_corrected_is_not_replaced(tmp_path: Path) -> None:
    found, out = predicted(Person(0.5, 4, {1: 0.97})), tmp_path / "correct-ava"
    write_corrections(found, out, Wish("ava"))
    path = out / "annotations/predicted.csv"
    text = path.read_text()
    path.write_text(text.replace(",1,4", ",2,4"))
    said = f"{path}: was changed since it was written, so it is not replaced; move it away, or choose another place"
    with pytest.raises(InputError) as error:
        write_corrections(found, out, Wish("ava", force=True))
    assert str(error.value) == said
    (tmp_path / "detections.parquet").touch()
    with pytest.raises(InputError) as error:
        check_out(tmp_path, force=True)
    assert str(error.value) == said
    path.write_text(text)
    check_out(tmp_path, force=True)
    write_corrections(found, out, Wish("ava", force=True))


def test_where_nobody_is_nothing_is_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = write_corrections(predicted(), out, Wish("cvat"))
    assert said == [f"{out}: not written: there is nobody in the films, so there is nothing to correct"]
    assert not out.exists()


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    found = predicted(Person(0.5, 4, {1: 0.97}), Person(1.7, 4, {1: 0.97}))
    with pytest.raises(InputError, match="timestamps and times differ by"):
        write_corrections(found, tmp_path / "out", Wish("ava"))
    assert list(tmp_path.iterdir()) == []


def test_the_flags_of_predict(tmp_path: Path) -> None:
    found = predicted(Person(0.5, 4, {1: 0.97}))
    assert list(after_predict(found, tmp_path, actions=None, correct=None)) == []
    assert list(tmp_path.iterdir()) == []
    first, *_, last = after_predict(found, tmp_path, actions=scored_seconds(found), correct="ava")
    assert first == f"{tmp_path}/actions.csv: written: 1 spans of 1 tracks"
    assert last.endswith(f"--annotations {tmp_path}/correct-ava/annotations")
    check_own(tmp_path, ("actions.csv", *(f"correct-*/{each}" for each in OWN)))


def test_what_a_trained_model_predicts_is_read_again(
    trained: Callable[[str], Trained], elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command, with its flags: every second of the film of val, at the middles of its seconds."""
    made = trained("bank")
    predict([str(made.film)], made.folder, Path("out"), threshold=0.3, correct="cvat", workers=1, device="cpu")
    printed = capsys.readouterr().out
    assert "out/actions.csv: written: " in printed
    assert "out/correct-cvat: written: " in printed
    found = read_predicted(Path("out"))
    assert found.model["exclusive"] == []
    back = read(Path("out/correct-cvat"), found)
    assert_equal(back, found, "cvat")
    assert back.keyframes["timestamp"].to_pylist() == list(range(20))  # joined tracks: every second was looked at
    predict(
        [str(made.film)], made.folder, Path("out"), threshold=0.3, correct="ava", force=True, workers=1, device="cpu"
    )
    assert not Path("out/correct-cvat").exists()  # of another run: it would not fit what lies beside it
    assert_equal(read(Path("out/correct-ava"), found), found, "ava")

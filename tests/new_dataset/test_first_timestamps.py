"""Where films begin in the seconds of their rows."""

import json
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.annotations.formats import recognise
from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError
from pipeline.boxes.importing import import_boxes
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.new_dataset.config import write_videos_csv
from pipeline.new_dataset.first_timestamps import Suggested, suggest_first_timestamps

LABELS = 'item { name: "walk" id: 1 }\n'


def csv(stamps: Iterable[float | str], film: str) -> str:
    return "".join(f"{film},{each},0.1,0.1,0.5,0.5,1\n" for each in stamps)


def suggest(folder: Path, durations: dict[str, float], **files: str) -> Suggested:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return suggest_first_timestamps(folder, recognise(folder), durations)


def of_rows(folder: Path, rows: Mapping[str, Iterable[float]], durations: dict[str, float]) -> dict[str, float]:
    return dict(suggest(folder, durations, train_csv="".join(csv(rows[each], each) for each in rows)).first)


@pytest.mark.parametrize(
    ("rows", "durations", "first"),
    [
        ({"a": range(4)}, {"a": 4.0}, {"a": 0}),
        ({"a": range(902, 912)}, {"a": 15.0}, {"a": 900}),  # a short film in AVA's seconds
        ({"a": range(902, 1799)}, {"a": 901.0}, {"a": 900}),
        ({"a": range(902, 1799)}, {"a": 7200.0}, {"a": 0}),  # a whole film of AVA: its rows count its own seconds
        ({"a": range(4), "b": range(902, 906)}, {"a": 5.0, "b": 8.0}, {"a": 0, "b": 900}),
        ({"a": [*range(902, 1799), 5]}, {"a": 901.0}, {"a": 900}),  # one wrong row
        # A film with a few late rows is as the others are; one that is missing too.
        ({"a": [902], "b": range(902, 1799)}, {"a": 905.0, "b": 901.0}, {"a": 900, "b": 900}),
        ({"a": [950], "b": range(4)}, {"b": 5.0}, {"a": 0, "b": 0}),
        ({"a": [950]}, {}, {"a": 900}),
        ({"a": [2]}, {}, {"a": 0}),
        ({"a": range(300, 310), "b": range(902, 906)}, {"a": 20.0, "b": 8.0}, {"a": 0, "b": 900}),
    ],
)
def test_what_rows_and_lengths_suggest(
    tmp_path: Path, rows: Mapping[str, Iterable[float]], durations: dict[str, float], first: dict[str, float]
) -> None:
    assert of_rows(tmp_path, rows, durations) == first


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    begins=st.dictionaries(st.sampled_from("abcd"), st.sampled_from([0, 900]), min_size=1),
    length=st.integers(3, 800),
    data=st.data(),
)
def test_films_of_either_kind_are_told_apart(
    tmp_path: Path, begins: dict[str, int], length: int, data: st.DataObject
) -> None:
    """Whatever seconds of a film shorter than 900 s are annotated."""
    seconds = st.lists(st.integers(0, length), min_size=1, max_size=5)
    rows = {each: [value + begins[each] for value in data.draw(seconds)] for each in begins}
    assert of_rows(tmp_path, rows, dict.fromkeys(begins, float(length))) == begins


def test_what_is_said(tmp_path: Path) -> None:
    films = dict.fromkeys("abcde", 60.0)
    text = "".join(csv(range(1, 61), each) for each in "abcd") + csv(range(300, 305), "e")
    found = suggest(tmp_path, films, train_csv=text)
    assert found.needed
    assert found.told == [
        "first_timestamp 0 (the second at which a film begins) fits the rows of 4 films (a, b, c, ...), which lie from "
        "1 to 60",
        "the last row of 4 films (a, b, c, ...) lies at the end of its film, where no frame is, and none at 0: if they "
        "count seconds from 1, set first_timestamp to 1 there",
        "the rows of 1 film (e) fit neither 0 nor 900: set first_timestamp in videos.csv to the second of the rows at "
        "which the film begins",
    ]


def test_films_that_no_first_timestamp_fits_are_named_once(tmp_path: Path) -> None:
    found = suggest(tmp_path, dict.fromkeys("abcd", 20.0), train_csv="".join(csv(range(100, 120), x) for x in "abcd"))
    assert found.told == [
        "the rows of 4 films (a, b, c, ...) fit neither 0 nor 900: set first_timestamp in videos.csv to the second of "
        "the rows at which the film begins"
    ]


@pytest.mark.parametrize(
    ("stamps", "of_frames"),
    [
        (range(476), True),
        (range(1, 501), True),
        (range(100, 120), False),  # a cut of the film, by its seconds
        (range(600), False),  # more frames than there are
        (range(60), False),
        (range(902, 921), False),
    ],
)
def test_numbers_of_frames_are_told(tmp_path: Path, stamps: range, of_frames: bool) -> None:
    tmp_path.joinpath("train.csv").write_text(csv(stamps, "a"))
    found = suggest_first_timestamps(tmp_path, recognise(tmp_path), {"a": 20.0}, {"a": 25.0})
    line = (
        "the rows of 1 film (a) reach far beyond the film, and fit it as numbers of frames: if they are, set "
        "dataset.timestamps: frames (the first frame is 1; fps stands in videos.csv)"
    )
    assert (found.told == [line]) == of_frames
    assert (line in found.told) == of_frames


def image(number: int, **keys: object) -> dict[str, object]:
    return {"id": number, "width": 10, "height": 10, **keys}


def test_coco_by_movie_and_by_folders_of_frames(tmp_path: Path) -> None:
    """Without videos.csv COCO begins at 900 where no image of the file is earlier, which is wrong for a mixed file."""
    images = [image(1, movie="a", timestamp=3), image(2, file_name="x/b/0903.jpg"), image(3, file_name="frame_1.png")]
    content = json.dumps({"images": images, "annotations": []})
    found = suggest(tmp_path, {"a": 5.0, "b": 5.0}, rows_json=content)
    assert (dict(found.first), found.needed) == ({"a": 0, "b": 900}, True)
    late = json.dumps({"images": [image(1, movie="a", timestamp=950)], "annotations": []})
    found = suggest(tmp_path, {"a": 1000.0}, rows_json=late)  # a long film, annotated late
    assert (dict(found.first), found.needed) == ({"a": 0}, True)


def test_formats_that_tell_it_themselves(tmp_path: Path) -> None:
    (tmp_path / "kinetics").mkdir()
    (tmp_path / "kinetics/kinetics_train_v1.0.csv").write_text("abc,0017,0.1,0.2,0.6,0.9,1\n")
    assert suggest_first_timestamps(tmp_path / "kinetics", recognise(tmp_path / "kinetics"), {}).first == {}
    frames = csv(range(1, 50), "sport/v_x_c001.mp4")
    assert suggest(tmp_path / "frames", {}, train_csv=frames).first == {}
    with pytest.raises(InputError, match=r"expected dataset\.timestamps: frames, or dataset.timestamps: seconds"):
        suggest(tmp_path / "either", {}, train_csv=csv(range(1, 5), "x/y.mp4"))
    ticked = suggest(tmp_path / "files", {"a": 4.0}, train_csv=csv(range(4), "clips/a.mp4"))
    assert dict(ticked.first) == {"a": 0}


def film(seconds: float) -> ProbedFilm:
    return ProbedFilm(duration_seconds=seconds, fps=25.0, width=64, height=48)


def write(folder: Path, train: str, val: str, **films: ProbedFilm) -> str:
    folder.mkdir()
    (folder / "labelmap.pbtxt").write_text(LABELS)
    (folder / "train.csv").write_text(train)
    (folder / "val.csv").write_text(val)
    return write_videos_csv(folder, films)


def test_a_mixed_set_is_written_and_read_by_both_imports(tmp_path: Path) -> None:
    """Films from 0 and from 900, one that is missing, one that nobody annotated; boxes by the same timestamps."""
    folder, boxes = tmp_path / "annotations", tmp_path / "boxes"
    told = write(
        folder, csv(range(4), "a") + csv(["0902"], "c"), csv(["0902", "0903"], "b"),
        a=film(5), b=film(5), d=film(5), e=ProbedFilm(found="0 bytes"),
    )  # fmt: skip
    assert told.splitlines() == [
        f"{folder}/videos.csv: written, with frame rate and size of 3 films; its column split may be filled in",
        f"{folder}: first_timestamp 0 (the second at which a film begins) fits the rows of 1 film (a), which lie from "
        f"0 "
        "to 3",
        f"{folder}: first_timestamp 900 (the second at which a film begins) fits the rows of 2 films (b, c), which lie "
        "from 902 to 903",
    ]
    assert (folder / "videos.csv").read_text().splitlines() == [
        "video_id,split,first_timestamp,fps,width,height",
        "a,,0,25,64,48",
        "b,,900,25,64,48",
        "d,,900,25,64,48",
        "c,,900,,,",
    ]
    found = import_source(folder, SourceOptions(classes=1))
    assert found.problems == []
    times = {(row["video_id"], row["timestamp"]): row["time_seconds"] for row in found.annotations.to_pylist()}
    assert times == {
        ("a", 0): 0, ("a", 1): 1, ("a", 2): 2, ("a", 3): 3, ("b", 902): 2, ("b", 903): 3, ("c", 902): 2
    }  # fmt: skip
    boxes.mkdir()
    values = {"a,0003": np.array([[0.1, 0.1, 0.5, 0.5, 0.9]]), "b,0902": np.array([[0.1, 0.1, 0.5, 0.5, 0.9]])}
    (boxes / "boxes.pkl").write_bytes(pickle.dumps(values))
    rows = import_boxes(boxes, found.timelines, min_score=0.05).boxes.to_pylist()
    assert [(row["video_id"], row["time_seconds"]) for row in rows] == [("a", 3.0), ("b", 2.0)]


def test_what_the_import_takes_anyway_is_said_and_not_written(tmp_path: Path) -> None:
    folder = tmp_path / "annotations"
    told = write(folder, csv(["0902"], "a"), csv(["0903"], "b"), a=film(5), b=film(5))
    assert told == (
        f"{folder}: first_timestamp 900 (the second at which a film begins) fits the rows of 2 films (a, b), which lie "
        "from 902 to 903"
    )
    assert not (folder / "videos.csv").exists()

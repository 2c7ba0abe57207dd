import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import InputError
from pipeline.boxes.formats_of_boxes import read_box_files
from pipeline.boxes.proposals import MULTISPORTS_PICKLE, PROPOSALS_PICKLE
from pipeline.tables.csv_rows import VIDEO_ID_EXPECTED
from tests.boxes.files import good, read_csv, read_pickle, told

BOX = [0.1, 0.2, 0.3, 0.4]


def test_a_pickle_of_arrays_with_and_without_scores(tmp_path: Path) -> None:
    rows = read_pickle(
        tmp_path,
        {
            "v1,0902": np.array([[*BOX, 0.5], [0, 0, 1, 1, 0.25]]),
            "v2,0903": np.array([BOX], np.float32),
            "a/b-c,903.25": [[*BOX, 1]],
            "v3,1": np.zeros((0, 5)),
            "v3,2": [],
        },
    )
    assert rows.format == PROPOSALS_PICKLE
    assert told(rows) == []
    assert good(rows) == [
        ("v1", 902.0, *BOX, 0.5),
        ("v1", 902.0, 0.0, 0.0, 1.0, 1.0, 0.25),
        ("v2", 903.0, *np.array(BOX, np.float32).astype(float).tolist(), 1.0),
        ("a/b-c", 903.25, *BOX, 1.0),
    ]
    assert rows.video_ids.filter(rows.empty).to_pylist() == ["v3", "v3"]
    assert rows.timestamp[rows.empty].tolist() == [1.0, 2.0]


ID = f"expected {VIDEO_ID_EXPECTED}"
BAD_KEYS = [
    ({"v1": np.zeros((1, 5))}, "key 'v1': found no number after the last comma, expected 'video_id,timestamp'"),
    ({"v1,x": np.zeros((1, 5))}, "key 'v1,x': found no number after the last comma, expected 'video_id,timestamp'"),
    ({3: np.zeros((1, 5))}, "key 'of type int': found no number after the last comma, expected 'video_id,timestamp'"),
    ({"../v,1": []}, "key '../v,1': found video id '../v', " + ID),
    ({",1": []}, "key ',1': found no video id, " + ID),
    ({"v,1": np.zeros(5)}, "key 'v,1': found an array of shape (5,), expected an array (N, 5) or (N, 4)"),
    ({"v,1": np.zeros((2, 6))}, "key 'v,1': found an array of shape (2, 6), expected an array (N, 5) or (N, 4)"),
    ({"v,1": np.zeros((1, 5), bool)}, "key 'v,1': found values of type bool, expected an array (N, 5) or (N, 4)"),
    ({"v,1": [["0.1"] * 5]}, "key 'v,1': found values of type <U3, expected an array (N, 5) or (N, 4)"),
    ({"v,1": [BOX, [1]]}, "key 'v,1': found rows of different lengths, expected an array (N, 5) or (N, 4)"),
    ({"v,1": {"boxes": []}}, "key 'v,1': found a dict, expected an array (N, 5) or (N, 4)"),
    ({"v,1": None}, "key 'v,1': found a NoneType, expected an array (N, 5) or (N, 4)"),
]


@pytest.mark.parametrize(("content", "message"), BAD_KEYS, ids=[message for _, message in BAD_KEYS])
def test_a_bad_key_is_told_and_nothing_else_is_lost(tmp_path: Path, content: dict, message: str) -> None:
    rows = read_pickle(tmp_path, {"good,0902": np.array([[*BOX, 0.5]]), **content})
    assert told(rows) == [f"boxes.pkl: {message}"]
    assert good(rows) == [("good", 902.0, *BOX, 0.5)]
    assert len(rows) == 1


SCORE = "expected a number from 0 to 1"
RANGE = "expected coordinates from 0 to 1, as shares of the frame's width and height"
BAD_BOXES = [
    ([0.1, np.nan, 0.3, 0.4, 0.5], "found y1 nan, expected a finite number"),
    ([0.1, 0.2, np.inf, 0.4, 0.5], "found x2 inf, expected a finite number"),
    ([10, 20, 30, 40, 0.5], f"found box 10 20 30 40, {RANGE}"),
    ([0.3, 0.2, 0.1, 0.4, 0.5], "found box 0.3 0.2 0.1 0.4, expected x1 < x2 and y1 < y2"),
    ([0.1, 0.2, 0.1, 0.4, 0.5], "found box 0.1 0.2 0.1 0.4, expected x1 < x2 and y1 < y2"),
    ([*BOX, 1.5], f"found score 1.5, {SCORE}"),
    ([*BOX, -0.25], f"found score -0.25, {SCORE}"),
    ([*BOX, np.nan], f"found score nan, {SCORE}"),
]


@pytest.mark.parametrize(("box", "message"), BAD_BOXES, ids=[message for _, message in BAD_BOXES])
def test_a_bad_box_is_told_in_both_formats(tmp_path: Path, box: list[float], message: str) -> None:
    rows = read_pickle(tmp_path, {"e,1": [], "v,0902": np.array([[*BOX, 0.5], box, [*BOX, 0.25]])})
    assert told(rows) == [f"boxes.pkl: key 'v,0902', box 2: {message}"]
    assert [row[-1] for row in good(rows)] == [0.5, 0.25]
    lines = [",".join(["v,0902", *map(str, each[:4]), "", str(each[4])]) for each in ([*BOX, 0.5], box)]
    (tmp_path / "boxes.pkl").unlink()
    rows = read_csv(tmp_path, "\n".join(lines))
    as_text = message
    if "nan" in message or "inf" in message or "score" in message:
        name, value = message.removeprefix("found ").split(",")[0].split(" ")
        as_text = message.replace(f"{name} {value}", f"{name} '{value}'", 1)
    assert told(rows) == [f"boxes.csv: row 2: {as_text}"]
    assert good(rows) == [("v", 902.0, *BOX, 0.5)]


def test_a_pickle_that_is_no_dict_of_keyframes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read_pickle(tmp_path, "v,902")
    assert str(error.value) == (
        f"{tmp_path / 'boxes.pkl'}: holds a str, expected a dict 'video_id,timestamp' -> array (N, 5) of "
        "x1, y1, x2, y2, score, or (N, 4), or Detectron's all_boxes"
    )


def test_one_array_under_many_keys_is_refused(tmp_path: Path) -> None:
    array = np.zeros((1000, 5))
    with pytest.raises(InputError, match=r"boxes\.pkl: holds more boxes than \d+ bytes can: arrays are repeated"):
        read_pickle(tmp_path, {f"v,{second}": array for second in range(1000)})


def test_boxes_without_scores_are_said_to_be_of_score_one(tmp_path: Path) -> None:
    """mmaction2 #652: proposals of four columns ended that program with an index error in the loader."""
    rows = read_pickle(tmp_path, {"v,0902": np.array([BOX, BOX]), "v,0903": np.array([[*BOX, 0.5]])})
    assert told(rows) == []
    assert [row[-1] for row in good(rows)] == [1.0, 1.0, 0.5]
    assert rows.note == "2 boxes have no score column: their score is 1"


def test_proposals_of_clips_count_frames_as_multisports_does(tmp_path: Path) -> None:
    content = {"sport/v_x_c001.mp4,0001": np.array([[*BOX, 0.5]]), "sport/v_x_c001.mp4,0377": np.zeros((0, 5))}
    rows = read_pickle(tmp_path, content)
    assert rows.format == MULTISPORTS_PICKLE
    assert good(rows) == [("v_x_c001", 0.0, *BOX, 0.5)]
    assert rows.timestamp.tolist() == [0.0, 15.04]


VALUES = st.one_of(
    st.none(), st.integers(), st.floats(), st.text(max_size=3), st.lists(st.lists(st.floats(), max_size=6), max_size=3)
)


@settings(deadline=None, max_examples=60)
@given(content=st.dictionaries(st.one_of(st.text(max_size=6), st.integers(), st.just("v,902")), VALUES, max_size=4))
def test_any_dict_is_read_or_told(scratch: Path, content: dict) -> None:
    rows = read_pickle(scratch, content)
    for row in good(rows):
        assert all(-1e-6 <= value <= 1 + 1e-6 for value in row[2:])
        assert row[2] < row[4]
        assert row[3] < row[5]
    empty_keys = sum(rows.empty)
    assert len(rows.key_problems) + empty_keys + len({w for w in range(len(rows)) if not rows.empty[w]}) >= len(content)


def test_the_real_samples(real: Path, tmp_path: Path) -> None:
    shutil.copy(real / "ava_dataset/ava_proposals_sample.pkl", tmp_path / "a")
    shutil.copy(real / "multisports_dataset/multisports_proposals_sample.pkl", tmp_path / "b")
    files, problems, _ = read_box_files(tmp_path)
    assert problems == []
    assert files["a"].format == PROPOSALS_PICKLE
    assert told(files["a"]) == told(files["b"]) == []
    assert good(files["a"])[0] == ("0f39OWEqJ24", 902.0, 0.011, 0.157, 0.655, 0.983, 0.998163)
    assert len(good(files["a"])) == 5
    assert files["b"].format == MULTISPORTS_PICKLE
    assert good(files["b"])[0][:2] == ("v_aqMgwPExjD0_c001", 15.04)

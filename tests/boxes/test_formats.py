import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.boxes.formats import PROPOSALS_PICKLE, SCORED_CSV, BoxRows, read_proposals_pickle, read_scored_csv
from pipeline.errors import InputError

BOX = [0.1, 0.2, 0.3, 0.4]


def read_pickle(folder: Path, content: Any) -> BoxRows:
    path = folder / "boxes.pkl"
    path.write_bytes(pickle.dumps(content))
    return read_proposals_pickle(path)


def read_csv(folder: Path, text: str) -> BoxRows:
    path = folder / "boxes.csv"
    path.write_text(text)
    return read_scored_csv(path)


def good(rows: BoxRows) -> list[tuple]:
    kept = np.flatnonzero(~rows.faults.bad)
    return [
        (rows.video_ids[i].as_py(), rows.timestamp[i].item(), *rows.boxes_xyxy[i].tolist(), rows.score[i].item())
        for i in kept.tolist()
        if not rows.empty[i]
    ]


def told(rows: BoxRows) -> list[str]:
    return list(map(str, [*rows.key_problems, *rows.faults.problems()]))


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


ID = "expected an id of letters, digits, '_', '-' and '.'"
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


SCORE = "expected a number from 0 to 1 (in an annotation file this column is the person id)"
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
    rows = read_csv(tmp_path, "\n".join(lines))
    as_text = message
    if "nan" in message or "inf" in message or "score" in message:
        name, value = message.removeprefix("found ").split(",")[0].split(" ")
        as_text = message.replace(f"{name} {value}", f"{name} '{value}'", 1)
    assert told(rows) == [f"boxes.csv: row 2: {as_text}"]
    assert good(rows) == [("v", 902.0, *BOX, 0.5)]


def test_a_pickle_that_is_no_dict_of_keyframes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read_pickle(tmp_path, [1, 2])
    assert str(error.value) == (
        f"{tmp_path / 'boxes.pkl'}: holds a list, expected a dict 'video_id,timestamp' -> array (N, 5) of "
        "x1, y1, x2, y2, score, or (N, 4)"
    )


def test_one_array_under_many_keys_is_refused(tmp_path: Path) -> None:
    array = np.zeros((1000, 5))
    with pytest.raises(InputError, match=r"boxes\.pkl: holds more boxes than \d+ bytes can: arrays are repeated"):
        read_pickle(tmp_path, {f"v,{second}": array for second in range(1000)})


def test_a_csv_with_and_without_action_ids_and_boxes(tmp_path: Path) -> None:
    rows = read_csv(tmp_path, "v1,0902,0.1,0.2,0.3,0.4,,0.5\r\nv1,902,0.1,0.2,0.3,0.4,12,1e-3\nv2,903\nv2,904,,,,,,\n")
    assert rows.format == SCORED_CSV
    assert told(rows) == []
    assert good(rows) == [("v1", 902.0, *BOX, 0.5), ("v1", 902.0, *BOX, 0.001)]
    assert rows.timestamp[rows.empty].tolist() == [903.0, 904.0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("v1,902,0.1,0.2,0.3,0.4,0.5", "found column count 7, expected 2 or 8"),
        ("", None),
        ("v1,x,0.1,0.2,0.3,0.4,,0.5", "found timestamp 'x', expected a number of seconds"),
        ("a\\b,1,0.1,0.2,0.3,0.4,,0.5", "found video id 'a\\\\b', expected an id of letters, digits, '_', '-' and '.'"),
        ("v1,902,a,0.2,0.3,0.4,,0.5", "found x1 'a', expected a finite number"),
        ("v1,902,0.1,0.2,0.3,0.4,,", f"found score '', {SCORE}"),
    ],
)
def test_a_bad_line_is_told(tmp_path: Path, line: str, message: str | None) -> None:
    rows = read_csv(tmp_path, f"v1,901,0.1,0.2,0.3,0.4,,0.5\n{line}\nv1,903\n")
    assert told(rows) == ([] if message is None else [f"boxes.csv: row 2: {message}"])
    assert len(good(rows)) == 1


def test_a_csv_of_ground_truth_is_seen_by_its_person_ids(tmp_path: Path, real: Path) -> None:
    rows = read_scored_csv(real / "eval_detection/gt.csv")
    assert len(told(rows)) == 6
    assert told(rows)[0] == f"gt.csv: row 3: found score '2', {SCORE}"


def test_the_real_samples(real: Path) -> None:
    rows = read_proposals_pickle(real / "ava_dataset/ava_proposals_sample.pkl")
    assert told(rows) == []
    assert good(rows)[0] == ("0f39OWEqJ24", 902.0, 0.011, 0.157, 0.655, 0.983, 0.998163)
    assert len(good(rows)) == 5
    rows = read_proposals_pickle(real / "multisports_dataset/multisports_proposals_sample.pkl")
    assert told(rows) == []
    assert good(rows)[0][0] == "aerobic_gymnastics/v_aqMgwPExjD0_c001.mp4"
    rows = read_scored_csv(real / "eval_detection/pred.csv")
    assert told(rows) == []
    assert good(rows)[0] == ("3reY9zJKhqN", 1774.0, 0.072, 0.47, 0.84, 0.898, 0.655)

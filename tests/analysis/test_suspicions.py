"""Warnings about files that do not fit each other, and no warning about files that do."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.analysis.suspicions import suspicions

CLASSES = range(1, 7)
RNG = np.random.default_rng(0)


def table(video: list[str], stamp: list[float], boxes: np.ndarray, ids: np.ndarray, score: np.ndarray) -> pa.Table:
    columns = dict(zip(("x1", "y1", "x2", "y2"), boxes.T, strict=True))
    ids = np.asarray(ids, np.int32)
    return pa.table({"video_id": video, "timestamp": stamp, **columns, "action_id": ids, "score": score})


def truth(frames: int = 40, persons: int = 2) -> pa.Table:
    """Persons of 6 classes, one or two in a keyframe, upright and rather left."""
    rows = frames * persons
    corner = RNG.uniform((0.05, 0.1), (0.4, 0.3), (rows, 2))
    boxes = np.column_stack([corner, corner + RNG.uniform((0.1, 0.4), (0.2, 0.6), (rows, 2))])
    films = [f"film{row // persons % 2}" for row in range(rows)]
    stamps = [902.0 + row // persons for row in range(rows)]
    return table(films, stamps, boxes, RNG.integers(1, 7, rows), np.ones(rows))


TRUTH = truth()
BOXES = np.column_stack([TRUTH[name].to_numpy() for name in ("x1", "y1", "x2", "y2")])


def changed(**columns: object) -> pa.Table:
    found = TRUTH
    for name, values in columns.items():
        found = found.set_column(found.schema.get_field_index(name), name, pa.array(values))
    return found


def boxed(boxes: np.ndarray) -> pa.Table:
    return changed(**dict(zip(("x1", "y1", "x2", "y2"), boxes.T, strict=True)))


def said(found: pa.Table, wanted: pa.Table = TRUTH, **options: Any) -> list[str]:
    return suspicions(wanted, found, **{"class_ids": CLASSES, "is_low": True, **options})


PIXELS = BOXES * (320, 180, 320, 180)
WIDE = np.column_stack([BOXES[:, :2], BOXES[:, 2:] - BOXES[:, :2]])
CENTRED = np.column_stack([(BOXES[:, :2] + BOXES[:, 2:]) / 2, BOXES[:, 2:] - BOXES[:, :2]])
IDS = TRUTH["action_id"].to_numpy()


def test_nothing_is_said_of_the_same() -> None:
    assert said(TRUTH) == []


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_said_of_a_poor_detector(seed: int) -> None:
    """Boxes that miss, and classes by chance: valid, and worth next to nothing."""
    rng = np.random.default_rng(seed)
    rows = len(TRUTH)
    corner = rng.uniform(0, 0.8, (rows, 2))
    poor = boxed(np.column_stack([corner, corner + rng.uniform(0.05, 0.2, (rows, 2))]))
    assert said(poor) == []
    assert said(changed(action_id=pa.array(rng.integers(1, 7, rows), pa.int32()))) == []
    assert said(changed(action_id=pa.array(np.full(rows, 3), pa.int32()))) == []  # the same for all
    assert said(TRUTH.take(rng.permutation(rows)[:3])) == []  # few rows above some threshold


def test_detections_of_more_keyframes_and_films_are_usual() -> None:
    more = changed(timestamp=TRUTH["timestamp"].to_numpy() + 1000, video_id=["film0"] * len(TRUTH))
    elsewhere = changed(video_id=["other"] * len(TRUTH))
    assert said(pa.concat_tables([TRUTH, more, elsewhere])) == []


def test_pixels() -> None:
    reach, wanted = PIXELS.max(), BOXES.max()
    line = f"coordinates reach {reach:g} in the detections and {wanted:g} in the ground truth"
    tail = "are in pixels (or percent), and not in shares of the frame from 0 to 1"
    assert said(boxed(PIXELS), is_low=False) == [f"{line}: 80 of 80 boxes of the detections {tail}"]
    some = np.where(np.arange(80)[:, None] < 8, PIXELS, BOXES)
    (found,) = said(boxed(some), is_low=False)
    assert f" of 80 boxes of the detections {tail}" in found
    (found,) = said(TRUTH, boxed(PIXELS))
    assert found.endswith(f"80 of 80 boxes of the ground truth {tail}")
    (found,) = said(boxed(4 * PIXELS), boxed(PIXELS))
    assert found.endswith(": pixels of frames of another size")
    assert said(boxed(PIXELS), boxed(PIXELS)) == []


@pytest.mark.parametrize(
    ("boxes", "form"),
    [
        (WIDE, "x, y, width, height"),
        (BOXES[:, [1, 0, 3, 2]], "y1, x1, y2, x2"),
        (CENTRED, "centre x, centre y, width, height"),
    ],
)
def test_other_corners(boxes: np.ndarray, form: str) -> None:
    (line,) = said(boxed(boxes))
    assert line.startswith(f"boxes of the detections look like {form}: read so, detections cover 100% of the boxes")
    if form != "y1, x1, y2, x2":  # of which either side may be the wrong one
        (line,) = said(TRUTH, boxed(boxes))
        assert line.startswith(f"boxes of the ground truth look like {form}")
    (line,) = said(boxed(boxes * 100), boxed(BOXES * 100))
    assert f"look like {form}" in line


def test_ids_from_0_or_one_too_high() -> None:
    zero = int((IDS == 1).sum())
    low = changed(action_id=pa.array(IDS - 1, pa.int32()))
    assert said(low, is_low=False) == [
        f"{zero} rows of the detections have an action id one below the first class: do ids count from one lower?"
    ]
    last = int((IDS == 6).sum())
    high = changed(action_id=pa.array(IDS + 1, pa.int32()))
    assert said(high)[0] == (
        f"{last} rows of the detections have an action id one above the last of the classes, and none has the first: "
        "do ids count from one higher?"
    )


def test_ids_that_are_off_by_one_though_none_is_outside() -> None:
    keep = pa.array((IDS > 1) & (IDS < 6))
    for step, how in ((-1, "one higher"), (1, "one lower")):
        found = changed(action_id=pa.array(IDS + step, pa.int32())).filter(keep)
        (line,) = said(found)
        assert line.startswith("action ids of the detections look off by one: ")
        assert f"with ids {how}, and " in line


def test_times_in_frames_or_with_an_offset() -> None:
    stamps = TRUTH["timestamp"].to_numpy()
    for times in ((stamps - 902) * 25 + 1, stamps - 900):
        (line,) = said(changed(timestamp=times))
        assert line.startswith(
            "0 of 40 keyframes of the ground truth are among the 40 of the detections in these films: "
        )
        assert "of film0 go from" in line


def test_keyframes_that_show_nobody_are_keyframes() -> None:
    stamps = TRUTH["timestamp"].to_numpy() + 100
    elsewhere = changed(timestamp=stamps)
    listed = elsewhere.select(["video_id", "timestamp"])
    assert said(elsewhere)
    assert said(elsewhere, keyframes=listed) == []


def test_other_names_of_films() -> None:
    files = changed(video_id=[f"{each}.mp4" for each in TRUTH["video_id"].to_pylist()])
    assert said(files, is_low=False) == [
        "no film of the detections is in the ground truth: 'film0.mp4' in the detections, 'film0' in the ground truth "
        "(is film0.mp4 film0?)"
    ]
    half = changed(video_id=[each.replace("film1", "x/film1") for each in TRUTH["video_id"].to_pylist()])
    assert said(half, is_low=False) == [
        "films have other names in the ground truth: 'x/film1' in the detections, 'film1' in the ground truth (is "
        "x/film1 film1?)"
    ]


def test_empty_tables() -> None:
    assert said(TRUTH.slice(0, 0)) == said(TRUTH, TRUTH.slice(0, 0)) == []

"""The shares that `benchmarks.explain` tells, of a window by hand."""

import pyarrow as pa
import pytest

from benchmarks.explain import shares
from pipeline.playground.actions import DANCE_ID, MOTION_ID
from pipeline.predict.attention_table import ATTENTION
from pipeline.tables.schemas import ANNOTATIONS

DANCER, CONDUCTOR, OTHER = (0.1, 0.1, 0.3, 0.9), (0.4, 0.1, 0.6, 0.9), (0.7, 0.1, 0.9, 0.9)
NAMES = ("x1", "y1", "x2", "y2")


def labelled(second: int, box: tuple[float, ...], action: int) -> dict[str, object]:
    at = {"video_id": "v", "timestamp": 900.0 + second, "time_seconds": second + 0.5}
    return {**at, **dict(zip(NAMES, box, strict=True)), "action_id": action, "person_id": None}


def look(seen: tuple[float, ...], second: int, weight: float, block: str = "M") -> dict[str, object]:
    row = labelled(20, DANCER, 0)
    del row["action_id"], row["person_id"]
    there = {f"seen_{name}": edge for name, edge in zip(NAMES, seen, strict=True)}
    more = {"block": block, "layer": 1, "seen": "row", "seen_score": 0.9, "weight": weight}
    return {**row, **there, **more, "seen_time_seconds": second + 0.5}


def test_shares_by_hand() -> None:
    signal, dance = MOTION_ID["spread"], DANCE_ID["spread"]
    truth = pa.Table.from_pylist(
        [
            labelled(8, CONDUCTOR, signal), labelled(9, CONDUCTOR, signal), labelled(20, DANCER, dance),
            labelled(12, CONDUCTOR, MOTION_ID["raise"]),  # another signal
        ],
        ANNOTATIONS,
    )  # fmt: skip
    moved = (0.41, 0.1, 0.61, 0.9)
    found = pa.Table.from_pylist(
        [
            look(moved, 8, 0.4), look(CONDUCTOR, 9, 0.2), look(OTHER, 9, 0.1), look(CONDUCTOR, 12, 0.2),
            look(CONDUCTOR, 10, 0.1), look(OTHER, 20, 1.0, "P"),
        ],
        ATTENTION,
    )  # fmt: skip
    (measured,) = shares(found, truth).items()
    assert measured[0] == ("M", 1)
    assert measured[1].tolist() == [pytest.approx([0.6, 2 / 5, 0.7, 3 / 5, 1.0])]

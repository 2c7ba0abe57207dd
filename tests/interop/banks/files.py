"""Make small banks and files of other projects for the tests of this folder."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.bank.reader import Bank, open_bank
from pipeline.interop.banks.exchange import Keys, export_bank, import_bank, recognise_format
from tests.bank.banks import make_rows, write_small_bank


def vectors(video: str, second: int, count: int, channels: int = 4) -> np.ndarray:
    """Reproducible features float32 [count, channels]."""
    seed = zlib.crc32(f"{video},{second:04d}".encode())
    return np.random.RandomState(seed).standard_normal((count, channels)).astype(np.float32)


COUNTS = {"film": {902: 2, 903: 1, 960: 3}, "other film": {1: 1}}
FEATURES = {video: {at: vectors(video, at, n) for at, n in each.items()} for video, each in COUNTS.items()}


def taken_in(source: Path, out: Path, **changes: Any) -> tuple[Bank, list[str]]:
    """`source` as a bank."""
    defaults: dict[str, Any] = {"split": "train", "dtype": None, "provenance": {}, "keys": Keys()}
    kind = changes.pop("kind", None) or recognise_format(source)
    return import_bank(source, out, kind=kind, **{**defaults, **changes})


def written(bank: Bank, out: Path, kind: Any, **changes: Any) -> list[str]:
    """`bank` as a file."""
    return export_bank(bank, out, kind=kind, **{"dtype": None, "videos": None, **changes})


def small_bank(path: Path, **changes: Any) -> Bank:
    """Three videos, one of them without persons, one named by anything."""
    rows = {
        "a": make_rows({2.0: 3, 3.0: 1, 1000.0: 70}),
        "../b, ü": make_rows({0.0: 2}, seed=1),
        "empty": make_rows({}),
    }
    return open_bank(write_small_bank(path, rows, **changes))


def check_features(bank: Bank, features: dict[str, dict[int, np.ndarray]]) -> None:
    """The bank's detections are these features, in this order, and nothing else is known of them."""
    assert bank.videos == tuple(sorted(features))
    for video, seconds in features.items():
        rows = bank.rows(video, "detections")
        expected = [seconds[at] for at in sorted(seconds)]
        np.testing.assert_array_equal(rows.features, np.concatenate(expected).astype(bank.dtype))
        np.testing.assert_array_equal(rows.timestamp, np.repeat(sorted(seconds), [len(each) for each in expected]))
        assert rows.score is None
        assert rows.track_id is None
        assert np.isnan(rows.boxes_xyxy).all()
        assert not bank.has_rows(video, "ground_truth")

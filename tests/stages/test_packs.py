"""`dataset.pack` from the videos to the banks: other files of frames and other parts, the same rows of every video."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.bank.reader import open_bank
from pipeline.video.store import FrameStore
from stages import extract_frames, train_baseline
from tests.stages import zoo
from tests.stages.zoo import DATA, Zoo, make_data

CHOICES = ("backbone=slowonly_tiny", "backbone.width=8", "head=lfb_avg", "dataset.playground.train_videos=2")
COLUMNS = ("features", "timestamp", "boxes_xyxy", "score")


def test_packs_change_no_row_of_a_bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "FRAMES", [*zoo.FRAMES, CHOICES[-1]])
    make_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("ACTIONBANK_PARAMS", raising=False)
    Path("several").rename(DATA / "annotations")
    project = Zoo({})
    found = {}
    for pack in ("none", "1"):
        project.compose(*CHOICES, f"dataset.pack={pack}", "bank.make=[train]")
        extract_frames.extract_frames(workers=1)
        if pack == "none":
            train_baseline.train_baseline(workers=1, device="cpu")
        project.infer_banks()
        bank = open_bank(DATA / "bank/train.zarr")
        assert list(bank.videos) == ["train_000", "train_001"]
        found[pack] = [np.asarray(bank.column(video, "detections", name)) for video in bank.videos for name in COLUMNS]
    assert all(np.array_equal(one, other) for one, other in zip(found["none"], found["1"], strict=True))
    assert all(len(rows) for rows in found["1"])
    assert list(bank.parts) == ["pack-0-of-1"]
    assert FrameStore(DATA / "frames").video_ids == ["train_000", "train_001", "val_000"]
    assert [path.name for path in (DATA / "frames").glob("*.arrow")] == ["pack-0-of-1.arrow"]

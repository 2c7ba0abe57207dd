"""`dataset.pack` from the videos to the mAP: other files of frames and other parts of banks, the same detections."""

from pathlib import Path

import pytest

from pipeline.bank.reader import open_bank
from pipeline.files import digest_tree
from pipeline.packing import pack_of
from pipeline.video.store import FrameStore
from stages import evaluate, extract_frames, train_baseline, train_head
from tests.stages import zoo
from tests.stages.zoo import DATA, Zoo, make_data

CHOICES = ("backbone=slowonly_tiny", "backbone.width=8", "head=lfb_avg", "dataset.playground.train_videos=3")


def test_packs_change_no_detection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "FRAMES", [*zoo.FRAMES, "dataset.playground.train_videos=3"])
    make_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("ACTIONBANK_PARAMS", raising=False)
    Path("several").rename(DATA / "annotations")
    project = Zoo({})
    found = {}
    for pack in ("none", "2"):
        project.compose(*CHOICES, f"dataset.pack={pack}")
        extract_frames.extract_frames(workers=1)
        if pack == "none":
            train_baseline.train_baseline(workers=1, device="cpu")
        project.infer_banks()
        train_head.train_head(workers=1, device="cpu")
        evaluate.evaluate(workers=1, device="cpu")
        found[pack] = digest_tree(Path("results/detections"))
    assert found["2"] == found["none"]
    names = [f"train_{number:03}" for number in range(3)]
    assert FrameStore(DATA / "frames").video_ids == [*names, "val_000"]
    packs = {pack_of(name, 2) for name in [*names, "val_000"]}
    assert sorted(path.name for path in (DATA / "frames").glob("*.arrow")) == [f"pack-{n}-of-2.arrow" for n in packs]
    bank = open_bank(DATA / "bank/train.zarr")
    assert list(bank.videos) == names
    assert len(bank.parts) == len({pack_of(name, 2) for name in names}) < 3

import numpy as np
import torch

from pipeline.bank.reader import open_bank
from pipeline.bank.windows.resident import ResidentWindows
from pipeline.predict.past_windows import PastWindows
from tests.bank.banks import make_rows, write_small_bank


def test_seconds_after_the_keyframe_are_empty(tmp_path) -> None:
    path = write_small_bank(tmp_path / "val.zarr", {"v": make_rows(dict.fromkeys(range(7), 1))}, split="val")
    whole = ResidentWindows([open_bank(path)], min_score=0.5)
    past = PastWindows(whole, 2)
    stamps = np.array([3.0, 0.0])
    (rows, mask), (expected, _) = (
        each.gather(each.slots(["v", "v"], stamps, seconds=5, per_second=1)) for each in (past, whole)
    )
    assert mask.tolist() == [[True, True, True, False, False], [False, False, True, False, False]]
    assert torch.equal(rows[0, :3], expected[0, :3])
    assert past.like.shape == whole.like.shape
    assert past.min_score == 0.5

import json
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.bank.feature_rows import Rows
from pipeline.bank.reader import open_bank
from pipeline.bank.windows.resident import ResidentWindows
from pipeline.tables.window_span import Span
from tests.bank.banks import PROVENANCE, write_small_bank


class TestParityWithMmaction2:
    """Window layout against upstream's `LFB` (mmaction2 1.2.0), whose draws are random even in evaluation."""

    @pytest.fixture
    def fixture(self, fixtures: Path) -> Any:
        return json.loads((fixtures / "parity/mmaction2/lfb_sampling.json").read_text())

    def bank(self, fixture: Any, path: Path, dtype: str) -> ResidentWindows:
        rows = {}
        for video, seconds in fixture["bank_counts"].items():
            blocks = [
                np.random.RandomState(zlib.crc32(f"{video},{int(second):04d}".encode())).standard_normal((n, 4))
                for second, n in seconds.items()
            ]
            times = np.repeat([float(second) for second in seconds], list(seconds.values()))
            # Falling scores keep upstream's order.
            score = np.linspace(1, 0.9, len(times))
            features = np.concatenate(blocks).astype(np.float32)
            rows[video] = Rows(features, times, np.zeros((len(times), 4)), score)
        provenance = {**PROVENANCE, "box_threshold": 0.9}
        bank = open_bank(write_small_bank(path, rows, provenance=provenance, dtype=dtype))
        return ResidentWindows([bank], min_score=0.9)

    def test_seconds_and_slots(self, fixture: Any, tmp_path: Path) -> None:
        windows = self.bank(fixture, tmp_path / "bank.zarr", "fp32")
        for case in fixture["seeded_draws"]:
            video, second = case["img_key"].split(",")
            k, seconds = case["max_num_sampled_feat"], case["window_size"]
            slots = windows.slots([video], [float(second)], seconds=seconds, per_second=k)
            window, mask = windows.gather(slots)
            filled = mask[0].view(seconds, k).sum(1).tolist()
            first = int(second) - seconds // 2
            assert [[first + i, n] for i, n in enumerate(filled)] == case["seconds_and_filled_slots"]
            upstream = np.array(case["output"], np.float32).reshape(seconds, k, 4)
            ours = window[0].view(seconds, k, 4).numpy()
            for i, (_, n) in enumerate(case["seconds_and_filled_slots"]):
                count = fixture["bank_counts"][video].get(str(first + i), 0)
                if count <= k:  # where there is nothing to draw, the same rows, bit for bit
                    assert sorted(ours[i].tolist()) == sorted(upstream[i].tolist())
                    assert (ours[i, n:] == 0).all()
                else:  # upstream drew other rows of the same second
                    rows = self.second(windows, video, first + i, count)
                    assert {tuple(row) for row in upstream[i].tolist()} <= rows
                    assert {tuple(row) for row in ours[i].tolist()} <= rows

    def second(self, windows: ResidentWindows, video: str, second: int, count: int) -> set[tuple[float, ...]]:
        window, mask = windows.gather(windows.slots([video], [float(second)], seconds=1, per_second=count))
        assert mask.all()
        return {tuple(row) for row in window[0].tolist()}

    def test_every_row_of_a_half_bank(self, fixture: Any, tmp_path: Path) -> None:
        case = fixture["deterministic_case"]
        windows = self.bank(fixture, tmp_path / "bank.zarr", "fp16")
        video, second = case["img_key"].split(",")
        k, seconds = case["max_num_sampled_feat"], case["window_size"]
        window, mask = windows.gather(windows.slots([video], [float(second)], seconds=seconds, per_second=k))
        found: dict[int, list] = defaultdict(list)
        for slot in torch.nonzero(mask[0])[:, 0].tolist():
            found[int(second) - seconds // 2 + slot // k].append(window[0, slot].tolist())
        assert list(window.shape[1:]) == fixture["observed"]["half_output_shape"]
        expected = {each["second"]: each["rows_sorted"] for each in case["rows"]}
        assert {key: sorted(rows) for key, rows in found.items()} == expected
        drawn = windows.slots([video], [float(second)], seconds=seconds, per_second=k, draw=(0, 0))
        assert torch.equal(drawn, windows.slots([video], [float(second)], seconds=seconds, per_second=k))

    def test_a_missing_video_is_an_empty_window(self, fixture: Any, tmp_path: Path) -> None:
        """Upstream raises KeyError."""
        windows = self.bank(fixture, tmp_path / "bank.zarr", "fp32")
        window, mask = windows.gather(windows.slots(["vidC"], [905.0], seconds=8, per_second=3))
        assert not mask.any()
        assert not window.any()

    def test_past_and_future_are_the_two_sides_of_upstreams_window(self, fixture: Any, tmp_path: Path) -> None:
        case = fixture["deterministic_case"]
        windows = self.bank(fixture, tmp_path / "bank.zarr", "fp16")
        video, now = case["img_key"].split(",")[0], int(case["img_key"].split(",")[1])
        k, half = case["max_num_sampled_feat"], case["window_size"] // 2
        upstream = {each["second"]: each["rows_sorted"] for each in case["rows"]}
        sides: list[tuple[Span, range]] = [
            ("past", range(now - half, now + 1)),
            ("future", range(now, now + half)),
        ]
        for span, seconds in sides:
            for without in (False, True):
                slots = windows.slots(
                    [video], [float(now)], seconds=len(seconds), per_second=k, span=span, exclude_keyframe=without
                )  # fmt: skip
                window, mask = windows.gather(slots)
                for second, rows, valid in zip(seconds, window.view(-1, k, 4), mask.view(-1, k), strict=True):
                    expected = [] if without and second == now else upstream.get(second, [])
                    assert sorted(rows[valid].tolist()) == expected
                    assert not rows[~valid].any()

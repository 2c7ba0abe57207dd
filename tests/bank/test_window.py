import json
import math
import re
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.bank.draws import text_hash
from pipeline.bank.reader import open_bank
from pipeline.bank.resident import ResidentWindows, resident_file
from pipeline.bank.rows import Rows
from pipeline.bank.streamed import StreamedWindows
from pipeline.bank.verify import verify_bank
from pipeline.errors import InputError
from tests.bank.banks import PROVENANCE, make_rows, write_small_bank
from tests.bank.test_draws import MASK, hash_of, mix

KINDS = (ResidentWindows, StreamedWindows)


def slow_window(
    parts: dict[str, Rows],
    video: str,
    timestamp: float,
    *,
    seconds: int,
    per_second: int,
    min_score: float,
    draw: tuple[int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """One window, row by row."""
    channels = next(iter(parts.values())).features.shape[1]
    window = np.zeros((seconds * per_second, channels), np.float16)
    mask = np.zeros(seconds * per_second, bool)
    rows = parts.get(video)
    for number in range(seconds if rows is not None else 0):
        assert rows is not None
        second = math.floor(timestamp) - seconds // 2 + number
        found: list[tuple[Any, int]] = []
        for row in range(len(rows)):
            assert rows.score is not None
            score = np.float32(rows.score[row])
            if math.floor(rows.timestamp[row]) == second and score >= np.float32(min_score):
                order = (-score, rows.timestamp[row], *rows.boxes_xyxy[row])
                found.append((order, row))
        chosen = [row for _, row in sorted(found)]
        if draw is not None and len(chosen) > per_second:
            bits = int(np.array([timestamp + 0.0]).view(np.uint64)[0])
            cell = hash_of(*draw, text_hash(video), bits, second)
            keys = sorted((mix((cell + rank) & MASK), rank) for rank in range(len(chosen)))
            chosen = [chosen[rank] for rank in sorted(rank for _, rank in keys[:per_second])]
        for slot, row in enumerate(chosen[:per_second]):
            window[number * per_second + slot] = rows.features[row].astype(np.float16)
            mask[number * per_second + slot] = True
    return window, mask


@pytest.fixture(scope="module")
def parts() -> dict[str, Rows]:
    generator = np.random.default_rng(5)
    parts = {
        f"video{number}": make_rows(
            {float(second): int(generator.integers(0, 9)) for second in range(900, 930)}, seed=number, channels=8
        )
        for number in range(3)
    }
    # Two rows of different timestamps in one second, before and after time 0.
    parts["fine"] = make_rows({-1.5: 2, -0.25: 3, 0.0: 3, 0.5: 4, 0.75: 1, 3.0: 1}, channels=8, seed=9)
    parts["empty"] = make_rows({}, channels=8)
    return parts


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, parts: dict[str, Rows]) -> Path:
    return write_small_bank(tmp_path_factory.mktemp("bank") / "train.zarr", parts)


@pytest.fixture(scope="module")
def kinds(path: Path) -> dict[tuple[str, float], ResidentWindows | StreamedWindows]:
    bank = open_bank(path)
    return {(kind.__name__, score): kind([bank], min_score=score) for kind in KINDS for score in (0.5, 0.7, 0.95)}


keyframe = st.tuples(
    st.sampled_from(["video0", "video1", "video2", "fine", "empty", "absent"]),
    st.integers(890, 940).map(float) | st.sampled_from([-2.0, -0.5, 0.0, 0.5, 1.0, 905.5, 4.0]),
)


@settings(max_examples=60, deadline=None)
@given(
    keyframes=st.lists(keyframe, min_size=1, max_size=5),
    seconds=st.integers(1, 9),
    per_second=st.integers(1, 10),
    min_score=st.sampled_from([0.5, 0.7, 0.95]),
    draw=st.none() | st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_windows_are_those_of_the_slow_reference(
    kinds: dict[tuple[str, float], ResidentWindows | StreamedWindows],
    parts: dict[str, Rows],
    keyframes: list[tuple[str, float]],
    seconds: int,
    per_second: int,
    min_score: float,
    draw: tuple[int, int] | None,
) -> None:
    videos, times = zip(*keyframes, strict=True)
    expected = [
        slow_window(parts, video, time, seconds=seconds, per_second=per_second, min_score=min_score, draw=draw)
        for video, time in keyframes
    ]
    for kind in KINDS:
        windows = kinds[kind.__name__, min_score]
        slots = windows.slots(videos, times, seconds=seconds, per_second=per_second, draw=draw)
        assert slots.dtype == torch.int64
        window, mask = windows.gather(slots)
        assert window.dtype == torch.float16
        np.testing.assert_array_equal(window.numpy(), np.stack([each for each, _ in expected]))
        np.testing.assert_array_equal(mask.numpy(), np.stack([each for _, each in expected]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_draw_depends_on_no_batch(path: Path, kind: type[ResidentWindows | StreamedWindows]) -> None:
    windows = kind([open_bank(path)], min_score=0.5)
    videos, times = ["video0", "video1", "video0", "video2"] * 3, [905.0, 905, 906, 920] * 3
    together = windows.slots(videos, times, seconds=10, per_second=2, draw=(1, 2))
    alone = [
        windows.slots([video], [time], seconds=10, per_second=2, draw=(1, 2))
        for video, time in zip(videos, times, strict=True)
    ]
    assert torch.equal(together, torch.cat(alone))
    assert torch.equal(together, windows.slots(videos, times, seconds=10, per_second=2, draw=(1, 2)))
    other_epoch = windows.slots(videos, times, seconds=10, per_second=2, draw=(1, 3))
    assert not torch.equal(together, other_epoch)
    # The same second, seen from two keyframes, is drawn twice.
    assert not torch.equal(together[0, 2:], together[2, :-2])


def test_gather_is_a_plain_loop_into_the_buffer(path: Path) -> None:
    for kind in KINDS:
        windows = kind([open_bank(path)], min_score=0.5)
        slots = windows.slots(["video0", "absent"], [905.0, 905.0], seconds=6, per_second=3)
        buffer = torch.full((4, 18, 8), 7.0, dtype=torch.float16)
        window, mask = windows.gather(slots, buffer)
        assert window.data_ptr() == buffer.data_ptr()
        assert window.shape == (2, 18, 8)
        assert (buffer[2:] == 7).all()
        assert (window[1] == 0).all()
        assert not mask[1].any()
        if isinstance(windows, ResidentWindows):
            for b in range(2):
                for slot in range(18):
                    assert torch.equal(window[b, slot], windows.features[slots[b, slot]])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "buffer",
    [
        torch.empty((1, 4, 8), dtype=torch.float16),
        torch.empty((2, 4, 8)),
        torch.empty((2, 5, 8), dtype=torch.float16),
        torch.empty((2, 8, 4), dtype=torch.float16).transpose(1, 2),
    ],
)
def test_a_buffer_that_does_not_fit_is_refused(
    path: Path, kind: type[ResidentWindows | StreamedWindows], buffer: torch.Tensor
) -> None:
    windows = kind([open_bank(path)], min_score=0.5)
    slots = windows.slots(["video0", "video1"], [905.0, 906.0], seconds=2, per_second=2)
    with pytest.raises(ValueError, match=r"expected contiguous torch.float16 \(2 or more, 4, 8\) on cpu"):
        windows.gather(slots, buffer)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("times", [[905.0], [905.0, math.nan], [905.0, 2.0**40], [[905.0, 906.0]]])
def test_bad_keyframes_are_refused(path: Path, kind: type[ResidentWindows | StreamedWindows], times: list) -> None:
    with pytest.raises(ValueError, match=r"2 video ids and timestamps .*: expected one finite timestamp each"):
        kind([open_bank(path)], min_score=0.5).slots(["a", "b"], times, seconds=2, per_second=2)


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_a_small_cache_gives_the_same_bytes(tmp_path: Path, parts: dict[str, Rows], codec: str) -> None:
    bank = open_bank(write_small_bank(tmp_path / "train.zarr", parts, codec=codec))
    whole = ResidentWindows([bank], min_score=0.6)
    part_bytes = bank.rows("video0", "detections").features.nbytes
    tiny = StreamedWindows([bank], min_score=0.6, cache_bytes=part_bytes + 1)
    videos, times = ["video0", "fine", "video2", "absent", "video1"], [905.0, 0.0, 910.0, 1.0, 929.0]
    for draw in (None, (0, 0)):
        a = whole.gather(whole.slots(videos, times, seconds=7, per_second=3, draw=draw))
        b = tiny.gather(tiny.slots(videos, times, seconds=7, per_second=3, draw=draw))
        assert torch.equal(a[0].view(torch.int16), b[0].view(torch.int16))
        assert torch.equal(a[1], b[1])
        assert len(tiny._loaded) <= 2


def test_a_mapped_file_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    bank = open_bank(path)
    file = resident_file([bank], tmp_path / "flat", min_score=0.6)
    written = file.stat().st_mtime_ns
    assert resident_file([bank], tmp_path / "flat", min_score=0.6) == file
    assert file.stat().st_mtime_ns == written
    assert resident_file([bank], tmp_path / "flat", min_score=0.7) != file
    mapped, resident = (ResidentWindows([bank], min_score=0.6, file=each) for each in (file, None))
    assert torch.equal(mapped.features, resident.features)
    mapped.features[0] = 1  # a private mapping
    assert not any(file.read_bytes()[:16])
    message = f"{file}: has {file.stat().st_size} bytes, these banks need "
    with pytest.raises(InputError, match="^" + re.escape(message)):
        ResidentWindows([bank], min_score=0.8, file=file)


def test_several_banks_are_read_as_one(tmp_path: Path, parts: dict[str, Rows]) -> None:
    names = list(parts)
    one, two, both = (
        open_bank(write_small_bank(tmp_path / f"{name}.zarr", {key: parts[key] for key in keys}))
        for name, keys in (("one", names[:2]), ("two", names[2:]), ("both", names))
    )
    for kind in KINDS:
        apart, together = kind([one, two], min_score=0.5), kind([both], min_score=0.5)
        a, b = (
            windows.gather(windows.slots(names, [905.0] * len(names), seconds=20, per_second=4))
            for windows in (apart, together)
        )
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], b[1])
        with pytest.raises(
            InputError,
            match=f"^part 'video0' stands in {re.escape(one.where)} and in {re.escape(both.where)}, expected in one$",
        ):
            kind([one, both], min_score=0.5)


def test_banks_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    rows = {"v": make_rows({0.0: 2})}
    bank = open_bank(write_small_bank(tmp_path / "a.zarr", rows))
    fp32 = open_bank(write_small_bank(tmp_path / "b.zarr", {"w": rows["v"]}, dtype="fp32"))
    wide = open_bank(write_small_bank(tmp_path / "c.zarr", {"w": make_rows({0.0: 2}, channels=6)}))
    bare_rows = Rows(np.ones((1, 4)), np.zeros(1), np.zeros((1, 4)))
    bare = open_bank(write_small_bank(tmp_path / "d.zarr", {"v": bare_rows}))
    far_rows = Rows(np.ones((1, 4)), np.array([2.0**40]), np.zeros((1, 4)), np.ones(1))
    far = open_bank(write_small_bank(tmp_path / "e.zarr", {"v": far_rows}))
    for banks, score, message in (
        ([bank], 0.4, f"{bank.where}: holds boxes from score 0.5 on, a window cannot read from 0.4 on"),
        ([bank, fp32], 0.5, f"{bank.where} has dtype float16 and {fp32.where} float32, expected the same"),
        ([bank, wide], 0.5, f"{bank.where} has channels 4 and {wide.where} 6, expected the same"),
        ([bare], 0.6, f"{bare.where}: part 'v' has no scores and box_threshold is 0.5, so its rows cannot be cut"),
        ([far], 0.5, f"{far.where}: part 'v' has timestamp 1.09951e+12, expected less than 2.74878e+11"),
    ):
        with pytest.raises(InputError, match="^" + re.escape(message)):
            ResidentWindows(banks, min_score=score)
    # Without scores the stored order counts, at the stored threshold.
    windows = ResidentWindows([bare], min_score=0.5)
    assert windows.slots(["v"], [0.0], seconds=1, per_second=2).tolist() == [[1, 0]]


def test_a_score_of_the_threshold_is_read(tmp_path: Path) -> None:
    """0.9 is stored as float32 0.89999998 and still reaches a threshold of 0.9."""
    rows = Rows(np.ones((2, 4)), np.zeros(2), np.zeros((2, 4)), np.array([0.9, 0.8]))
    bank = open_bank(write_small_bank(tmp_path / "a.zarr", {"v": rows}))
    assert ResidentWindows([bank], min_score=0.9).slots(["v"], [0.0], seconds=1, per_second=2).tolist() == [[1, 0]]


def test_at_its_own_threshold_every_row_of_a_bank_is_read(tmp_path: Path) -> None:
    """A bank may hold the best box of a second below the threshold; verify knows."""
    rows = Rows(np.ones((3, 4)), np.array([0.0, 0, 1]), np.zeros((3, 4)), np.array([0.97, 0.92, 0.4]))
    lowered = {**PROVENANCE, "box_threshold": 0.9, "lower_threshold": True}
    path = write_small_bank(tmp_path / "a.zarr", {"v": rows}, provenance=lowered)
    for kind in KINDS:
        for score, expected in ((0.9, [[1, 2, 3, 0]]), (0.95, [[1, 0, 0, 0]])):
            windows = kind([open_bank(path)], min_score=score)
            assert windows.slots(["v"], [1.0], seconds=2, per_second=2).tolist() == expected
    assert verify_bank(path) == []
    strict = write_small_bank(tmp_path / "b.zarr", {"v": rows}, provenance={**lowered, "lower_threshold": False})
    assert [each.found for each in verify_bank(strict)] == ["0.4 in row 2"]


def test_a_fp32_bank_gives_fp32_windows(tmp_path: Path) -> None:
    rows = make_rows({0.0: 2})
    bank = open_bank(write_small_bank(tmp_path / "a.zarr", {"v": rows}, dtype="fp32"))
    for kind in KINDS:
        windows = kind([bank], min_score=0.5)
        window, _ = windows.gather(windows.slots(["v"], [0.0], seconds=1, per_second=2))
        assert torch.equal(window[0], torch.from_numpy(rows.take(rows.order()).features.astype(np.float32)))


@pytest.mark.gpu
def test_a_gpu_gives_the_same_windows(path: Path) -> None:
    bank = open_bank(path)
    cpu, gpu = (ResidentWindows([bank], min_score=0.5, device=device) for device in ("cpu", "cuda"))
    slots = cpu.slots(["video0", "absent"], [905.0, 905.0], seconds=6, per_second=3)
    for ours, theirs in zip(cpu.gather(slots), gpu.gather(slots), strict=True):
        assert torch.equal(ours, theirs.cpu())


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

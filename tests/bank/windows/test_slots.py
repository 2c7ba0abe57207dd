import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.reader import open_bank
from pipeline.bank.windows.draws import text_hash
from pipeline.bank.windows.resident import ResidentWindows, resident_file
from pipeline.bank.windows.streamed import StreamedWindows
from pipeline.base.errors import InputError
from pipeline.tables.window_span import Span
from tests.bank.banks import make_rows, write_small_bank
from tests.bank.windows.test_draws import MASK, hash_of, mix

KINDS = (ResidentWindows, StreamedWindows)


def slow_window(
    parts: dict[str, FeatureRows],
    video: str,
    timestamp: float,
    *,
    seconds: int,
    per_second: int,
    min_score: float,
    span: str = "centred",
    exclude_keyframe: bool = False,
    draw: tuple[int, int] | None = None,
    person: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """One window, row by row."""
    now = math.floor(timestamp)
    first = {"past": now - seconds + 1, "centred": now - seconds // 2, "future": now}[span]
    channels = next(iter(parts.values())).features.shape[1]
    window = np.zeros((seconds * per_second, channels), np.float16)
    mask = np.zeros(seconds * per_second, bool)
    rows = parts.get(video)
    for number in range(seconds if rows is not None else 0):
        assert rows is not None
        second = first + number
        if exclude_keyframe and second == now:
            continue
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
            cell = hash_of(*draw, text_hash(video), bits, second, *([] if person is None else [person]))
            keys = sorted((mix((cell + rank) & MASK), rank) for rank in range(len(chosen)))
            chosen = [chosen[rank] for rank in sorted(rank for _, rank in keys[:per_second])]
        for slot, row in enumerate(chosen[:per_second]):
            window[number * per_second + slot] = rows.features[row].astype(np.float16)
            mask[number * per_second + slot] = True
    return window, mask


@pytest.fixture(scope="module")
def parts() -> dict[str, FeatureRows]:
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
def path(tmp_path_factory: pytest.TempPathFactory, parts: dict[str, FeatureRows]) -> Path:
    return write_small_bank(tmp_path_factory.mktemp("bank") / "train.zarr", parts)


@pytest.fixture(scope="module")
def kinds(path: Path) -> dict[tuple[str, float], ResidentWindows | StreamedWindows]:
    bank = open_bank(path)
    return {(kind.__name__, score): kind([bank], min_score=score) for kind in KINDS for score in (0.5, 0.7, 0.95)}


keyframe = st.tuples(
    st.sampled_from(["video0", "video1", "video2", "fine", "empty", "absent"]),
    st.integers(890, 940).map(float) | st.sampled_from([-2.0, -0.5, 0.0, 0.5, 1.0, 905.5, 4.0]),
)


@settings(max_examples=100, deadline=None)
@given(
    keyframes=st.lists(keyframe, min_size=1, max_size=5),
    seconds=st.integers(1, 9),
    per_second=st.integers(1, 10),
    min_score=st.sampled_from([0.5, 0.7, 0.95]),
    span=st.sampled_from(["past", "centred", "future"]),
    exclude_keyframe=st.booleans(),
    draw=st.none() | st.tuples(st.integers(0, 3), st.integers(0, 3)),
    persons=st.none() | st.lists(st.integers(0, 3), min_size=5, max_size=5),
)
def test_windows_are_those_of_the_slow_reference(
    kinds: dict[tuple[str, float], ResidentWindows | StreamedWindows],
    parts: dict[str, FeatureRows],
    keyframes: list[tuple[str, float]],
    seconds: int,
    per_second: int,
    min_score: float,
    span: Span,
    exclude_keyframe: bool,
    draw: tuple[int, int] | None,
    persons: list[int] | None,
) -> None:
    videos, times = zip(*keyframes, strict=True)
    shape: Any = {"seconds": seconds, "per_second": per_second, "span": span, "exclude_keyframe": exclude_keyframe}
    several = None if persons is None else np.array(persons[: len(keyframes)])
    expected = [
        slow_window(parts, *keyframe, min_score=min_score, draw=draw, person=person, **shape)
        for place, keyframe in enumerate(keyframes)
        for person in ([None] if persons is None else range(persons[place]))
    ]
    empty = (np.zeros((seconds * per_second, 8)), np.zeros(seconds * per_second, bool))
    features, valid = (np.stack(each)[:-1] for each in zip(*expected, empty, strict=True))
    for kind in KINDS:
        windows = kinds[kind.__name__, min_score]
        slots = windows.slots(videos, times, draw=draw, persons=several, **shape)
        assert slots.dtype == torch.int64
        window, mask = windows.gather(slots)
        assert window.dtype == torch.float16
        np.testing.assert_array_equal(window.numpy(), features)
        np.testing.assert_array_equal(mask.numpy(), valid)


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


@pytest.mark.parametrize("kind", KINDS)
def test_each_person_of_a_keyframe_gets_a_draw_of_its_own(
    path: Path, kind: type[ResidentWindows | StreamedWindows]
) -> None:
    windows = kind([open_bank(path)], min_score=0.5)
    shape: Any = {"seconds": 10, "per_second": 2}
    videos, times = ["video0", "absent", "video1"], [905.0, 905, 906]
    slots = windows.slots(videos, times, draw=(1, 2), persons=np.array([3, 1, 2]), **shape)
    assert len({tuple(row) for row in slots.tolist()}) == 6
    # How many others there are, in this keyframe or before it, does not matter.
    fewer = windows.slots(videos[2:], times[2:], draw=(1, 2), persons=np.array([1]), **shape)
    assert torch.equal(fewer, slots[4:5])
    best = windows.slots(videos, times, persons=np.array([3, 1, 2]), **shape)
    assert torch.equal(best, windows.slots(videos, times, **shape)[[0, 0, 0, 1, 2, 2]])


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


def check_same_windows(
    names: list[str], one: ResidentWindows | StreamedWindows, other: ResidentWindows | StreamedWindows
) -> None:
    """Both give the same rows and masks."""
    a, b = (
        windows.gather(windows.slots(names, [905.0] * len(names), seconds=20, per_second=4)) for windows in (one, other)
    )
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], b[1])


def test_several_banks_are_read_as_one(tmp_path: Path, parts: dict[str, FeatureRows]) -> None:
    names = list(parts)
    one, two, both = (
        open_bank(write_small_bank(tmp_path / f"{name}.zarr", {key: parts[key] for key in keys}))
        for name, keys in (("one", names[:2]), ("two", names[2:]), ("both", names))
    )
    for kind in KINDS:
        apart, together = kind([one, two], min_score=0.5), kind([both], min_score=0.5)
        check_same_windows(names, apart, together)
        with pytest.raises(
            InputError,
            match=f"^part 'video0' stands in {re.escape(one.where)} and in {re.escape(both.where)} with other rows or "
            "settings, expected in one$",
        ):
            kind([one, both], min_score=0.5)


def test_a_film_that_was_made_alike_for_two_banks_is_read_once(tmp_path: Path, parts: dict[str, FeatureRows]) -> None:
    """Train and val share a film that is split by time."""
    names = list(parts)
    made = {"frames_sha256": "f", "boxes_sha256": "b"}
    one, both = (
        open_bank(write_small_bank(tmp_path / f"{name}.zarr", {key: parts[key] for key in keys}, provenance=made))
        for name, keys in (("one", names[:2]), ("both", names))
    )
    for kind in KINDS:
        shared, alone = kind([one, both], min_score=0.5), kind([both], min_score=0.5)
        check_same_windows(names, shared, alone)
    file = resident_file([one, both], min_score=0.5)
    mapped = ResidentWindows([one, both], min_score=0.5, file=file)
    assert torch.equal(mapped.features, ResidentWindows([one, both], min_score=0.5).features)
    other = {"frames_sha256": "f", "boxes_sha256": "c"}
    two = open_bank(write_small_bank(tmp_path / "two.zarr", {key: parts[key] for key in names}, provenance=other))
    for kind in KINDS:
        with pytest.raises(InputError, match="with other rows or settings, expected in one"):
            kind([one, two], min_score=0.5)


def test_a_fp32_bank_gives_fp32_windows(tmp_path: Path) -> None:
    rows = make_rows({0.0: 2})
    bank = open_bank(write_small_bank(tmp_path / "a.zarr", {"v": rows}, dtype="fp32"))
    for kind in KINDS:
        windows = kind([bank], min_score=0.5)
        window, _ = windows.gather(windows.slots(["v"], [0.0], seconds=1, per_second=2))
        assert torch.equal(window[0], torch.from_numpy(rows.take(rows.order()).features.astype(np.float32)))

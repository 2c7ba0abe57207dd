from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.base.randomness import rng_of
from pipeline.features import film_clips as clips_module
from pipeline.features.film_clips import ClipRequest, read_request, run_film
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.training.clip_steps import ClipData, clip_steps, training_sample
from pipeline.training.norms import has_batch_norm
from pipeline.training.steps import Stretch
from tests.rank_jobs import CLIP, SETTINGS, WatchedStore, keyframes, make_films
from tests.training.settings import training_settings


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> WatchedStore:
    folder = tmp_path_factory.mktemp("films")
    make_films(folder)
    return WatchedStore(folder / "frames")


@pytest.mark.parametrize(("offset", "expected"), [(0, [18, 20]), (1, [19, 21]), (-1, [17, 19]), (45, [59, 59])])
def test_a_clip_may_be_moved_in_inference(store: WatchedStore, offset: int, expected: list[int]) -> None:
    store.read.clear()
    read_request(store, "a", ClipRequest(2.0, np.zeros((0, 4))), replace(CLIP, offset_frames=offset))
    assert store.read == [["a", *expected]]


def test_a_clip_is_moved_by_as_much_in_training(store: WatchedStore) -> None:
    store.read.clear()
    for offset in (0, 1, -1):
        training_sample(
            store, keyframes()[2], clip=replace(CLIP, offset_frames=offset), settings=training_settings(**SETTINGS),
            unmatched=False, rng=rng_of(1),
        )  # fmt: skip
    plain, late, early = (np.array(frames) for _, *frames in store.read)
    assert (late - plain).tolist() == [1, 1]
    assert (early - plain).tolist() == [-1, -1]


def test_unmatched_boxes_follow_without_labels_where_a_batch_norm_counts_them(store: WatchedStore) -> None:
    each = keyframes()[2]
    far = np.array([[0.0, 0.0, 0.1, 0.1], [0.9, 0.9, 1.0, 1.0]])
    each = replace(each, proposals_xyxy=np.concatenate([each.ground_truth_xyxy, far]))
    some, all_ = (
        training_sample(
            store, each, clip=CLIP, settings=training_settings(**SETTINGS), unmatched=unmatched, rng=rng_of(1)
        )
        for unmatched in (False, True)
    )
    labelled = len(some.boxes_xyxy)
    assert some.labels.any(axis=1).all()
    assert len(all_.boxes_xyxy) == labelled + 2
    assert np.array_equal(all_.labels[:labelled], some.labels)
    assert not all_.labels[labelled:].any()
    assert np.isfinite(all_.boxes_xyxy).all()


def test_only_a_head_with_batch_norm_asks_for_unmatched_boxes() -> None:
    acrn_head, linear_head = (
        build_head(name, HeadSettings(roi_channels=8, bank_channels=0, map_channels=8, classes=3))
        for name in ("acrn", "linear")
    )
    assert has_batch_norm(acrn_head)
    assert not has_batch_norm(linear_head)


@pytest.mark.parametrize("batch", [1, 2, 8, 64])
def test_what_the_network_sees_at_a_time_is_the_requests_alone(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """Libraries round otherwise for other sizes: how much is read ahead must not show in them."""
    seen: list[range] = []

    def forward(places: range, clips: torch.Tensor, boxes_xyxy: torch.Tensor, clip_index: torch.Tensor) -> torch.Tensor:
        seen.append(places)
        assert clip_index.tolist() == list(range(len(places)))
        return clips.reshape(len(places), 1)

    def read(store: Any, video_id: str, request: ClipRequest, **_: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.full((1,), request.time_seconds), torch.zeros(1, 4)

    monkeypatch.setattr(clips_module, "read_request", read)
    requests = [ClipRequest(float(at), np.zeros((1, 4))) for at in range(19)]
    nothing: Any = None
    rows = run_film(
        forward, nothing, "a", requests, settings=nothing, device=torch.device("cpu"), batch=batch
    )  # fmt: skip
    assert seen == [range(8), range(8, 16), range(16, 19)]
    assert np.concatenate(rows).ravel().tolist() == list(range(19))


def test_a_device_that_gets_pixels_sees_the_same_clips(store: WatchedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []

    def forward(places: range, clips: torch.Tensor, boxes_xyxy: torch.Tensor, clip_index: torch.Tensor) -> torch.Tensor:
        seen.append(clips)
        return clip_index[:, None]

    requests = [ClipRequest(float(at), np.array([[0.1, 0.1, 0.6, 0.9]])) for at in range(3)]
    settings = replace(CLIP, mean=(120.0, 110.0, 100.0), std=(58.0, 57.0, 56.0))
    for pixels in (False, True):
        monkeypatch.setattr(clips_module, "normalises_itself", lambda _, pixels=pixels: pixels)
        run_film(forward, store, "a", requests, settings=settings, device=torch.device("cpu"), batch=2)
    assert torch.equal(*seen)
    clip, boxes = read_request(store, "a", requests[0], settings, as_pixels=True)
    assert (clip.dtype, clip.shape[1]) == (torch.uint8, 3)
    assert torch.equal(boxes, read_request(store, "a", requests[0], settings)[1])


def test_training_clips_are_the_same_where_their_device_normalises_them(store: WatchedStore) -> None:
    tables: Any = None
    settings = replace(CLIP, mean=(120.0, 110.0, 100.0), std=(58.0, 57.0, 56.0))
    data = ClipData(store, settings, keyframes(), [], tables)
    found = []
    for as_pixels in (False, True):
        steps = clip_steps(
            replace(data, as_pixels=as_pixels), Stretch(0, 0, 1), training_settings(**SETTINGS), unmatched=False,
            window_of=None, workers=1,
        )  # fmt: skip
        found.append([part.to(torch.device("cpu")) for step in steps for part in step.parts])
    for one, other in zip(*found, strict=True):
        assert one.clips is not None
        assert other.clips is not None
        assert torch.equal(one.clips, other.clips)
        assert other.pixels_of is None

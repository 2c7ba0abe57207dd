"""Steps of views: each clip once, draws that depend on seed, pass and clip alone, and labels that go with a flip."""

import numpy as np
import pytest
import torch

from pipeline.recognition.clip_set import ClipSet, read_clips
from pipeline.recognition.view_steps import training_sample, view_steps
from pipeline.training.steps import Stretch
from tests.recognition.clips import make_data, settings_of, spec_of

SPEC = spec_of()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    data = make_data(tmp_path_factory.mktemp("clips"), train=9, val=1)
    return read_clips(data / "labels", data / "frames", "train")


def batches(clips: ClipSet, number: int, workers: int = 2, first: int = 0, last: int = 2) -> list[torch.Tensor]:
    steps = view_steps(
        clips, np.arange(9), Stretch(number, first, last), spec=SPEC, settings=settings_of(), workers=workers
    )
    return [part.views for step in steps for part in step.parts]


def test_a_pass_has_every_clip_once_and_no_worker_changes_it(clips: ClipSet) -> None:
    found = batches(clips, 0)
    assert [len(each) for each in found] == [4, 4, 1]
    assert found[0].shape[1:] == (3, 3, 32, 32)
    assert all(torch.equal(a, b) for a, b in zip(found, batches(clips, 0, workers=1), strict=True))
    assert torch.equal(found[2], batches(clips, 0, first=1)[0]), "a resumed pass goes on with the same views"
    assert not torch.equal(found[0], batches(clips, 1)[0])


def test_a_mirrored_view_has_the_label_of_the_mirrored_class(clips: ClipSet) -> None:
    always = settings_of(views={"flip_probability": 1.0})
    plain = settings_of(views={"flip_probability": 1.0, "flip": "plain"})
    for clip, mapped in ((0, 1), (1, 0), (2, 2)):
        view, label = training_sample(clips, clip, 0, spec=SPEC, settings=always)
        same, kept = training_sample(clips, clip, 0, spec=SPEC, settings=plain)
        assert (label, kept) == (mapped, clip)
        assert torch.equal(view, same)


def test_a_batch_goes_to_a_device(clips: ClipSet) -> None:
    step = next(iter(view_steps(clips, np.arange(9), Stretch(0, 0, 1), spec=SPEC, settings=settings_of(), workers=1)))
    batch = next(iter(step.parts)).to(torch.device("meta"))
    assert (batch.views.device.type, batch.labels.device.type) == ("meta", "meta")

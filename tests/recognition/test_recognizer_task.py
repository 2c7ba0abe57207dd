"""What `fit` is told of a training on clips."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from pipeline.base.hardware import Hardware
from pipeline.checkpoint.build_recognizer import build_recognizer
from pipeline.recognition.clip_set import read_clips
from pipeline.recognition.recognizer_task import RecognitionSplits, clip_loss, labelled, recognizer_task
from pipeline.recognition.view_steps import ViewBatch
from tests.recognition.clips import make_data, settings_of, spec_of


def test_steps_are_of_labelled_clips_and_the_loss_is_a_sum_over_them(tmp_path: Path) -> None:
    data = make_data(tmp_path / "clips", train=9, val=2, unlabelled=1)
    splits = RecognitionSplits(*(read_clips(data / "labels", data / "frames", split) for split in ("train", "val")))
    spec, settings = spec_of("tsn"), settings_of(global_batch=4, bn_batch=2)
    recognizer = build_recognizer(spec).eval()
    task = recognizer_task(
        recognizer, splits, settings, spec=spec, hardware=Hardware(torch.device("cpu"), 1, 1)
    )  # fmt: skip
    assert labelled(splits.train).tolist() == list(range(1, 9))
    assert (task.steps_per_epoch, task.samples) == (2, "clip with a label")
    assert task.validate().keys() == {"top1", "top5", "mean_class"}
    batch = ViewBatch(torch.randn(3, 3, 3, 32, 32), torch.tensor([0, 1, 2]))
    assert task.count_of is not None
    assert task.count_of(batch) == 3
    with torch.no_grad():
        expected = 3 * F.cross_entropy(recognizer(batch.views), batch.labels)
        assert float(clip_loss(recognizer, batch)) == pytest.approx(float(expected), rel=1e-5)

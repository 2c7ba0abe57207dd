"""Scores of clips by their views."""

from pathlib import Path

import pytest
import torch

from pipeline.checkpoint.build_recognizer import build_recognizer
from pipeline.evaluation.settings import ViewsOf
from pipeline.recognition.clip_set import read_clips
from pipeline.recognition.score_clips import clip_views, score_clips
from tests.recognition.clips import make_data, spec_of


def test_scores_are_the_mean_over_views_of_the_softmax_of_each(tmp_path: Path) -> None:
    data = make_data(tmp_path / "clips", train=1, val=5)
    clips = read_clips(data / "labels", data / "frames", "val")
    spec = spec_of("tsn")
    torch.manual_seed(1)
    recognizer = build_recognizer(spec).eval()
    counts: dict[ViewsOf, int] = {"efficient": 1, "accurate": 6}
    for views, count in counts.items():
        scores = score_clips(
            recognizer, clips, spec, views=views, device=torch.device("cpu"), compute_dtype="fp32", workers=2
        )
        for clip in range(len(clips)):
            seen = clip_views(clips, clip, spec, views)
            assert seen.shape[:3] == (count, spec.segments, 3)
            with torch.no_grad():
                expected = recognizer(seen).softmax(dim=1).mean(dim=0).numpy()
            assert scores[clip] == pytest.approx(expected, abs=1e-6)

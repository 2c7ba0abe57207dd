import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis.bootstrap import draw_weights, resampled_ap
from pipeline.evaluation.ava_map import score_matching
from pipeline.evaluation.protocols import PROTOCOLS
from tests.evaluation import reference
from tests.evaluation.test_against_reference import CLASSES, cases, matched


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(PROTOCOLS)).flatmap(cases), st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_weighted_videos_are_repeated_videos(case, repeats):
    """A resample's AP is that of a data set in which the videos stand as often as the weights say."""
    case["cap"] = 0
    matching = matched(case)
    weights = np.zeros((2, len(matching.video_ids)))
    for index, video in enumerate(matching.video_ids):
        weights[0, index], weights[1, index] = repeats["abc".index(video)], 1

    def repeated(rows):
        copies = []
        for frame, *rest in rows:
            copies += [((f"{frame[0]}{copy}", frame[1]), *rest) for copy in range(repeats["abc".index(frame[0])])]
        return copies

    def named(listed):
        return [row[0] for row in repeated([(frame,) for frame in listed])]

    ap = resampled_ap(matching, case["iou"], weights)
    assert ap[1].tolist() == pytest.approx(score_matching(matching, case["iou"]).ap.tolist(), nan_ok=True, abs=1e-12)
    case |= {key: repeated(case[key]) for key in ("truth", "detections")}
    case |= {key: named(case[key]) for key in ("empty", "excluded")}
    expected = reference.evaluate(**case, class_ids=CLASSES)
    for label, value in enumerate(expected.values()):
        if not math.isnan(value):  # without detections in the resample, MMAction2 1.x would leave the class out
            assert ap[0, label] == pytest.approx(value, abs=1e-12)


@given(videos=st.integers(1, 20), resamples=st.integers(1, 20), seed=st.integers(0, 5))
def test_a_resample_has_as_many_videos(videos: int, resamples: int, seed: int) -> None:
    weights = draw_weights(videos, resamples=resamples, seed=seed)
    assert weights.shape == (resamples, videos)
    assert (weights.sum(axis=1) == videos).all()
    assert (weights == draw_weights(videos, resamples=resamples, seed=seed)).all()


def test_every_video_is_drawn_as_often_as_the_others() -> None:
    weights = draw_weights(5, resamples=4000, seed=0)
    assert np.abs(weights.mean(axis=0) - 1).max() < 0.06
    assert (weights != draw_weights(5, resamples=4000, seed=1)).any()

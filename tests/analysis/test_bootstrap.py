import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis.bootstrap import resampled_ap
from pipeline.evaluation.ava import score_matching
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

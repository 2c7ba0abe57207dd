import numpy as np
import pytest

from pipeline.analysis.confusions import find_confusions
from tests.analysis.test_error_kinds import LEFT, LEFT_SHIFTED, RIGHT, SIT, WALK, WAVE, found_in


def test_confusions() -> None:
    labels = [(1, LEFT, WALK), (2, LEFT, WALK), (3, LEFT, WALK), (3, LEFT, SIT), (4, RIGHT, WALK)]
    rows = [
        (1, LEFT, WALK, 0.5), (1, LEFT, WAVE, 0.6), (1, LEFT, SIT, 0.7),
        (2, LEFT, WALK, 0.5), (2, LEFT, WAVE, 0.6), (2, LEFT, SIT, 0.1),
        (3, LEFT, WAVE, 0.1), (3, LEFT, SIT, 0.7),
        (3, LEFT_SHIFTED, WAVE, 0.9),  # not the box that overlaps him most
        (4, LEFT, WAVE, 0.9),  # on nobody
    ]  # fmt: skip
    found = find_confusions(found_in(labels, rows))
    assert found.boxed.tolist() == [3, 0, 1]
    assert found.rank.tolist()[::2] == pytest.approx([(3 + 2 + 3) / 3, 1.0])
    assert np.isnan(found.rank[1])
    assert found.examples.tolist() == [[0, 3, 2], [0, 0, 0], [0, 1, 0]]  # of SIT he does not wave, and walks too
    assert found.above.tolist() == [[0, 3, 1], [0, 0, 0], [0, 0, 0]]
    assert found.other_rank[0, 1:].tolist() == pytest.approx([(2 + 1 + 2) / 3, (1 + 3) / 2])

import numpy as np
import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.interop.trn_draws import drawn_input, numpy_draws, relations_of


def test_inputs_are_drawn_by_the_rule_in_words() -> None:
    found = drawn_input("RandomState(3).standard_normal((2*3, 4,1)) float32, used as normalised")
    wanted = np.random.RandomState(3).standard_normal((6, 4, 1)).astype(np.float32)
    assert torch.equal(found, torch.from_numpy(wanted))
    with pytest.raises(InputError, match=r"^input is 'ones\(\(2,3\)\)', expected RandomState\(N\)\.standard_normal\("):
        drawn_input("ones((2,3))")


def test_numbers_become_relations_and_others_are_refused() -> None:
    assert numpy_draws(np.random.RandomState(0), 4, (4, 3, 2), 3) == [[2, 3, 1], [0, 2, 1]]  # upstream's, for seed 0
    assert relations_of([[3, 0], [5]], 4, (4, 3, 2)) == [[(0, 1, 2, 3)], [(1, 2, 3), (0, 1, 2)], [(2, 3)]]
    with pytest.raises(InputError, match=r"^draws of 1 scales, expected 2$"):
        relations_of([[0]], 4, (4, 3, 2))
    with pytest.raises(InputError, match=r"^the relations of 2 segments drawn are \[6\], expected numbers below 6$"):
        relations_of([[0], [6]], 4, (4, 3, 2))

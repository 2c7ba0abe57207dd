import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.base.errors import InputError
from pipeline.interop.banks.foreign import cast_features

FEATURES = hnp.arrays(
    np.float32, st.tuples(st.integers(0, 3), st.integers(1, 3)), elements=st.floats(-1e6, 1e6, width=32)
)


@given(features=FEATURES)
def test_features_are_rounded_or_refused_and_never_infinite(features: np.ndarray) -> None:
    largest = float(np.abs(features).max(initial=0))
    if largest >= 65520:  # half way to the number behind float16's largest
        with pytest.raises(InputError, match=r"^a: feature .* is too large for float16; use --dtype fp32$"):
            cast_features(features, "fp16", "a")
    else:
        cast = cast_features(features, "fp16", "a")
        assert cast.dtype == np.float16
        np.testing.assert_allclose(cast, features, rtol=2**-11, atol=2**-25)


def test_what_has_the_type_already_is_not_copied_and_not_looked_at() -> None:
    features = np.array([[np.inf, 1]], np.float32)
    assert cast_features(features, "fp32", "a") is features


def test_the_first_feature_that_is_too_large_is_named() -> None:
    with pytest.raises(InputError) as error:
        cast_features(np.array([[1, -70000], [1e9, 0]], np.float32), "fp16", "bank: video 'a'")
    assert str(error.value) == "bank: video 'a': feature -70000 is too large for float16; use --dtype fp32"

"""The error that fp16 adds to a feature; docs/bank-format.md gives the figures checked here."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.bank.feature_rows import FeatureRows, FloatArray
from pipeline.bank.reader import open_bank
from tests.bank.banks import write_small_bank

SMALLEST_NORMAL = 2.0**-14
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "bank-format.md"


def pooled_features(rows: int, channels: int) -> FloatArray:
    """Features as a network of ReLUs gives them: the largest of a RoI's cells, non-negative, up to 30, many small."""
    generator = np.random.default_rng(0)
    scale = generator.lognormal(-1, 1.2, channels)  # channels differ in size
    cells = generator.standard_normal((rows, 9, channels)) * scale
    return np.asarray(np.clip(cells.max(axis=1), 0, 30), np.float32)


def stored(tmp_path: Path, features: FloatArray, dtype: str) -> FloatArray:
    """The features after a round trip through a bank."""
    n = len(features)
    rows = FeatureRows(features, np.arange(float(n)), np.zeros((n, 4)))
    path = write_small_bank(tmp_path / "train.zarr", {"v": rows}, ground_truth=None, dtype=dtype)
    return open_bank(path).rows("v", "detections").features.astype(np.float64)


def test_fp16_rounds_within_its_bound_and_as_documented(tmp_path: Path) -> None:
    features = pooled_features(2000, 256)
    exact = features.astype(np.float64)
    normal = exact >= SMALLEST_NORMAL
    assert features.max() == 30
    assert features.min() == 0
    error = np.abs(stored(tmp_path, features, "fp16") - exact)
    relative = error[normal] / exact[normal]
    assert relative.max() <= 2.0**-11
    assert (relative.mean(), relative.max()) == pytest.approx((1.76e-4, 4.88e-4), rel=0.01)
    assert error[~normal].max() <= 2.0**-25
    text = " ".join(DOCUMENT.read_text().split())
    assert "relative error 1.8e-4 on average and 4.9e-4 at most" in text


def test_subnormal_features_keep_their_absolute_precision(tmp_path: Path) -> None:
    """Below 6.1e-5 the step is 2^-24: the error stays below 3.0e-8, what is below that becomes zero."""
    exact = np.geomspace(1e-9, SMALLEST_NORMAL, 4000).reshape(40, 100)
    found = stored(tmp_path, exact, "fp16")
    assert np.abs(found - exact).max() <= 2.0**-25
    assert (found[exact < 2.0**-25] == 0).all()
    assert (found[exact > 2.0**-25] > 0).all()


def test_fp32_stores_what_the_network_gave(tmp_path: Path) -> None:
    features = pooled_features(50, 64)
    np.testing.assert_array_equal(stored(tmp_path, features, "fp32"), features)

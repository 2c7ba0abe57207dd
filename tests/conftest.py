"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

# Before PyTorch is imported: two workers with two threads each on two cores are many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def fixtures() -> Path:
    """Numeric fixtures that are part of the repository."""
    return REPOSITORY / "tests" / "fixtures"


@pytest.fixture
def real() -> Path:
    """Real sample videos, CSVs and pickles; they lie beside the repository and are not part of it."""
    folder = REPOSITORY.parent / "shared" / "real"
    if not folder.is_dir():
        pytest.skip("the real sample files (shared/real beside the repository) are not there")
    return folder

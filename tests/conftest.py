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


@pytest.fixture(scope="module")
def scratch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the module's own, for property tests: `tmp_path` is one per test, not one per example."""
    return tmp_path_factory.mktemp(request.module.__name__.replace(".", "_"))

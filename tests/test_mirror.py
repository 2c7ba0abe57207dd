"""Tests mirror the package: `pipeline/ROOM/X.py` is tested in `tests/ROOM/test_X.py`."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
ROOMS = sorted(path.parent.name for path in (REPOSITORY / "pipeline").glob("*/__init__.py"))


def without_tests(room: str) -> set[str]:
    """The modules of a room that hold something and have no file of tests, e.g. `bank/windows/slots.py`."""
    package = REPOSITORY / "pipeline"
    modules = [path.relative_to(package) for path in (package / room).rglob("*.py") if path.read_text().strip()]
    return {
        module.as_posix()
        for module in modules
        if module.name != "__init__.py" and not (REPOSITORY / "tests" / module.parent / f"test_{module.name}").is_file()
    }


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_has_a_file_of_tests(room: str) -> None:
    assert without_tests(room) == set()

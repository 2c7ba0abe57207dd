"""A stage's file is short: it reads parameters, calls the pipeline and prints the result."""

from pathlib import Path

STAGES = Path(__file__).resolve().parent.parent.parent / "stages"
MOST_LINES = 60


def test_a_stage_is_short() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in STAGES.glob("*.py")}
    assert {name for name, count in lines.items() if count > MOST_LINES} == set()

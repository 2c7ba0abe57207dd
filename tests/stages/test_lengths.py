"""A stage reads parameters, calls the pipeline and says what came of it: there is no room for more in its file."""

from pathlib import Path

STAGES = Path(__file__).resolve().parent.parent.parent / "stages"
MOST_LINES = 60


def test_a_stage_is_short() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in STAGES.glob("*.py")}
    assert {name for name, count in lines.items() if count > MOST_LINES} == set()

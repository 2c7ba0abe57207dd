from pathlib import Path

from typer.testing import CliRunner

from pipeline.base.command import new_app
from pipeline.commands.spans import spans
from tests.predict.made import Person, predicted

APP = new_app()
APP.command()(spans)


def run(*words: str) -> str:
    done = CliRunner().invoke(APP, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return str(done.output)


def test_options_are_the_rules(tmp_path: Path) -> None:
    scores = (0.6, 0.4, None, 0.9, 0.3)
    found = predicted(*(Person(n + 0.5, 3, {1: each}) for n, each in enumerate(scores) if each is not None))
    found.write(tmp_path)
    path = tmp_path / "actions.csv"
    assert run(str(tmp_path)) == f"{path}: written: 1 spans of 1 tracks\n"
    assert path.read_text().splitlines()[1:] == ["a,3,1,stand,0.000,4.000,0.6333"]
    other = tmp_path / "other.csv"
    run(str(tmp_path), "--keep", "0.5", "--start", "1.5", "--out", str(other))
    assert other.read_text().splitlines()[1:] == ["a,3,1,stand,0.000,5.000,0.5500"]
    run(str(tmp_path), "--bridge-seconds", "0.5", "--out", str(other))
    assert other.read_text().splitlines()[1:] == ["a,3,1,stand,0.000,2.000,0.5000", "a,3,1,stand,3.000,4.000,0.9000"]
    run(str(tmp_path), "--bridge-seconds", "0.5", "--min-seconds", "1.5", "--out", str(other))
    assert other.read_text().splitlines()[1:] == ["a,3,1,stand,0.000,2.000,0.5000"]

from pathlib import Path

from typer.testing import CliRunner

from pipeline.cli import build_app
from tests.predict.results import film_result
from tests.video.films import write_film


def run(*words: object):
    return CliRunner().invoke(build_app("render"), ["render", *map(str, words)])


def test_a_film_is_drawn_from_a_folder(tmp_path: Path) -> None:
    source = write_film(tmp_path / "f.mp4", frames=4)
    (tmp_path / "found").mkdir()
    film_result(source, [(0.0, 1, (0.1, 0.1, 0.5, 0.9), {1: 0.9})]).write(tmp_path / "found")
    out = tmp_path / "out.mp4"
    done = run(tmp_path / "found", out)
    assert done.output == f"{out}: 4 frames\n"
    again = run(tmp_path / "found", out)
    assert str(again.exception) == f"{out}: is there; --force replaces it"
    moved = source.rename(tmp_path / "moved.mp4")
    assert run(tmp_path / "found", out, "--force", "--source", moved, "--video", "a").output == f"{out}: 4 frames\n"

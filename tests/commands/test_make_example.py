from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.commands.make_example import make_example
from pipeline.playground import example


def test_what_is_made_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[Path] = []
    monkeypatch.setattr(example, "make_example", made.append)
    make_example(tmp_path)
    assert made == [tmp_path]
    rates = ", ".join(str(film.fps) for film in example.FILMS)
    assert capsys.readouterr().out.splitlines()[0] == (
        f"{tmp_path}: {len(example.FILMS)} films of {example.SECONDS} s at {rates} frames per second in "
        f"{tmp_path / 'videos'}, a CVAT file of each in {tmp_path / 'annotations'}"
    )


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    with pytest.raises(InputError) as error:
        make_example(tmp_path)
    assert str(error.value) == f"{tmp_path / 'annotations'}: is there already, expected a folder without it"
    assert not (tmp_path / "videos").exists()

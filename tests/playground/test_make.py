import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.base.files import digest_tree, files_below
from pipeline.playground.actions import CLASSES
from pipeline.playground.make import OUTS, Counts, film_specs, make_playground, render_film
from pipeline.playground.settings import Playground
from tests.playground.conftest import REPOSITORY, SMALL


def test_the_same_bytes_in_other_processes(made: tuple[Path, Counts], tmp_path: Path) -> None:
    """In two workers, started by a process with another order of hashes."""
    out, _ = made
    program = (
        "from pathlib import Path\n"
        "from pipeline.playground.make import make_playground\n"
        "from pipeline.playground.settings import Playground\n"
        "if __name__ == '__main__':\n"
        f"    make_playground(Path({str(tmp_path)!r}), Playground(**{SMALL!r}), workers=2)\n"
    )
    script = tmp_path / "program.py"
    script.write_text(program)
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, str(script)], env=environment, check=True, timeout=120)
    for name in OUTS:
        assert digest_tree(tmp_path / name) == digest_tree(out / name), name


def test_more_films_change_no_film(made: tuple[Path, Counts], tmp_path: Path) -> None:
    """A film's specification does not say how many there are, and nothing else reaches its bytes."""
    out, _ = made
    more = film_specs(**{**SMALL, "train_videos": 3, "val_videos": 2})
    assert set(film_specs(**SMALL)) < set(more)
    spec = next(each for each in more if each.script().video_id == "train_001")
    again = hashlib.sha256(render_film(tmp_path, spec).read_bytes()).hexdigest()
    assert again == hashlib.sha256((out / "videos/train_001.mp4").read_bytes()).hexdigest()


def test_the_out_is_whole_or_absent(tmp_path: Path) -> None:
    def breaks(spec: object) -> Path:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        make_playground(tmp_path / "source", Playground(**SMALL), workers=1, film_file=breaks)
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_videos": 0}, "playground: 0 train and 1 val videos, expected 1 or more of each"),
        ({"val_videos": 0}, "playground: 2 train and 0 val videos, expected 1 or more of each"),
        (
            {"min_seconds": 19},
            "playground: found dataset.playground.min_seconds 19 and dataset.playground.max_seconds 22, expected 20 "
            "or more, "
            "and the second from the first to 600",
        ),
        (
            {"min_seconds": 23},
            "playground: found dataset.playground.min_seconds 23 and dataset.playground.max_seconds 22, expected 20 "
            "or more, "
            "and the second from the first to 600",
        ),
        (
            {"max_seconds": 601},
            "playground: found dataset.playground.min_seconds 20 and dataset.playground.max_seconds 601, expected 20 "
            "or more, "
            "and the second from the first to 600",
        ),
        ({"width": 65}, "playground: 65x48 pixels, expected even sides and a height of 48 to 480"),
        ({"height": 46}, "playground: 64x46 pixels, expected even sides and a height of 48 to 480"),
        ({"width": 60}, "playground: 60x48 pixels, expected 4:3 to 2.4:1"),
        ({"width": 120}, "playground: 120x48 pixels, expected 4:3 to 2.4:1"),
    ],
)
def test_bad_sizes_are_refused(changed: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as raised:
        film_specs(**{**SMALL, **changed})
    assert str(raised.value) == message


def test_the_mini_data_set_has_signals_dances_and_all_groups_in_train() -> None:
    specs = film_specs(train_videos=3, val_videos=1, min_seconds=20, max_seconds=20, width=160, height=120, seed=2026)
    group = {each.id: each.group for each in CLASSES}
    films = [spec.script() for spec in specs]
    groups = Counter(
        (film.split, group[action])
        for film in films
        for second in range(film.seconds)
        for _, actions in film.labels(second)
        for action in actions
    )
    assert {name for split, name in groups if split == "train"} == set(group.values())
    assert groups["val", "long-term"] == 8
    assert {film.signals[0][1] for film in films[:3]} == {"raise", "spread", "hands_on_head"}

"""Find the films that a user names: files, folders, globs, and lists of paths."""

import glob
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import InputError
from pipeline.base.problems import Problem
from pipeline.tables.film_ids import ID_EXPECTED, composed, is_id
from pipeline.video.folder import find_videos, path_name

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class FilmSource:
    """A film to predict."""

    video_id: str
    path: Path
    frame_rate: float | None = None
    "Pictures per second of a folder of pictures; None for a file."


def find_films(words: Sequence[str], lines: Iterable[str] | None = None) -> tuple[list[FilmSource], list[Problem]]:
    """Return the films that words name, in their order, and what cannot be one.

    Args:
        words: files, folders (every film below them), globs, or `-`, which stands for one path a line in `lines`.
        lines: None reads standard input.

    Raises:
        InputError: there is nothing at a path, no film at all, or two films have the same name and so the same id.
    """
    films: dict[str, FilmSource] = {}
    problems: list[Problem] = []
    for path in _paths(words, sys.stdin if lines is None else lines):
        if path.is_dir():
            found = find_videos(path)
            new = [FilmSource(name, each, found.rates.get(name)) for name, each in found.paths.items()]
            problems += found.problems
        else:
            new = [FilmSource(composed(path_name(path.parent, path)), path)]
        for film in new:
            if not is_id(film.video_id):
                problems.append(Problem(str(film.path), film.video_id, "a name that cannot be an id", ID_EXPECTED))
                continue
            known = films.setdefault(film.video_id, film)
            if known.path.resolve() != film.path.resolve():
                raise InputError(f"{known.path} and {film.path} give the same id {film.video_id!r}, expected one film")
    if not films:
        raise InputError(f"{' '.join(words) or 'no source'}: no film there, expected files, folders or globs of films")
    return list(films.values()), problems


def _paths(words: Sequence[str], lines: Iterable[str]) -> Iterator[Path]:
    for word in words:
        if word == STANDARD_INPUT:
            yield from _paths([line.strip() for line in lines if line.strip()], [])
        elif Path(word).exists():
            yield Path(word)
        elif found := sorted(glob.glob(word, recursive=True)):  # noqa: PTH207 - the pattern may be absolute
            yield from map(Path, found)
        else:
            raise InputError(f"{word}: no such file, folder or glob of films")

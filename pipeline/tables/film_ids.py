"""Ids of films: which texts are valid ids, and which film a file name stands for."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

VIDEO_SUFFIXES = (
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob",
    ".webm", ".wmv",
)  # fmt: skip
# A file system allows names of 255 bytes, and we append suffixes.
MAX_BYTES = 200
ID_EXPECTED = (
    "printable characters without '/', '\\', ',' and '\"', no first '.', no blank at either end, at most 200 bytes "
    "(a blank or sign counts as three)"
)


def composed(text: str) -> str:
    """Compose each letter and its accents into one character (NFC): some systems decompose them in file names."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def is_id(text: str) -> bool:
    """Return whether a text can be a film's id, which becomes part of file names and a field of CSV without quotes."""
    return (
        text.isprintable()
        and 0 < sum(len(each.encode()) * (1 if each.isalnum() or each in "-_" else 3) for each in text) <= MAX_BYTES
        and text == text.strip()
        and not text.startswith(".")
        and not any(each in text for each in '/\\,"')
    )


def has_ending(name: str) -> bool:
    """Return whether a name is that of a video file."""
    stem, dot, ending = name.rpartition("/")[2].rpartition(".")
    return bool(stem) and f"{dot}{ending.lower()}" in VIDEO_SUFFIXES


def film_of(name: str) -> str:
    """Return the id of the film in a video file: `clips/a.mp4` gives `a`. Other names are returned unchanged."""
    return name.rpartition("/")[2].rpartition(".")[0] if has_ending(name) else name


def names_beside(what: str, theirs: Iterable[str], annotated: Sequence[str], where: str = "the annotations") -> str:
    """Show one example of each of two sets of names that have none in common, and guess which mean the same film.

    Args:
        what: what has the names `theirs`.
        theirs: names of films.
        annotated: names of films in the annotations, at least one.
        where: what has the names `annotated`.
    """
    theirs = sorted(theirs)
    other, own = pair_alike(theirs, annotated) or (theirs[0] if theirs else "none", annotated[0])
    return f"{other!r} in {what}, {own!r} in {where}{guess_at_names(theirs, annotated)}"


def guess_at_names(theirs: Iterable[str], annotated: Iterable[str]) -> str:
    """Ask which names may mean the same film, as ` (is b.mp4 B?)`; empty if no two are similar."""
    both = pair_alike(theirs, annotated)
    return f" (is {both[0]} {both[1]}?)" if both else ""


def pair_alike(theirs: Iterable[str], annotated: Iterable[str]) -> tuple[str, str] | None:
    """Return (a name of `theirs`, the first annotated name that is similar to it); None if no two are similar."""
    by_core = {_core(each): each for each in sorted(theirs, reverse=True)}
    return next(((by_core[_core(each)], each) for each in annotated if _core(each) in by_core), None)


def alike(name: str, others: Iterable[str]) -> str:
    """Return the first of other names that may mean the same film; empty if there is none."""
    return next((each for each in sorted(others) if _core(each) == _core(name)), "")


def _core(name: str) -> str:
    """Reduce a name to lower case without folder and suffix, with one separator between words and none at the ends."""
    return re.sub("[ _.-]+", "_", film_of(name).rpartition("/")[2].lower()).strip("_")

"""Ids of films: what may be one, and which film the name of a file stands for."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

VIDEO_SUFFIXES = (
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob",
    ".webm", ".wmv",
)  # fmt: skip
# A file system takes names of 255 bytes, and we add endings.
MAX_BYTES = 200
ID_EXPECTED = (
    "printable characters without '/', '\\', ',' and '\"', no first '.', no blank at either end, at most 200 bytes "
    "(a blank or sign counts as three)"
)


def composed(text: str) -> str:
    """A text with each letter and its accents as one character: some systems write names of files otherwise."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def is_id(text: str) -> bool:
    """Whether a text can be a film's id: it becomes part of file names, and a field of CSV files without quotes."""
    return (
        text.isprintable()
        and 0 < sum(len(each.encode()) * (1 if each.isalnum() or each in "-_" else 3) for each in text) <= MAX_BYTES
        and text == text.strip()
        and not text.startswith(".")
        and not any(each in text for each in '/\\,"')
    )


def has_ending(name: str) -> bool:
    """Whether a name is that of a video file."""
    stem, dot, ending = name.rpartition("/")[2].rpartition(".")
    return bool(stem) and f"{dot}{ending.lower()}" in VIDEO_SUFFIXES


def film_of(name: str) -> str:
    """The id of the film in a video file: `clips/a.mp4` is `a`. Other names stay."""
    return name.rpartition("/")[2].rpartition(".")[0] if has_ending(name) else name


def names_beside(what: str, theirs: Iterable[str], annotated: Sequence[str], where: str = "the annotations") -> str:
    """An example of either side, of names that are never the same, and a guess at which are.

    Args:
        what: that has the names `theirs`.
        theirs: names of films.
        annotated: names of films in the annotations, one at least.
        where: what has the names `annotated`.
    """
    theirs = sorted(theirs)
    other, own = pair_alike(theirs, annotated) or (theirs[0] if theirs else "none", annotated[0])
    return f"{other!r} in {what}, {own!r} in {where}{guess_at_names(theirs, annotated)}"


def guess_at_names(theirs: Iterable[str], annotated: Iterable[str]) -> str:
    """A question behind two lists of names, ` (is b.mp4 B?)`; empty where no name is like another."""
    both = pair_alike(theirs, annotated)
    return f" (is {both[0]} {both[1]}?)" if both else ""


def pair_alike(theirs: Iterable[str], annotated: Iterable[str]) -> tuple[str, str] | None:
    """The first annotated name that one of theirs is like, behind the latter; None where there is none."""
    by_core = {_core(each): each for each in sorted(theirs, reverse=True)}
    return next(((by_core[_core(each)], each) for each in annotated if _core(each) in by_core), None)


def alike(name: str, others: Iterable[str]) -> str:
    """Which of other names may mean the same film; empty where none does."""
    return next((each for each in sorted(others) if _core(each) == _core(name)), "")


def _core(name: str) -> str:
    """What is left of a name without folder, ending and case, whatever joins its words or hangs on to its ends."""
    return re.sub("[ _.-]+", "_", film_of(name).rpartition("/")[2].lower()).strip("_")

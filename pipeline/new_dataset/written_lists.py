"""Handle lists of films that `new-dataset` wrote and nobody edited since: --force replaces only these.

The lists lie beside annotations and boxes. `conf/dataset/NAME.yaml` holds their digests, so that a file of the user, or
an edited one, is never replaced.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.annotations.frame_times import NAME as FRAME_TIMES
from pipeline.base.files import digest_file

LISTS = ("videos.csv", FRAME_TIMES)
NOTE = re.compile(
    rf"^# new-dataset wrote (?:{'|'.join(map(re.escape, LISTS))}): sha256 ([0-9a-f]{{64}})$", re.MULTILINE
)


def lists_in(folders: Iterable[Path]) -> list[Path]:
    """Return the lists in the folders."""
    paths = [folder / name for folder in dict.fromkeys(folders) for name in LISTS]
    return [path for path in paths if path.is_file()]


def remove_written(folders: Iterable[Path], conf: Path) -> None:
    """Remove the lists whose bytes have a digest in `conf/dataset/*.yaml`, as `new-dataset` wrote them."""
    texts = [path.read_text(errors="replace") for path in sorted((conf / "dataset").glob("*.yaml"))]
    ours = {digest for text in texts for digest in NOTE.findall(text)}
    for path in lists_in(folders):
        if digest_file(path) in ours:
            path.unlink()


def note_lines(paths: Sequence[Path]) -> list[str]:
    """Return the lines of `conf/dataset/NAME.yaml` that hold the digests of written lists."""
    if not paths:
        return []
    return [
        "# Lists of films beside annotations and boxes: new-dataset --force writes them again unless they were edited.",
        *(f"# new-dataset wrote {path.name}: sha256 {digest_file(path)}" for path in paths),
    ]

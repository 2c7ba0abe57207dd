"""`manifest.json` of a frame store: the record of each video, and the file that holds its frames.

It is JSON for any reader, with one line per video in the order of the ids. To open a store of 100 000 videos, the file
is mapped and the positions of the lines are noted; a record is parsed only when it is needed. Processes that read the
same store share the mapped bytes.
"""

import json
import mmap
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.base.checksums import REMEDY, SEAL, UNSEALED, check_seal, seal_json
from pipeline.base.errors import InputError
from pipeline.base.files import json_text, read_json, write_bytes

FORMAT = "actionbank frame store 3"
VIDEOS = '"videos": {\n'
# An id has no quotes or backslashes (`pipeline.tables.film_ids`), so JSON does not escape it.
LINE = re.compile(rb'^"([^"\\\n]+)": (\{.*\}),?$', re.MULTILINE)


def write_manifest(folder: Path, videos: Mapping[str, Mapping[str, Any]], **settings: Any) -> None:
    """Write `manifest.json`, which makes a folder of files a store; call it last.

    Args:
        folder: the store's folder, with the files.
        videos: for each video id its provenance, `rows` and the `sha256` of its frames; if the video shares a file also
            `file` and `first_batch`: the file's name, and the number of the video's first record batch in it.
        **settings: values that apply to all videos: `fps` (required), `short_side`, `quality`, `pack`.
    """
    entries = {name: {"file": f"{name}.arrow", "first_batch": 0, **videos[name]} for name in sorted(videos)}
    sizes = {name: (folder / name).stat().st_size for name in sorted({str(each["file"]) for each in entries.values()})}
    head = {**settings, "format": FORMAT, "file_bytes": sizes, "video_count": len(entries), SEAL: UNSEALED.decode()}
    head_lines = "".join(f"{_line(key, head[key])},\n" for key in sorted(head))
    lines = ",\n".join(_line(name, entry) for name, entry in entries.items())
    text = f"{{\n{head_lines}{VIDEOS}{lines}\n}}\n}}\n"
    write_bytes(folder / "manifest.json", seal_json(text.encode()), read_only=True)


def _line(key: str, value: Any) -> str:
    return f'"{key}": {json_text(value, indent=None).rstrip()}'


def mapped_bytes(path: Path) -> mmap.mmap:
    """Map a whole file into memory, to be read.

    Raises:
        OSError: it cannot be read.
        ValueError: it is empty.
    """
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class StoreManifest:
    """The memory-mapped manifest of a store.

    Args:
        path: `manifest.json`.

    Attributes:
        path: `manifest.json`.
        settings: values that apply to all videos.
        file_bytes: size of each file.
        video_ids: sorted.

    Raises:
        InputError: the file is absent, truncated or of another format.
        DamagedError: its bytes have changed since it was written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._data: mmap.mmap | bytes = mapped_bytes(path)
        except (OSError, ValueError):  # absent or empty: reported below
            self._data = b""
        start = self._data.find(b"\n" + VIDEOS.encode())
        try:
            head = json.loads(self._data[:start].rstrip(b",") + b"}") if start >= 0 else read_json(path)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: not JSON: {error}; {REMEDY}") from None
        found = head.get("format") if isinstance(head, dict) else None
        if found != FORMAT:
            raise InputError(f"{path}: format is {found!r}, expected {FORMAT!r}; run extract_frames")
        spans = {match[1].decode(): match.span(2) for match in LINE.finditer(self._data, max(start, 0))}
        expected = head.pop("video_count", None)
        if start < 0 or len(spans) != expected or self._data[-5:] != b"\n}\n}\n":
            raise InputError(f"{path}: found {len(spans)} whole lines of videos, expected {expected}; {REMEDY}")
        check_seal(self._data[:], str(path), required=True)
        del head[SEAL]
        self.file_bytes: dict[str, int] = head.pop("file_bytes")
        self.settings: dict[str, Any] = head
        self.video_ids = sorted(spans)
        self._spans = spans

    def entry(self, video_id: str) -> dict[str, Any]:
        """Return the record of a video.

        Raises:
            InputError: there is none, or it is damaged.
        """
        try:
            start, end = self._spans[video_id]
            entry: dict[str, Any] = json.loads(self._data[start:end])
        except KeyError:
            raise InputError(
                f"{self.path.parent}: no frames of video {video_id!r} among {len(self._spans)} videos; "
                "see problems.json there, or run extract_frames"
            ) from None
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InputError(f"{self.path}: video {video_id!r}: not JSON: {error}; {REMEDY}") from None
        return entry

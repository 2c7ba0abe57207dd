"""Folders of numbered pictures that stand for films, one picture per frame: `VIDEO/img_00001.jpg`.

Picture 1 is the film's time 0, or picture 0 where there is one; picture n stands at (n - 1) / rate seconds. The rate is
told (`pipeline/video/folder.py`), since pictures have none.
"""

import re
import struct
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from math import gcd
from pathlib import Path

import av
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pipeline.files import digest_file, digest_value, visible_folders
from pipeline.video.probe import DecodeError

KINDS = {".jpg": "mjpeg", ".jpeg": "mjpeg", ".png": "png"}
"Codec of a picture by its suffix, as FFmpeg calls it."
NUMBERED = re.compile(r"(.*?)([0-9]{1,18})")
# Prefixes of frames, where other pictures (masks, depth) lie beside them; the folder's name is one, too.
USUAL = ("", "img", "image", "frame")
PAIRS = {"x": "y", "y": "x", "u": "v", "v": "u"}
EXPECTED = "pictures with one name and numbers from 0 or 1 on, as img_00001.jpg"
JPEG, PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
ORIENTATION = 0x0112


@dataclass(frozen=True)
class Pictures:
    """The frames of one folder."""

    names: dict[int, str]
    "Name by number, ascending."
    codec: str
    fault: str = ""
    "Why they are no film; then there may be no names."

    @property
    def first(self) -> int:
        """The number at time 0."""
        return 0 if 0 in self.names else 1

    @property
    def expected(self) -> int:
        """How many there are if none is missing."""
        return max(self.names, default=0) - self.first + 1

    def describe(self) -> str:
        """How many, and their numbers."""
        numbers = list(self.names)
        step = gcd(*(b - a for a, b in pairwise(numbers)))
        steps = f" in steps of {step}" if step > 1 else ""
        return f"{len(numbers)} pictures with numbers {numbers[0]} to {numbers[-1]}{steps}"


def find_pictures(folder: str, names: Iterable[str]) -> Pictures | None:
    """The pictures among the files of a folder that are the frames of a film; None where no name has a number.

    Pictures of optical flow beside them (`flow_x_00001.jpg` and `flow_y_00001.jpg`) are left aside: two names that
    differ in x and y, or u and v, at their end. Of several other names a usual one (`img`, `image`, `frame`, the name
    of the folder, none) is taken, if there is one of these.

    Args:
        folder: its name.
        names: of its files.
    """
    groups: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for name in names:
        stem, dot, suffix = name.rpartition(".")
        kind = KINDS.get(f"{dot}{suffix.lower()}")
        match = NUMBERED.fullmatch(stem) if kind else None
        if kind and match:
            groups[match[1], kind].append((int(match[2]), name))
    if not groups:
        return None
    prefixes = {prefix for prefix, _ in groups}
    frames = {key: each for key, each in groups.items() if not _is_flow(key[0], prefixes)}
    if len(frames) > 1:
        usual = {key: each for key, each in frames.items() if _core(key[0]) in (*USUAL, _core(folder))}
        frames = usual if len(usual) == 1 else frames
    if len(frames) != 1:
        told = ", ".join(f"{len(each)} as {min(each)[1]}" for _, each in sorted((frames or groups).items()))
        return Pictures({}, "", f"pictures of {'optical flow alone' if not frames else 'several names'}: {told}")
    ((_, codec), found), *_ = frames.items()
    found.sort()
    for (one, name), (other, same) in pairwise(found):
        if one == other:
            return Pictures({}, codec, f"two pictures of number {one}: {name} and {same}")
    return Pictures(dict(found), codec)


def _core(prefix: str) -> str:
    return prefix.rstrip("_-. ").lower()


def _is_flow(prefix: str, prefixes: Iterable[str]) -> bool:
    core = _core(prefix)
    other = PAIRS.get(core[-1:])
    return other is not None and any(_core(each) == core[:-1] + other for each in prefixes)


def list_pictures(folder: Path) -> Pictures:
    """The pictures of a folder that are a film's frames.

    Raises:
        DecodeError: they are none, or no longer there.
        InputError: the folder cannot be read.
    """
    _, names = next(visible_folders(folder), (folder, []))
    found = find_pictures(folder.name, names)
    if found is None or found.fault:
        raise DecodeError(folder, found=found.fault if found else "no pictures", expected=EXPECTED)
    return found


def digest_pictures(folder: Path) -> str:
    """sha256 (hex) over the names and bytes of the pictures that are a film's frames.

    Raises:
        DecodeError: see `list_pictures`.
        OSError: one cannot be read.
    """
    return digest_value({name: _digest(folder / name) for name in list_pictures(folder).names.values()})


def _digest(path: Path) -> str:
    try:
        return digest_file(path)
    except (FileNotFoundError, IsADirectoryError):  # a link to nothing: a lost picture
        return ""


def decode_picture(data: bytes) -> tuple[NDArray[np.uint8], bool]:
    """A JPEG or PNG as it is displayed.

    Returns:
        (RGB [height, width, 3], whether its bytes are a JPEG that shows just this)

    Raises:
        ValueError: it is neither, or damaged, or cut off.
    """
    if not data:
        raise ValueError("0 bytes")
    if data.startswith(PNG):
        return _decode_png(data), False
    if not data.startswith(JPEG):
        raise ValueError("no JPEG and no PNG")
    picture = simplejpeg.decode_jpeg(data, colorspace="RGB")
    turn = _orientation(data)
    return (picture, True) if turn == 1 else (_turned(picture, turn), False)


def _decode_png(data: bytes) -> NDArray[np.uint8]:
    if b"IEND" not in data[-16:]:
        raise ValueError("a PNG that is cut off")
    try:
        with av.open(BytesIO(data), format="png_pipe", options={"err_detect": "crccheck+explode"}) as container:
            frame = next(container.decode(video=0))
            return np.ascontiguousarray(frame.to_ndarray(format="rgb24"), np.uint8)
    except MemoryError:
        raise
    except (av.FFmpegError, StopIteration, IndexError) as error:
        raise ValueError(f"a damaged PNG ({getattr(error, 'strerror', None) or 'no picture in it'})") from None


def _orientation(data: bytes) -> int:
    """The turn, 1 to 8, that a camera wrote into a JPEG (Exif); 1, upright, where there is none that can be read."""
    place = 2
    while data[place : place + 1] == b"\xff" and len(data) >= place + 4:
        marker, size = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xDA:  # the picture itself
            break
        block = data[place + 4 : place + 2 + size]
        if marker == 0xE1 and block.startswith(b"Exif\0\0"):
            return _exif_orientation(block[6:])
        place += 2 + size
    return 1


def _exif_orientation(tiff: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
            if tag == ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _turned(picture: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    if turn >= 5:
        picture = picture.transpose(1, 0, 2)
    if turn in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    if turn in (3, 4, 7, 8):
        picture = picture[::-1]
    return np.ascontiguousarray(picture)

"""Read a folder of pictures that is a film: digest and decode its pictures."""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pipeline.base.files import digest_file, digest_value, visible_folders
from pipeline.video.numbering import EXPECTED, Pictures, find_pictures
from pipeline.video.probe import DecodeError

JPEG, PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
ORIENTATION = 0x0112
IMAGE_DATA, EXIF, COMMENT = 0xDA, 0xE1, 0xFE


def list_pictures(folder: Path) -> Pictures:
    """List the pictures of a folder that are a film's frames.

    Raises:
        DecodeError: the folder is not a film, or no longer exists.
        InputError: the folder cannot be read.
    """
    _, names = next(visible_folders(folder), (folder, []))
    found = find_pictures(folder.name, names)
    if found is None or found.fault:
        raise DecodeError(folder, found=found.fault if found else "no pictures", expected=EXPECTED)
    return found


def digest_pictures(folder: Path) -> str:
    """Compute the sha256 (hex) over the names and bytes of the pictures that are a film's frames.

    Raises:
        DecodeError: see `list_pictures`.
        OSError: a picture cannot be read.
    """
    return digest_value({name: _digest(folder / name) for name in list_pictures(folder).names.values()})


def _digest(path: Path) -> str:
    try:
        return digest_file(path)
    except (FileNotFoundError, IsADirectoryError):  # such as a link to nothing, which counts as a lost picture
        return ""


def decode_picture(data: bytes) -> tuple[NDArray[np.uint8], bool]:
    """Decode a JPEG or PNG as it is displayed.

    Returns:
        (RGB [height, width, 3], whether `data` is a JPEG that shows exactly this without rotation)

    Raises:
        ValueError: it is neither, or it is damaged or truncated.
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
    _check_png(data)
    try:
        with av.open(BytesIO(data), format="png_pipe") as container:
            frame = next(container.decode(video=0))
            return np.ascontiguousarray(frame.to_ndarray(format="rgb24"), np.uint8)
    except MemoryError:
        raise
    except (av.FFmpegError, StopIteration, IndexError) as error:
        raise ValueError(f"a damaged PNG ({getattr(error, 'strerror', None) or 'no picture in it'})") from None


def _check_png(data: bytes) -> None:
    """Check the checksum of each chunk, because FFmpeg shows the missing part of a damaged picture in black."""
    place, kind = len(PNG), b""
    while kind != b"IEND":
        size = int.from_bytes(data[place : place + 4], "big")
        end = place + 8 + size
        if end + 4 > len(data):
            raise ValueError("a PNG that is cut off")
        kind = data[place + 4 : place + 8]
        if zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise ValueError("a damaged PNG")
        place = end + 4


def jpeg_comment(data: bytes) -> str:
    """Return the comment in a JPEG, which names its writer if that is FFmpeg (`Lavc59.37.100`); empty without one."""
    blocks = (block for marker, block in _segments(data) if marker == COMMENT)
    return next(blocks, b"").rstrip(b"\0").decode("ascii", "replace")


def _orientation(data: bytes) -> int:
    """Return the orientation, 1 to 8, that a camera wrote into a JPEG (Exif); 1 (upright) if none can be read."""
    for marker, block in _segments(data):
        if marker == EXIF and block.startswith(b"Exif\0\0"):
            return _exif_orientation(block[6:])
    return 1


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of what stands in a JPEG before its image data."""
    place = 2
    while data[place : place + 1] == b"\xff" and len(data) >= place + 4:
        marker, size = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == IMAGE_DATA:
            return
        yield marker, data[place + 4 : place + 2 + size]
        place += 2 + size


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

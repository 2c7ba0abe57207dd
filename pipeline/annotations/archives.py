"""Open annotation files that lie in a subfolder or in a zip archive, as annotation tools export them.

An archive is not trusted: none of its names becomes a path, nothing is unpacked to disk, and the size of a member is
limited, whatever size the archive states.
"""

import zipfile
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pipeline.base.errors import InputError

# Enough for an hour of twenty persons. An archive of a few kB may unpack to gigabytes.
MOST_BYTES = 1 << 28
CHUNK = 1 << 20


@dataclass(frozen=True, order=True)
class Member:
    """A file, or a member of an archive."""

    path: Path
    "The file or the archive."
    name: str
    "Path below the annotation folder, for messages: `task_a/annotations.xml`, `task_a.zip/annotations.xml`."
    member: str = ""
    "Name of the member in the archive; empty for a plain file."

    def __str__(self) -> str:
        return str(self.path) + (f"/{self.member}" if self.member else "")

    def content(self) -> BytesIO | None:
        """Return the bytes of an archive's member; None for a plain file, which is read where it lies.

        Raises:
            InputError: the archive is damaged or locked, or the member is too large.
        """
        if not self.member:
            return None
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
                data = bytearray()
                while chunk := file.read(CHUNK):
                    data += chunk
                    if len(data) > MOST_BYTES:
                        raise InputError(f"{self}: holds more than {MOST_BYTES} bytes: unpack it if that is right")
        except RuntimeError:
            raise InputError(f"{self}: is locked with a password: unpack it") from None
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, ValueError) as error:
            raise InputError(f"{self}: cannot be unpacked ({error}): export it again, or unpack it") from None
        except OSError as error:
            raise InputError(f"{self}: cannot be read: {error.strerror or error}") from None
        return BytesIO(bytes(data))


def whole(path: Path, folder: Path) -> Member:
    """Return the member that stands for a whole file in the folder or below it."""
    return Member(path, path.relative_to(folder).as_posix())


def members(path: Path, ending: str) -> list[str]:
    """Return the sorted names in an archive that have an ending; names that start with a dot are skipped.

    Raises:
        InputError: the file is no zip archive, or a damaged one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        raise InputError(f"{path}: no zip archive ({error})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    kept = [name for name in names if name.lower().endswith(ending)]
    return sorted(name for name in kept if not name.rsplit("/", 1)[-1].startswith(".") and "__MACOSX" not in name)

"""A bank on another machine: in a DVC repository at a revision, or under any URL that fsspec reads.

Opening it reads only the manifest. A part is fetched when some of it is read, checked against the manifest, and kept
in a cache folder on this machine, where windows map it like the parts of any other bank:

    bank = open_remote("data/playground/bank/train.zarr", repo="https://host/films.git", rev="v1")
    windows = StreamedWindows([bank], min_score=bank.provenance["box_threshold"])
    features, mask = windows.gather(windows.slots(["film"], [30.0], seconds=60, per_second=5))
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipeline.bank.format import MANIFEST, Manifest, Part, listing_digest, parse_manifest, part_folder
from pipeline.bank.part_cache import PartCache
from pipeline.bank.parts import check_shard_sizes, check_stored
from pipeline.bank.reader import Bank
from pipeline.base.checksums import parse_sealed_json
from pipeline.base.errors import DamagedError, InputError
from pipeline.base.files import digest_file, digest_value

CACHE_BYTES = 16 << 30  # several banks of AVA (1.6 GB each at fp16)
THREADS = 8  # files fetched at a time
PUSH_AGAIN = "the copy there is damaged: remove it and push the bank again from where it is whole"
NOT_PUSHED = "No storage files available"  # DVC's words for a tracked file that no storage holds
NO_LISTING = "DataIndexDirError"  # DVC's error for a folder whose list of files no storage holds


class Remote:
    """The files of a bank on another machine; safe after a fork and in several threads, and picklable.

    Args:
        path: of the bank in `repo`; without a repository a folder or a URL.
        repo: URL or folder of a DVC repository.
        rev: branch, tag or commit of the repository.
        options: of the file system.

    Raises:
        InputError: a revision is given without a repository.
    """

    def __init__(self, path: str, repo: str | None, rev: str | None, options: Mapping[str, Any]) -> None:
        self._place = (path, repo, rev, options)
        self._connected: tuple[int, Any, str] | None = None  # process, file system, the bank's path in it
        if repo is None and rev is not None:
            raise InputError(f"{self}: rev is {rev!r}, expected none without a repository")

    def __reduce__(self) -> tuple[type["Remote"], tuple[Any, ...]]:
        return Remote, self._place

    def __str__(self) -> str:
        """Return the place, without a password, for messages."""
        path, repo, rev, _ = self._place
        return _without_password(path if repo is None else f"{repo}{f' at {rev}' if rev else ''}: {path}")

    def read(self, name: str) -> bytes:
        """Read a file's bytes.

        Raises:
            InputError: the place cannot be reached, or there is no such file.
        """
        system, root = self._connection()
        try:
            return bytes(system.cat_file(f"{root}/{name}"))
        except Exception as error:
            raise InputError(f"{self}: cannot read {name}: {_reason(error)}") from None

    def copy(self, below: str, names: Sequence[str], folder: Path) -> None:
        """Copy files from the folder `below` of the bank to the same names in `folder`, several at a time.

        Raises:
            InputError: as `read`.
        """
        system, root = self._connection()

        def copy(name: str) -> None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                system.get_file(f"{root}/{below}/{name}", str(folder / name))
            except Exception as error:
                raise InputError(f"{self}: cannot read {below}/{name}: {_reason(error)}") from None

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(copy, names))

    def _connection(self) -> tuple[Any, str]:
        if self._connected is None or self._connected[0] != os.getpid():
            try:
                self._connected = (os.getpid(), *self._connect())
            except ImportError as error:
                raise InputError(f"{self}: a package is missing: {error}") from None
            except Exception as error:  # DVC, git and object stores raise their own errors, without a common base
                raise InputError(f"{self}: cannot be reached: {_reason(error)}") from None
        return self._connected[1:]

    def _connect(self) -> tuple[Any, str]:
        path, repo, rev, options = self._place
        if repo is None:
            from fsspec.core import url_to_fs

            system, root = url_to_fs(path.rstrip("/"), **options)
            return system, str(root)
        from dvc.api import DVCFileSystem  # takes two seconds, which a plain URL does not need

        system = DVCFileSystem(repo, rev=rev, **options)
        system.info("/")  # opens the repository
        return system, path.strip("/")


def _without_password(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", text)


def _reason(error: BaseException) -> str:
    """Describe in one line what went wrong: the error and its first cause."""
    if NOT_PUSHED in str(error) or type(error).__name__ == NO_LISTING:
        return "it is neither in the cache nor in the remote"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    first = last = error
    while last.__cause__ is not None:
        last = last.__cause__
    texts = [f"{type(first).__name__}: {first}", *([str(last)] if last is not first else [])]
    return _without_password("; ".join(text.strip().splitlines()[0] for text in texts if text.strip()))


class RemoteParts(Mapping[str, Path]):
    """Part to its folder on this machine; looking up a part fetches it."""

    def __init__(self, remote: Remote, cache: PartCache, manifest: Manifest) -> None:
        self._remote = remote
        self._cache = cache
        self._manifest = manifest

    def __iter__(self) -> Iterator[str]:
        return iter(self._manifest.parts)

    def __len__(self) -> int:
        return len(self._manifest.parts)

    def __contains__(self, part: object) -> bool:
        return part in self._manifest.parts  # without fetching it

    def __getitem__(self, part: str) -> Path:
        entry = self._manifest.parts[part]
        key = digest_value([part, entry.to_json()])[:40]
        size = sum(size for each in entry.row_sets.values() for size in each.shard_bytes.values())
        return self._cache.take(
            key,
            size,
            lambda folder: self._fetch(part, entry, folder),
            lambda folder: check_stored(folder, entry, str(folder)),
        )

    def _fetch(self, part: str, entry: Part, folder: Path) -> None:
        """Copy a part into an empty folder and check it.

        Raises:
            InputError: a file is missing, unreadable or not what the manifest says.
        """
        self._remote.copy(part_folder(part), entry.files(), folder)
        check_part(folder, entry, f"{self._remote}: part {part!r}")


def check_part(folder: Path, entry: Part, where: str) -> None:
    """Check that a part holds the bytes that its manifest records.

    Raises:
        InputError: a shard is missing or has another size.
        DamagedError: names the file or row set, what was found and what was expected.
    """
    found = digest_file(folder / "zarr.json")
    if found != entry.metadata_sha256:
        raise DamagedError(f"{where}: zarr.json has sha256 {found}, expected {entry.metadata_sha256}; {PUSH_AGAIN}")
    for name, row_set in entry.row_sets.items():
        check_shard_sizes(folder / name, row_set, f"{where}: {name}", remedy="")
        found = listing_digest(folder / name, row_set.files())
        if found != row_set.sha256:
            raise DamagedError(f"{where}: {name} has digest {found}, expected {row_set.sha256}; {PUSH_AGAIN}")


def default_cache() -> Path:
    """Return the user's cache folder for parts, which all projects share."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "actionbank"


def open_remote(
    path: str,
    cache: Path | None = None,
    *,
    repo: str | None = None,
    rev: str | None = None,
    options: Mapping[str, Any] | None = None,
    cache_bytes: int = CACHE_BYTES,
) -> Bank:
    """Open a bank on another machine; its parts are fetched when they are read.

    Args:
        path: of the bank in `repo`; without a repository a folder or a URL, e.g. `s3://bucket/train.zarr`.
        cache: folder that keeps fetched parts, by default `default_cache()`. Processes and banks may share it. Parts
            with the same bytes are kept once, so a new revision fetches only what changed.
        repo: URL or folder of a DVC repository.
        rev: branch, tag or commit of the repository; by default the newest, or the current state of the folder.
        options: for `dvc.api.DVCFileSystem` (`remote`, `remote_config`) or for fsspec's file system (S3:
            `key`, `secret`, `endpoint_url`, `anon`).
        cache_bytes: bytes of parts kept on disk; the least recently used are dropped.

    Raises:
        InputError: the place, the revision or the bank does not exist, or the bank has another format version. Reading
            a part raises one if a file is missing or has other bytes than the manifest records.
    """
    remote = Remote(path, repo, rev, dict(options or {}))
    data = remote.read(MANIFEST)
    where = f"{remote}: {MANIFEST}"
    manifest = parse_manifest(parse_sealed_json(data, where, remedy=PUSH_AGAIN), where)
    folders = RemoteParts(remote, PartCache(cache or default_cache(), cache_bytes), manifest)
    digest = hashlib.sha256(data).hexdigest()
    return Bank(str(remote), manifest, folders, digest)

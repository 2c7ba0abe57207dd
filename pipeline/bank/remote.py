"""A bank on another machine: in a DVC repository at a revision, or under any URL that fsspec reads.

Opening it reads only the manifest. What is read of a part is fetched then, checked against the manifest, and kept in a
cache folder on this machine, where windows map it like the parts of any other bank. Features are one piece of a row
set, and all its small arrays another, so that the seconds of a bank are known before any feature is fetched:

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

from pipeline.bank.arrays import is_mappable
from pipeline.bank.films_ahead import CACHE_VARIABLE
from pipeline.bank.format import (
    MANIFEST,
    Manifest,
    Part,
    RowSet,
    array_spec,
    listing_digest,
    parse_manifest,
    part_folder,
    shard_name,
)
from pipeline.bank.part_cache import PartCache
from pipeline.bank.parts import check_shard_sizes, check_stored
from pipeline.bank.reader import Bank, open_bank
from pipeline.base.checksums import checksum_text, file_crc32c, parse_sealed_json, with_remedy
from pipeline.base.errors import DamagedError, InputError
from pipeline.base.files import digest_file, digest_value

CACHE_MB = 16 << 10  # several banks of AVA (1.6 GB each at fp16)
THREADS = 8  # files fetched at a time
PUSH_AGAIN = "the copy there is damaged: remove it and push the bank again from where it is whole"
NOT_PUSHED = "No storage files available"  # DVC's words for a tracked file that no storage holds
NO_CREDENTIALS = "no credentials were found: AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, say them"
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

        if len(names) == 1:
            copy(names[0])  # to start a thread costs a third of what it takes to fetch a film's features
            return
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
    if type(error).__name__ == "NoCredentialsError":
        return NO_CREDENTIALS
    if isinstance(error, FileNotFoundError):
        return "no such bucket" if "bucket does not exist" in str(error) else "no such file"
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
        self.reads: set[tuple[str, str]] = set()

    @property
    def cache_bytes(self) -> int:
        """Bytes that the cache folder keeps."""
        return self._cache.max_bytes

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

    def piece(self, part: str, row_set: str, array: str) -> Path:
        """Return a folder with the checked shard of an array, in the layout of the row set's folder; fetch the piece.

        A compressed array, and one of a bank without checksums of its shards, comes with its whole part.

        Raises:
            InputError: as `_fetch_piece`.
        """
        entry = self._manifest.parts[part].row_sets[row_set]
        if self._manifest.codec != "none" or not entry.shard_crc32c:
            return self[part] / row_set
        names = [name for name in entry.shard_bytes if (name == "features") == (array == "features")]
        return self._cache.take(
            digest_value([entry.sha256, names])[:40],
            sum(entry.shard_bytes[name] for name in names),
            lambda folder: self._fetch_piece(part, row_set, names, folder),
            lambda folder: _check_piece(folder, entry, names, str(folder), ""),
        )

    def _fetch(self, part: str, entry: Part, folder: Path) -> None:
        """Copy a part into an empty folder and check it.

        Raises:
            InputError: a file is missing, unreadable or not what the manifest says.
        """
        self._remote.copy(part_folder(part), entry.files(), folder)
        check_part(folder, entry, f"{self._remote}: part {part!r}")

    def _fetch_piece(self, part: str, row_set: str, names: Sequence[str], folder: Path) -> None:
        """Copy the shards of some arrays into an empty folder and check them.

        Raises:
            InputError: a shard is missing or unreadable.
            DamagedError: a shard has other bytes than the manifest says.
        """
        entry, below = self._manifest.parts[part].row_sets[row_set], f"{part_folder(part)}/{row_set}"
        self._remote.copy(below, [shard_name(name) for name in names], folder)
        _check_piece(folder, entry, names, f"{self._remote}: {below}", PUSH_AGAIN)
        for name in names:
            dtype, shape = array_spec(name, entry.rows, self._manifest.channels, self._manifest.dtype)
            if not is_mappable(folder, name, dtype, shape):  # another writer's: zarr reads it, by its metadata
                self._remote.copy(below, [f"{name}/zarr.json"], folder)


def _check_piece(folder: Path, entry: RowSet, names: Sequence[str], where: str, remedy: str) -> None:
    """Check the shards of some arrays against the manifest's sizes and checksums.

    Raises:
        DamagedError: names the shard, what was found and what was expected.
    """
    for name in names:
        path, size = folder / shard_name(name), entry.shard_bytes[name]
        found = path.stat().st_size if path.exists() else 0
        if found != size:
            raise DamagedError(with_remedy(f"{where}/{shard_name(name)}: has {found} bytes, expected {size}", remedy))
        checksum = checksum_text(file_crc32c(path))
        if checksum != entry.shard_crc32c[name]:
            fault = f"has CRC32C {checksum}, expected {entry.shard_crc32c[name]}"
            raise DamagedError(with_remedy(f"{where}/{shard_name(name)}: {fault}", remedy))


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


def default_cache_bytes() -> int:
    """Return the bytes that the cache folder may keep: `CACHE_VARIABLE`, in MiB, or else `CACHE_MB`.

    Raises:
        InputError: the variable is no whole number of 1 or more.
    """
    text = os.environ.get(CACHE_VARIABLE) or str(CACHE_MB)
    if not text.isdecimal() or not int(text):
        raise InputError(f"{CACHE_VARIABLE}: is {text!r}, expected a whole number of MiB, 1 or more")
    return int(text) << 20


def is_elsewhere(place: str) -> bool:
    """Return whether a bank's place is a URL, not a path of this machine."""
    return "://" in place


def open_place(place: str) -> Bank:
    """Open a bank in a folder of this machine or, by `open_remote`, under a URL.

    Raises:
        InputError: as `open_bank` and `open_remote`.
    """
    return open_remote(place) if is_elsewhere(place) else open_bank(Path(place))


def open_remote(
    path: str,
    cache: Path | None = None,
    *,
    repo: str | None = None,
    rev: str | None = None,
    options: Mapping[str, Any] | None = None,
    cache_bytes: int | None = None,
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
        cache_bytes: bytes of parts kept on disk, by default `default_cache_bytes()`; the least recently used are
            dropped.

    Raises:
        InputError: the place, the revision or the bank does not exist, or the bank has another format version. Reading
            a part raises one if a file is missing or has other bytes than the manifest records.
    """
    remote = Remote(path, repo, rev, dict(options or {}))
    kept = default_cache_bytes() if cache_bytes is None else cache_bytes
    data = remote.read(MANIFEST)
    where = f"{remote}: {MANIFEST}"
    manifest = parse_manifest(parse_sealed_json(data, where, remedy=PUSH_AGAIN), where)
    folders = RemoteParts(remote, PartCache(cache or default_cache(), kept), manifest)
    digest = hashlib.sha256(data).hexdigest()
    return Bank(str(remote), manifest, folders, digest, folders)

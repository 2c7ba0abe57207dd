"""Find damaged files: items of `.work`, outs of the stages, and objects of DVC's cache."""

import errno
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.bank.format import FORMAT as BANK_FORMAT
from pipeline.bank.format import MANIFEST
from pipeline.bank.parts import check_stored
from pipeline.bank.reader import open_bank
from pipeline.base.checksums import check_seal, read_sealed_json
from pipeline.base.errors import InputError
from pipeline.base.files import digest_file
from pipeline.base.progress import progress
from pipeline.base.work import check_item, item_folder, list_items
from pipeline.tables.schemas import check_values
from pipeline.video.store import FrameStore

SELF_CHECKED = (".parquet", ".json", ".safetensors")  # endings of files that carry their own checksum


@dataclass(frozen=True)
class Damage:
    """A damaged file, and what to remove so that it is made or fetched again."""

    fault: str  # one line that names the file
    remove: Path  # an item's folder, an object of the cache, or an out
    stage: str = ""  # of an item
    key: str = ""


def damaged_items() -> Iterator[Damage]:
    """Yield the items of `.work` whose bytes have changed since they were made; every byte is read."""
    for stage, key, _, _ in progress(list_items(), what="verify .work", unit="item"):
        folder = item_folder(stage, key)
        states = sorted(folder.glob("epoch_*"))
        for each in states or [folder]:
            try:
                if states:
                    _check_state(each)
                else:
                    check_item(stage, key, read_all=True)
            except InputError as error:
                yield Damage(str(error), each, stage, "" if states else key)


def _check_state(folder: Path) -> None:
    """Check that the saved state of a training holds the bytes that were written."""
    _check_sha256(folder / "state.safetensors", read_sealed_json(folder / "state.json", remedy="")["sha256"])


def damaged_outs(paths: list[Path]) -> Iterator[Damage]:
    """Yield the damaged ones of these outs, by their own checksums; absent outs are skipped."""
    for path in progress(paths, what="verify outs", unit="out"):
        if path.exists():
            yield from (Damage(fault, path) for fault in out_faults(path))


def out_faults(path: Path) -> list[str]:
    """Check one out by the checksums that banks, frames, tables, weights and JSON files carry; return the faults.

    In a folder every entry is checked; files that this program does not write are skipped.

    Raises:
        OSError: a file cannot be read (now, or by this user), so it is unknown whether it is damaged.
    """
    manifest = path / MANIFEST
    if path.is_dir() and manifest.is_file():
        if BANK_FORMAT.encode() in manifest.read_bytes()[: 1 << 20]:
            return _bank_faults(path)
        if path.name == "frames" or any(path.glob("*.arrow")):
            return _frame_faults(path)
    if path.is_dir():
        return [fault for below in sorted(path.iterdir()) for fault in out_faults(below)]
    try:
        _check_file(path)
    except InputError as error:
        return [str(error)]
    except OSError as error:
        if error.errno != errno.EIO:  # EIO: the disk has lost the file
            raise
        return [f"{path}: {error.strerror}"]
    return []


def _check_file(path: Path) -> None:
    if path.suffix == ".parquet":
        check_values(path)
    elif path.suffix == ".json":
        check_seal(path.read_bytes(), str(path), remedy="")
    elif path.suffix == ".safetensors" and path.with_suffix(".json").is_file():
        sidecar = read_sealed_json(path.with_suffix(".json"), remedy="")
        if isinstance(sidecar, dict) and "sha256" in sidecar:  # weights without a sha256 belong to another program
            _check_sha256(path, sidecar["sha256"])


def _check_sha256(path: Path, expected: Any) -> None:
    found = digest_file(path)
    if found != expected:
        raise InputError(f"{path}: is damaged: sha256 is {found[:12]}, was written with {str(expected)[:12]}")


def changed_sources(outs: Mapping[Path, str], cache: Path) -> Iterator[Damage]:
    """Yield the changed files (films, CSV) of outs below `data` that carry no checksum; compared with `dvc.lock`.

    Args:
        outs: path to md5 of outs that a stage can make again.
        cache: e.g. `.dvc/cache/files/md5`, which holds the listings of folders.
    """
    for out, md5 in sorted(outs.items()):
        if "data" not in out.parts or not out.is_dir() or (out / MANIFEST).is_file():
            continue
        for name, expected in listed_files(cache, md5).items():
            path = out / name
            if path.suffix in SELF_CHECKED or not path.is_file():
                continue
            if (found := digest_file(path, "md5")) != expected:
                yield Damage(f"{path}: is damaged or was changed: md5 is {found}, dvc.lock says {expected}", out)


def listed_files(cache: Path, name: str) -> dict[str, str]:
    """Read the md5 of each file of a folder from its listing in the cache; empty if that is absent or damaged."""
    listing = cache / name[:2] / name[2:]
    if not name.endswith(".dir") or not listing.is_file() or digest_file(listing, "md5") != name.removesuffix(".dir"):
        return {}
    return {str(each["relpath"]): str(each["md5"]) for each in json.loads(listing.read_bytes())}


def _bank_faults(path: Path) -> list[str]:
    faults = []
    try:
        bank = open_bank(path)
    except InputError as error:
        return [str(error)]
    for name, part in bank.manifest.parts.items():
        try:
            check_stored(bank.folders[name], part, f"{path}: part {name!r}", remedy="")
        except InputError as error:
            faults.append(str(error))
    return faults


def _frame_faults(path: Path) -> list[str]:
    faults = []
    try:
        store = FrameStore(path)
    except InputError as error:
        return [str(error)]
    for video_id in store.video_ids:
        try:
            store.check(video_id)
        except InputError as error:
            faults.append(str(error))
    return faults


def locked_outs(root: Path) -> tuple[dict[Path, str], dict[Path, str]]:
    """Read the path and md5 of every out that `dvc.lock` and the `.dvc` files of a project name.

    Returns:
        The outs that a stage can make again or that DVC can fetch from their origin; and the outs of `dvc add`, of
        which perhaps only the user has another copy.

    Raises:
        InputError: a file is not YAML, or not DVC's.
    """
    outs: dict[Path, str] = {}
    added: dict[Path, str] = {}
    for file in [root / "dvc.lock", *sorted(root.glob("*.dvc")), *sorted(root.glob("data/**/*.dvc"))]:
        if not file.is_file():
            continue
        try:
            content = yaml.safe_load(file.read_text()) or {}
            stages = content["stages"].values() if file.name == "dvc.lock" else [content]
            for stage in stages:
                again = outs if file.name == "dvc.lock" or stage.get("deps") else added
                for out in stage.get("outs", []):
                    if "md5" in out:
                        again[file.parent / stage.get("wdir", ".") / out["path"]] = str(out["md5"])
        except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
            raise InputError(f"{file}: is damaged, expected what DVC writes; `git checkout {file.name}`") from None
    return outs, added


def cached_objects(cache: Path, digests: Iterable[str]) -> list[Path]:
    """List the objects in DVC's cache that have these digests, or belong to folders that have them.

    Objects that exist only in a remote are left out: they are checked when they are pulled and read.

    Args:
        cache: e.g. `.dvc/cache/files/md5`.
        digests: md5 as `dvc.lock` has them; those of folders end in `.dir`.
    """
    names = set(digests)
    for name in digests:
        names |= set(listed_files(cache, name).values())
    paths = [cache / name[:2] / name[2:] for name in sorted(names)]
    return [path for path in paths if path.is_file()]


def damaged_objects(objects: list[Path]) -> Iterator[Damage]:
    """Yield the objects of DVC's cache whose bytes do not match their names."""
    for path in progress(objects, what="verify DVC's cache", unit="object"):
        name = path.parent.name + path.name
        found = digest_file(path, "md5")
        if found != name.removesuffix(".dir"):
            yield Damage(f"{path}: is damaged: md5 is {found}, its name says {name}", path)

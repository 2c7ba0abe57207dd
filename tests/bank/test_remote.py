import multiprocessing
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
import zarr
from typer.testing import CliRunner

from pipeline.bank.films_ahead import CACHE_VARIABLE
from pipeline.bank.format import MANIFEST
from pipeline.bank.part_cache import LOCKS
from pipeline.bank.reader import Bank, open_bank
from pipeline.bank.remote import CACHE_MB, PUSH_AGAIN, Remote, open_place, open_remote
from pipeline.bank.windows.resident import ResidentWindows
from pipeline.bank.windows.streamed import StreamedWindows
from pipeline.base.checksums import bytes_crc32c
from pipeline.base.errors import InputError
from pipeline.base.files import files_below
from pipeline.commands.bank import bank_app
from tests.bank.banks import make_rows, reseal_bank, write_small_bank
from tests.s3 import CREDENTIALS, s3_service

FILMS = ("film a", "film_b", "film_c")
SHARDS = ("boxes_xyxy/c/0/0", "features/c/0/0", "score/c/0", "timestamp/c/0")
KINDS = ("folder", "s3", "dvc with a folder", "dvc with s3")


def make_bank(path: Path, changed: int = 0) -> Path:
    """Three films; `changed` changes the rows of the second."""
    seeds = (1, 2 + 10 * changed, 3)
    return write_small_bank(
        path,
        {
            film: make_rows({float(second): 3 for second in range(10)}, seed=seed)
            for film, seed in zip(FILMS, seeds, strict=True)
        },
    )


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@dataclass(frozen=True)
class Places:
    """One bank in four places; each revision of the repository is in the remotes and not in its cache."""

    folder: Path
    endpoint: str
    pushed: dict[str, list[int]]  # remote: files that each push sent

    @property
    def log(self) -> Path:
        return self.folder / "moto.log"

    def open(self, kind: str, cache: Path, rev: str = "v1", **more) -> Bank:
        """The bank from one of the places."""
        if kind == "folder":
            return open_remote(str(self.folder / f"{rev}.zarr"), cache, **more)
        if kind == "s3":
            options = {"endpoint_url": self.endpoint}
            return open_remote(f"s3://banks/plain/{rev}.zarr", cache, options=options, **more)
        remote = "near" if kind == "dvc with a folder" else "far"
        repo = str(self.folder / "repository")
        return open_remote("bank/train.zarr", cache, repo=repo, rev=rev, options={"remote": remote}, **more)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    from dvc.repo import Repo

    folder = tmp_path_factory.mktemp("places")
    repository = folder / "repository"
    repository.mkdir()
    git(repository, "init", "-q")
    with pytest.MonkeyPatch.context() as patch, s3_service(folder) as endpoint:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        with Repo.init(str(repository)) as repo:
            with repo.config.edit() as config:
                config["core"]["remote"] = "near"
                config["remote"] = {
                    "near": {"url": str(folder / "store")},
                    "far": {"url": "s3://banks/store", "endpointurl": endpoint},
                }
            pushed: dict[str, list[int]] = {"near": [], "far": []}
            for number, rev in enumerate(("v1", "v2")):
                bank = make_bank(folder / f"{rev}.zarr", changed=number)
                shutil.rmtree(repository / "bank", ignore_errors=True)
                shutil.copytree(bank, repository / "bank/train.zarr")
                repo.add([str(repository / "bank/train.zarr")])
                for remote, counts in pushed.items():
                    counts.append(repo.push(remote=remote))
                git(repository, "add", "-A")
                git(repository, "commit", "-qm", rev)
                git(repository, "tag", rev)
        shutil.rmtree(repository / ".dvc/cache")
        store = fsspec.filesystem("s3", endpoint_url=endpoint)
        for rev in ("v1", "v2"):
            store.put(str(folder / f"{rev}.zarr"), f"banks/plain/{rev}.zarr", recursive=True)
        yield Places(folder, endpoint, pushed)


def held(cache: Path) -> list[Path]:
    """Folders of the parts that are in a cache."""
    return sorted(path for path in cache.iterdir() if path.name != LOCKS)


def windows_of(bank: Bank, make: Callable[..., ResidentWindows | StreamedWindows], films: tuple[str, ...]):
    windows = make([bank], min_score=0.5)
    slots = windows.slots(films, [5.0] * len(films), seconds=8, per_second=2, draw=(1, 2))
    return windows.gather(slots)


@pytest.mark.parametrize("kind", KINDS)
def test_one_films_window_fetches_one_part_and_all_windows_are_the_same(
    places: Places, tmp_path: Path, kind: str
) -> None:
    local = open_bank(places.folder / "v1.zarr")
    bank = places.open(kind, tmp_path)
    assert (bank.digest, bank.provenance, bank.split) == (local.digest, local.provenance, "train")
    assert bank.count("detections") == 90
    assert not tmp_path.joinpath(LOCKS).exists()  # nothing is fetched to open it
    expected, mask = windows_of(local, StreamedWindows, ("film_b",))
    assert mask.all()
    assert torch.equal(windows_of(bank, StreamedWindows, ("film_b",))[0], expected)
    pieces = held(tmp_path)
    original = places.folder / "v1.zarr" / "film_b/detections"
    assert {str(name): (piece / name).read_bytes() for piece in pieces for name in files_below(piece)} == {
        name: (original / name).read_bytes() for name in SHARDS
    }
    assert len(pieces) == 2
    for make in (StreamedWindows, ResidentWindows):
        for found, wanted in zip(windows_of(bank, make, FILMS), windows_of(local, make, FILMS), strict=True):
            assert torch.equal(found, wanted)
    assert len(held(tmp_path)) == 2 * 3


def test_one_films_window_reads_only_its_objects_from_s3(places: Places, tmp_path: Path) -> None:
    before = len(places.log.read_text())
    windows_of(places.open("s3", tmp_path), StreamedWindows, ("film_b",))
    read = {line.split('"')[1].split()[1] for line in places.log.read_text()[before:].splitlines() if '"GET' in line}
    wanted = {f"film_b/detections/{name}" for name in SHARDS}
    assert read == {f"/banks/plain/v1.zarr/{name}" for name in {MANIFEST, *wanted}}


@pytest.mark.parametrize("remote", ["near", "far"])
def test_a_changed_film_pushes_its_part_and_no_more(places: Places, remote: str) -> None:
    first, second = (
        {(places.folder / f"{rev}.zarr" / name).read_bytes() for name in files_below(places.folder / f"{rev}.zarr")}
        for rev in ("v1", "v2")
    )
    changed = {
        name
        for name in files_below(places.folder / "v2.zarr")
        if (places.folder / "v2.zarr" / name).read_bytes() != (places.folder / "v1.zarr" / name).read_bytes()
    }
    assert {name.parts[0] for name in changed} == {"film_b", MANIFEST}
    listing = 1  # DVC's list of the folder's files
    assert places.pushed[remote] == [len(first) + listing, len(second - first) + listing]
    assert places.pushed[remote][1] == len(changed) + listing < places.pushed[remote][0] / 2


@pytest.mark.parametrize("kind", ["folder", "dvc with a folder"])
def test_a_changed_film_fetches_its_part_and_no_more(places: Places, tmp_path: Path, kind: str) -> None:
    first = places.open(kind, tmp_path)
    windows_of(first, ResidentWindows, FILMS)
    before = held(tmp_path)
    second = places.open(kind, tmp_path, rev="v2")
    assert second.digest != first.digest
    found = windows_of(second, ResidentWindows, FILMS)[0]
    assert torch.equal(found, windows_of(open_bank(places.folder / "v2.zarr"), ResidentWindows, FILMS)[0])
    assert len(set(held(tmp_path)) - set(before)) == 2


def test_the_cache_is_bounded_and_what_is_mapped_stays(places: Places, tmp_path: Path) -> None:
    bank = places.open("folder", tmp_path, cache_bytes=1)
    rows = {film: bank.rows(film, "detections") for film in FILMS}
    assert len(held(tmp_path)) == 1
    local = open_bank(places.folder / "v1.zarr")
    for film in FILMS:
        assert np.array_equal(rows[film].features, local.rows(film, "detections").features)


def read_often(bank: Bank, seed: int) -> None:
    """Read films in some order and end with status 0 if every byte is right; the cache holds fewer than are read."""
    local = open_bank(Path(bank.where))
    for number in np.random.default_rng(seed).integers(0, len(FILMS), 60):
        film = FILMS[number]
        for row_set in ("detections", "ground_truth"):
            found, expected = bank.rows(film, row_set), local.rows(film, row_set)
            assert np.array_equal(found.features, expected.features)
            assert np.array_equal(found.boxes_xyxy, expected.boxes_xyxy)


def test_processes_share_a_cache(places: Places, tmp_path: Path) -> None:
    bank = places.open("folder", tmp_path, cache_bytes=8000)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=read_often, args=(bank, seed)) for seed in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert all(not path.name.startswith(".") for path in tmp_path.iterdir())


def test_a_bank_survives_pickling(places: Places, tmp_path: Path) -> None:
    bank = places.open("dvc with a folder", tmp_path)
    again: Bank = pickle.loads(pickle.dumps(bank))
    assert again.digest == bank.digest
    assert np.array_equal(again.rows("film_b", "detections").features, bank.rows("film_b", "detections").features)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"path": "bank/train.zarr", "repo": "{repository}", "rev": "v9"},
            "{repository} at v9: bank/train.zarr: cannot be reached: RevError: unknown Git revision 'v9'",
        ),
        (
            {"path": "bank/val.zarr", "repo": "{repository}", "rev": "v1"},
            "{repository} at v1: bank/val.zarr: cannot read manifest.json: no such file",
        ),
        (
            {"path": "b.zarr", "repo": "http://me:secret@127.0.0.1:9/b.git"},
            "http://127.0.0.1:9/b.git: b.zarr: cannot be reached: CloneError: SCM error; ",
        ),
        (
            {"path": "bank/train.zarr", "repo": "{repository}", "rev": "v1", "options": {"remote": "other"}},
            "{repository} at v1: bank/train.zarr: cannot be reached: RemoteNotFoundError: "
            "config file error: remote 'other' doesn't exist",
        ),
        (
            {"path": "bank/train.zarr", "repo": "{repository}", "rev": "v1", "options": {"remote": "empty"}},
            "{repository} at v1: bank/train.zarr: cannot read manifest.json: "
            "it is neither in the cache nor in the remote",
        ),
        ({"path": "v1.zarr", "rev": "v1"}, "v1.zarr: rev is 'v1', expected none without a repository"),
        ({"path": "{folder}/v3.zarr"}, "{folder}/v3.zarr: cannot read manifest.json: no such file"),
        ({"path": "zz://v3.zarr"}, "zz://v3.zarr: cannot be reached: ValueError: Protocol not known: zz"),
        (
            {"path": "s3://nobody/v1.zarr", "options": {"endpoint_url": "{endpoint}"}},
            "s3://nobody/v1.zarr: cannot read manifest.json: no such bucket",
        ),
        (
            {"path": "s3://banks/v9.zarr", "options": {"endpoint_url": "{endpoint}"}},
            "s3://banks/v9.zarr: cannot read manifest.json: no such file",
        ),
        (
            {"path": "http://127.0.0.1:9/v1.zarr"},
            "http://127.0.0.1:9/v1.zarr: cannot read manifest.json: ClientConnectorError: Cannot connect to host ",
        ),
    ],
)
def test_what_is_not_there_is_said(places: Places, tmp_path: Path, arguments: dict, message: str) -> None:
    names = {"folder": places.folder, "repository": places.folder / "repository", "endpoint": places.endpoint}
    with (places.folder / "repository/.dvc/config.local").open("w") as file:
        file.write(f"['remote \"empty\"']\n    url = {tmp_path / 'empty'}\n")
    filled: dict[str, Any] = {
        key: {name: each.format(**names) for name, each in value.items()}
        if isinstance(value, dict)
        else value.format(**names)
        for key, value in arguments.items()
    }
    with pytest.raises(InputError) as error:
        open_remote(filled.pop("path"), tmp_path / "cache", **filled)
    assert str(error.value).startswith(message.format(**names))
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_package_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^gs://banks/v1\.zarr: a package is missing: .*gcsfs"):
        open_remote("gs://banks/v1.zarr", tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "{bank}: manifest.json: not JSON: Expecting property name"),
        (b"\xff", "{bank}: manifest.json: not JSON: 'utf-8' codec can't decode"),
        (b"{}", "{bank}: manifest.json: not of a feature bank: format is None"),
    ],
)
def test_a_manifest_that_is_none_is_refused(places: Places, tmp_path: Path, data: bytes, message: str) -> None:
    bank = tmp_path / "train.zarr"
    bank.mkdir()
    (bank / MANIFEST).write_bytes(data)
    with pytest.raises(InputError) as error:
        open_remote(str(bank), tmp_path / "cache")
    assert str(error.value).startswith(message.format(bank=bank))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "zarr.json",
            lambda data: data + b" ",
            f"zarr.json has sha256 [0-9a-f]{{64}}, expected [0-9a-f]{{64}}; {PUSH_AGAIN}",
        ),
        (
            "detections/score/c/0",
            lambda data: data[:-1],
            r"detections: the shard of score has \d+ bytes, expected \d+",
        ),
        (
            "detections/features/c/0/0",
            lambda data: b"\0" + data[1:],
            f"detections has digest [0-9a-f]{{64}}, expected [0-9a-f]{{64}}; {PUSH_AGAIN}",
        ),
        ("ground_truth/zarr.json", None, "cannot read film_b/ground_truth/zarr.json: no such file"),
    ],
)
def test_a_part_of_other_bytes_is_refused_and_not_kept(
    places: Places, tmp_path: Path, name: str, change: Callable[[bytes], bytes] | None, message: str
) -> None:
    path = shutil.copytree(places.folder / "v1.zarr", tmp_path / "train.zarr")
    file = path / "film_b" / name
    whole = file.read_bytes()
    if change is None:
        file.unlink()
    else:
        assert whole[:1] != b"\0"
        file.write_bytes(change(whole))
    bank = open_remote(str(path), tmp_path / "cache")
    part = "" if change is None else "part 'film_b': "
    with pytest.raises(InputError, match=f"^{path}: {part}{message}$"):
        bank.rows("film_b", "detections")
    assert held(tmp_path / "cache") == []
    assert len(bank.rows("film_c", "detections")) == 30
    file.write_bytes(whole)
    assert len(bank.rows("film_b", "detections")) == 30


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("features/c/0/0", None, "cannot read film_b/detections/features/c/0/0: no such file"),
        (
            "features/c/0/0",
            lambda data: b"\0" + data[1:],
            "film_b/detections/features/c/0/0: has CRC32C [0-9a-f]{8}, expected [0-9a-f]{8}; " + PUSH_AGAIN,
        ),
        (
            "score/c/0",
            lambda data: data[:-1],
            r"film_b/detections/score/c/0: has \d+ bytes, expected \d+; " + PUSH_AGAIN,
        ),
    ],
)
def test_a_shard_that_is_gone_or_has_changed_is_named_when_its_film_is_read(
    places: Places, tmp_path: Path, name: str, change: Callable[[bytes], bytes] | None, message: str
) -> None:
    path = shutil.copytree(places.folder / "v1.zarr", tmp_path / "train.zarr")
    bank = open_remote(str(path), tmp_path / "cache")
    windows_of(bank, StreamedWindows, ("film_c",))  # the training is on its way
    file = path / "film_b/detections" / name
    whole = file.read_bytes()
    file.unlink()
    if change is not None:
        file.write_bytes(change(whole))
    with pytest.raises(InputError, match=f"^{path}: {message}$"):
        windows_of(bank, StreamedWindows, ("film_b",))
    file.write_bytes(whole)
    windows_of(bank, StreamedWindows, ("film_b",))


def test_an_array_whose_chunks_another_writer_stored_in_another_order_is_read_by_zarr(tmp_path: Path) -> None:
    path = write_small_bank(tmp_path / "train.zarr", {"a": make_rows({float(second): 10 for second in range(10)})})
    array = path / "a/detections/features"
    values = zarr.open_array(str(array), mode="r")[:]
    shard = (array / "c/0/0").read_bytes()
    half = 64 * 4 * 2  # a chunk: rows, channels, bytes
    index = np.array([[half, half], [0, half]], "<u8")
    checksum = np.array(bytes_crc32c(index), "<u4").tobytes()
    (array / "c/0/0").unlink()
    (array / "c/0/0").write_bytes(shard[half : 2 * half] + shard[:half] + index.tobytes() + checksum)
    reseal_bank(path)
    assert np.array_equal(zarr.open_array(str(array), mode="r")[:], values)
    bank = open_remote(str(path), tmp_path / "cache")
    found = bank.column("a", "detections", "features")
    assert found is not None
    assert np.array_equal(found, values)


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_a_compressed_bank_comes_part_by_part(tmp_path: Path, codec: str) -> None:
    path = write_small_bank(tmp_path / "train.zarr", {"a": make_rows({0.0: 3}), "b": make_rows({})}, codec=codec)
    bank, local = open_remote(str(path), tmp_path / "cache"), open_bank(path)
    for film in "ab":
        for name in ("timestamp", "features", "track_id"):
            found, expected = (each.column(film, "detections", name) for each in (bank, local))
            assert (found is None) == (expected is None) == (name == "track_id")
            if found is not None and expected is not None:
                assert np.array_equal(found, expected)
    assert len(held(tmp_path / "cache")) == 1  # no row of b was read


def test_a_place_is_a_path_or_a_url(places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = places.folder / "v1.zarr"
    here, there = open_place(str(path)), open_place(f"file://{path}")
    assert (here.digest, here.fetched) == (there.digest, None)
    assert there.fetched is not None
    assert there.fetched.cache_bytes == CACHE_MB << 20
    monkeypatch.setenv(CACHE_VARIABLE, "3")
    elsewhere = open_place(f"file://{path}")
    assert elsewhere.fetched is not None
    assert elsewhere.fetched.cache_bytes == 3 << 20
    for wrong in ("0", "-1", "1.5", "1 GB"):
        monkeypatch.setenv(CACHE_VARIABLE, wrong)
        said = f"^ACTIONBANK_BANK_CACHE: is '{wrong}', expected a whole number of MiB, 1 or more$"
        with pytest.raises(InputError, match=said):
            open_place(f"file://{path}")


def test_a_service_without_credentials_says_so(places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*CREDENTIALS, "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    options = {"endpoint_url": places.endpoint, "skip_instance_cache": True}
    with pytest.raises(InputError) as error:
        open_remote("s3://banks/plain/v1.zarr", tmp_path, options=options)
    assert str(error.value) == (
        "s3://banks/plain/v1.zarr: cannot read manifest.json: no credentials were found: AWS_PROFILE, or "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, say them"
    )


def test_info_looks_at_a_bank_elsewhere_and_fetches_its_manifest_alone(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path, repository = places.folder / "v1.zarr", str(places.folder / "repository")
    there, *expected = CliRunner().invoke(bank_app, ["info", str(path)]).output.splitlines()
    for arguments, where in (
        ([f"file://{path}"], f"file://{path}"),
        (["bank/train.zarr", "--repo", repository, "--rev", "v1"], f"{repository} at v1: bank/train.zarr"),
    ):
        found = CliRunner().invoke(bank_app, ["info", *arguments]).output.splitlines()
        assert found == [there.replace(str(path), where), *expected]
    assert list(tmp_path.iterdir()) == []


def test_parts_are_kept_in_the_users_cache(places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    open_remote(str(places.folder / "v1.zarr")).rows("film_b", "detections")
    assert len(held(tmp_path / ".cache/actionbank")) == 1


def test_a_connection_is_not_taken_over_a_fork(places: Places, tmp_path: Path) -> None:
    bank = places.open("s3", tmp_path)
    child = os.fork()
    if not child:
        os._exit(len(bank.rows("film_b", "detections")))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 30


def test_a_remote_is_named_without_its_password() -> None:
    assert str(Remote("b.zarr", "https://me:secret@host/b.git", "v1", {})) == "https://host/b.git at v1: b.zarr"

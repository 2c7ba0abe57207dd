"""A changed byte of a bank is found where it is read: in any array, file and order of events."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.bank import parts as parts_module
from pipeline.bank.collect import collect_videos
from pipeline.bank.format import MANIFEST
from pipeline.bank.pack import pack_parts
from pipeline.bank.reader import Bank, open_bank, open_parts
from pipeline.bank.remote import open_remote
from pipeline.bank.windows.resident import ResidentWindows
from pipeline.bank.windows.streamed import StreamedWindows
from pipeline.base import checksums
from pipeline.base.checksums import read_sealed_json
from pipeline.base.errors import DamagedError, InputError
from pipeline.base.files import digest_file, write_bytes, write_json
from tests.bank.banks import PROVENANCE, make_rows, write_small_bank, write_small_part

SHARDS = ("features/c/0/0", "timestamp/c/0", "boxes_xyxy/c/0/0", "score/c/0")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    parts = {name: make_rows({0.0: 3, 2.0: 66}, seed=seed) for seed, name in enumerate("ab")}
    return write_small_bank(tmp_path / "train.zarr", parts)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    write_bytes(path, bytes(data))


def windows_of(kind: Callable[..., ResidentWindows | StreamedWindows], bank: Bank) -> None:
    windows = kind([bank], min_score=0.5)
    windows.gather(windows.slots(["a", "b"], [1.0, 1.0], seconds=5, per_second=3))


READERS: dict[str, Callable[[Bank], object]] = {
    "rows": lambda bank: bank.rows("a", "detections"),
    "resident": lambda bank: windows_of(ResidentWindows, bank),
    "streamed": lambda bank: windows_of(StreamedWindows, bank),
}


@pytest.mark.parametrize(
    ("shard", "reader"),
    [(shard, reader) for shard in SHARDS for reader in READERS if reader == "rows" or not shard.startswith("boxes")],
)  # windows read no boxes
@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_no_reader_takes_a_changed_shard(tmp_path: Path, shard: str, codec: str, reader: str) -> None:
    parts = {name: make_rows({0.0: 3, 2.0: 66}, seed=seed) for seed, name in enumerate("ab")}
    path = write_small_bank(tmp_path / "train.zarr", parts, codec=codec)
    READERS[reader](open_bank(path))
    file = path / "a/detections" / shard
    flip(file)
    with pytest.raises(DamagedError, match=r"is damaged: CRC32C is \w{8}, was written with \w{8}; run `actionbank ver"):
        READERS[reader](open_bank(path))


def test_an_open_bank_that_is_harmed_or_replaced_is_refused(path: Path, tmp_path: Path) -> None:
    bank = open_bank(path)
    bank.rows("a", "detections")
    other = write_small_bank(tmp_path / "other.zarr", {name: make_rows({0.0: 3, 2.0: 66}, seed=7) for name in "ab"})
    path.rename(tmp_path / "old.zarr")
    other.rename(path)
    with pytest.raises(DamagedError, match="is damaged"):
        bank.rows("a", "detections")
    assert len(open_bank(path).rows("a", "detections")) == 69


def test_shards_of_two_films_that_changed_places_are_refused(path: Path) -> None:
    one, two = (path / f"{name}/detections/features/c/0/0" for name in "ab")
    one.rename(path / "x")
    two.rename(one)
    (path / "x").rename(two)
    for name in "ab":
        with pytest.raises(DamagedError, match=f"/{name}/detections/features/c/0/0: is damaged"):
            open_bank(path).rows(name, "detections")


def test_a_parts_metadata_and_the_manifest(path: Path) -> None:
    text = (path / "a/zarr.json").read_text()
    write_bytes(path / "a/zarr.json", text.replace("2.0", "3.0", 1).encode())
    with pytest.raises(DamagedError, match=r"a/zarr\.json: is damaged: sha256 is "):
        open_bank(path).timestamps_seen("a")
    write_bytes(
        path / MANIFEST, (path / MANIFEST).read_bytes().replace(b'"box_threshold": 0.5', b'"box_threshold": 0.4')
    )
    with pytest.raises(DamagedError, match=r"manifest\.json: is damaged or was edited"):
        open_bank(path)


def test_a_shard_is_read_once_per_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "SETTLED_NS", 0)
    bank = open_bank(path)
    bank.rows("a", "detections")
    before = len(checksums._checked)
    bank.rows("a", "detections")
    open_bank(path).column("a", "detections", "score")
    assert len(checksums._checked) == before


def test_a_bank_of_before_there_were_checksums_is_checked_by_its_digests(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_sealed_json(path / MANIFEST)
    for part in manifest["parts"].values():
        for row_set in part["row_sets"].values():
            del row_set["shard_crc32c"]
    write_json(path / MANIFEST, manifest)
    monkeypatch.setattr(checksums, "SETTLED_NS", 0)
    monkeypatch.setattr(parts_module, "is_settled", lambda state: True)
    assert len(open_bank(path).rows("a", "detections")) == 69
    monkeypatch.setattr(parts_module, "listing_digest", lambda *_: pytest.fail("read again"))
    assert len(open_bank(path).rows("a", "detections")) == 69
    monkeypatch.undo()
    flip(path / "a/detections/features/c/0/0")
    with pytest.raises(
        DamagedError, match=r"part 'a': detections: is damaged: has digest \w{64}, expected \w{64}; run"
    ):
        open_bank(path).rows("a", "detections")


def test_a_damaged_part_goes_into_no_bank_and_no_pack(path: Path, tmp_path: Path) -> None:
    part = write_small_part(tmp_path / "part", "v", make_rows({0.0: 3}))
    open_parts({"v": part}, PROVENANCE)
    flip(part / "detections/features/c/0/0")
    with pytest.raises(DamagedError, match="features/c/0/0: is damaged"):
        open_parts({"v": part}, PROVENANCE)
    with pytest.raises(DamagedError, match="features/c/0/0: is damaged"):
        pack_parts({"v": part}, 1)
    flip(path / "b/detections/score/c/0")
    with pytest.raises(DamagedError, match="score/c/0: is damaged"):
        collect_videos(
            tmp_path / "subset.zarr", [(open_bank(path), ["b"])], split="train", provenance=PROVENANCE, what="subset"
        )
    assert not (tmp_path / "subset.zarr").exists()


def test_a_fetched_part_that_was_harmed_is_fetched_again(path: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    bank = open_remote(str(path), cache)
    expected = bank.rows("a", "detections").features.tobytes()
    (kept,) = cache.glob("*/detections/features/c/0/0")
    whole = digest_file(kept)
    for harm in (flip, Path.unlink, lambda each: write_bytes(each, b"x")):
        harm(kept)
        assert bank.rows("a", "detections").features.tobytes() == expected
        assert digest_file(kept) == whole
    flip(path / "b/detections/features/c/0/0")
    with pytest.raises(InputError, match=r"the copy there is damaged: remove it and push the bank again"):
        bank.rows("b", "detections")


def test_parts_and_banks_are_read_only(path: Path, tmp_path: Path) -> None:
    part = write_small_part(tmp_path / "part", "v", make_rows({0.0: 3}))
    for folder in (part, path):
        files = [each for each in folder.rglob("*") if each.is_file()]
        assert {each.stat().st_mode & 0o222 for each in files} == {0}
    shutil.rmtree(path)  # a folder of read-only files can be removed

"""The rows of a head: which bank is opened, and which is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.base.hardware import Hardware
from pipeline.checkpoint.weights import save_checkpoint
from pipeline.features import open_rows as module
from pipeline.features.open_rows import RowSource, foreign_producer, open_pair, open_rows
from pipeline.features.split_parts import Sources
from tests.bank.banks import PROVENANCE, make_rows, write_small_bank, write_small_part
from tests.checkpoint import sidecars

OURS, OTHER = PROVENANCE["checkpoint_sha256"], "d" * 64
ANY = "if it is the bank you want, bank.producer=FOUND takes it, and bank.allow_mixed=true takes any"


def write(folder: Path, split: str, **changes: Any) -> None:
    provenance = {**PROVENANCE, **changes}
    write_small_bank(folder / f"{split}.zarr", {split: make_rows({0.0: 1})}, split=split, provenance=provenance)


def source(folder: Path, **changes: Any) -> RowSource:
    banks = {split: str(folder / f"{split}.zarr") for split in ("train", "val")}
    known: Any = {"settings": "settings", "reads_bank": True, "producer": OURS, "allow_mixed": False, **changes}
    sources = Sources(folder, folder, folder, folder / "baseline.safetensors")
    return RowSource(sources=sources, banks=banks, hardware=Hardware(torch.device("cpu"), 1, 1), **known)


def test_banks_of_the_expected_checkpoint_are_opened(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(tmp_path, split)
    (train, val), mixed = open_pair(source(tmp_path))
    assert (train.split, val.split, mixed) == ("train", "val", {})


def test_a_bank_of_another_checkpoint_is_refused_with_what_to_do(tmp_path: Path) -> None:
    write(tmp_path, "train", checkpoint_sha256=OTHER)
    where = tmp_path / "train.zarr"
    with pytest.raises(InputError) as error:
        open_rows("train", source(tmp_path))
    remedy = ANY.replace("FOUND", OTHER)
    assert str(error.value) == f"{where}: was made by checkpoint {OTHER}, expected {OURS}; {remedy}"
    sha256 = save_checkpoint(tmp_path / "baseline.safetensors", {}, sidecars.checkpoint(sidecars.BASELINE))
    with pytest.raises(InputError) as error:
        open_rows("train", source(tmp_path, producer="baseline"))
    assert str(error.value) == (
        f"{where}: was made by checkpoint {OTHER}, expected {sha256}; `dvc repro` makes it anew, and "
        "bank.allow_mixed=true takes any"
    )


def test_banks_that_differ_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "train", pooling="max")
    write(tmp_path, "val")
    with pytest.raises(InputError, match=" do not belong together: pooling is 'max' and 'average, max'; bank"):
        open_pair(source(tmp_path))


def test_what_is_let_pass_is_recorded(tmp_path: Path) -> None:
    write(tmp_path, "train", checkpoint_sha256=OTHER)
    write(tmp_path, "val")
    _, mixed = open_pair(source(tmp_path, allow_mixed=True))
    assert mixed == {"checkpoint_sha256": [OTHER, OURS], "train_bank_and_expected": [OTHER, OURS]}


def test_parts_are_made_where_no_bank_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = write_small_part(tmp_path / "v", "v", make_rows({0.0: 3}))
    asked: list[object] = []

    def split_parts(split: str, *rest: object) -> tuple[dict[str, Path], dict[str, Any]]:
        asked.append((split, *rest))
        return {"v": part}, PROVENANCE

    monkeypatch.setattr(module, "split_parts", split_parts)
    given = source(tmp_path, reads_bank=False, producer=OTHER)
    bank = open_rows("val", given)
    assert (bank.split, bank.videos, bank.count("detections")) == ("val", ("v",), 3)
    assert asked == [("val", given.sources, "settings", given.hardware)]
    assert foreign_producer(bank, given) == {}, "what was just made is the baseline's"


def test_a_bank_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"^{tmp_path / 'val.zarr'}: no such bank$"):
        open_rows("val", source(tmp_path))

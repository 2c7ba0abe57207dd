"""What a split's parts become; what computes them is replaced."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.bank.reader import open_bank
from pipeline.base.hardware import Hardware
from pipeline.features import write_bank as module
from pipeline.features.write_bank import write_bank
from tests.bank.banks import PROVENANCE, make_rows, write_small_part

HARDWARE = Hardware(torch.device("cpu"), 1, 1)
NOTHING: Any = None


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `split_parts` was given; it makes parts of the films a, b and c."""
    given: list[Any] = []
    attributes = {"checkpoint_sha256": PROVENANCE["checkpoint_sha256"]}
    parts = {
        name: write_small_part(tmp_path / "work" / name, name, make_rows({0.0: 2}), attributes=attributes)
        for name in "abc"
    }

    def split_parts(*arguments: Any) -> tuple[dict[str, Path], dict[str, Any]]:
        given.append(arguments)
        return parts, PROVENANCE

    monkeypatch.setattr(module, "split_parts", split_parts)
    return given


@pytest.mark.parametrize("pack", ["none", 2])
def test_the_bank_holds_all_films_in_as_many_parts_as_asked_for(
    told: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], pack: int | str
) -> None:
    path = tmp_path / "val.zarr"
    write_bank(path, "val", NOTHING, NOTHING, pack=pack, hardware=HARDWARE)
    assert told == [("val", None, None, HARDWARE)]
    bank = open_bank(path)
    assert (bank.split, sorted(bank.videos)) == ("val", ["a", "b", "c"])
    assert bank.provenance == PROVENANCE
    assert len(bank.manifest.parts) == (3 if pack == "none" else 2)
    assert capsys.readouterr().out == f"{path}: 3 films\n"


def test_only_the_first_rank_writes(told: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_main", lambda: False)
    write_bank(tmp_path / "val.zarr", "val", NOTHING, NOTHING, pack="none", hardware=HARDWARE)
    assert told
    assert not (tmp_path / "val.zarr").exists()

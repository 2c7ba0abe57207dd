"""Kill -9 while a bank is written: nothing half is ever taken for whole, and the end is the same."""

import multiprocessing
import random
from pathlib import Path

import pytest

from pipeline.bank.reader import open_bank, open_parts
from pipeline.bank.verify import verify_bank
from pipeline.bank.writer import assemble_bank
from pipeline.files import digest_tree
from tests.bank.banks import PROVENANCE, make_rows, write_small_part

PARTS = [f"video{number}" for number in range(4)]


def write_bank(root: Path, note: int) -> None:
    """What a stage does: parts that are finished stay, the bank is linked anew."""
    folders = {part: root / "work" / part for part in PARTS}
    for number, (part, folder) in enumerate(folders.items()):
        if not folder.exists():
            write_small_part(folder, part, make_rows({0.0: 70, 1.0: 30}, seed=number, channels=64))
    assemble_bank(root / "train.zarr", parts=folders, split="train", provenance={**PROVENANCE, "note": note})


def survive_kills(tmp_path: Path, kills: int) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.bank.test_kill"])
    root, clean = tmp_path / "killed", tmp_path / "clean"
    write_bank(clean, 0)
    draw = random.Random(0)
    killed, limit_seconds = 0, 1.0
    for number in range(20 * kills):
        if killed == kills:
            break
        process = context.Process(target=write_bank, args=(root, number))
        process.start()
        process.join(draw.random() * limit_seconds)
        process.kill()
        process.join()
        # A round that came to its end was given too long: rounds get shorter as more parts are finished.
        killed += process.exitcode == -9
        limit_seconds *= 1.2 if process.exitcode == -9 else 0.8
        bank = root / "train.zarr"
        if bank.exists():
            assert verify_bank(bank) == []
            assert open_bank(bank).parts == tuple(PARTS)
        finished = {part: root / "work" / part for part in PARTS if (root / "work" / part).exists()}
        if finished:
            loose = open_parts(finished, PROVENANCE)
            for part in finished:
                assert len(loose.rows(part, "detections")) == 100
        leftovers = {path.name for path in root.glob("*")} - {"train.zarr", "work"} if root.exists() else set()
        assert all(name.endswith(".partial") for name in leftovers)
    assert killed == kills
    write_bank(root, 0)
    assert digest_tree(root / "train.zarr") == digest_tree(clean / "train.zarr")


def test_a_bank_survives_kills(tmp_path: Path) -> None:
    survive_kills(tmp_path, 20)


@pytest.mark.slow
def test_a_bank_survives_two_hundred_kills(tmp_path: Path) -> None:
    survive_kills(tmp_path, 200)

"""Kill -9 while a bank is written: nothing half is ever taken for whole, and the end is the same."""

import multiprocessing
import random
import time
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
    seconds = [0.0, 0.0]
    for round_ in range(2):  # the first one starts the fork server
        started = time.monotonic()
        process = context.Process(target=write_bank, args=(tmp_path / f"timed{round_}", 0))
        process.start()
        process.join()
        assert process.exitcode == 0
        seconds[round_] = time.monotonic() - started
    draw = random.Random(0)
    killed = 0
    for number in range(kills):
        process = context.Process(target=write_bank, args=(root, number))
        process.start()
        # Later rounds find more parts finished, so their chance to be killed lies earlier.
        process.join(draw.random() * seconds[1] / (1 + number % 4))
        process.kill()
        process.join()
        killed += process.exitcode == -9
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
    assert killed >= kills // 3
    write_bank(root, 0)
    assert digest_tree(root / "train.zarr") == digest_tree(clean / "train.zarr")


def test_a_bank_survives_kills(tmp_path: Path) -> None:
    survive_kills(tmp_path, 20)


@pytest.mark.slow
def test_a_bank_survives_two_hundred_kills(tmp_path: Path) -> None:
    survive_kills(tmp_path, 200)

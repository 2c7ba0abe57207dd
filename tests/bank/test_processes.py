"""Several processes work on one bank: each makes other parts, or all make the same ones."""

import multiprocessing
import os
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from pipeline.bank.check_bank import verify_bank
from pipeline.bank.pack import pack_parts
from pipeline.bank.writer import assemble_bank
from pipeline.base.files import digest_tree
from pipeline.base.packing import packed
from pipeline.base.work import item_key, make_item
from tests.bank.banks import PROVENANCE, make_rows, write_small_part

VIDEOS = [f"video{number}" for number in range(6)]
PACKS = 2
LIMIT_SECONDS = 120.0


def make_parts(videos: list[str], marks: Path) -> dict[str, Path]:
    """Parts in `.work`; each making of one leaves a line in the file `marks`."""
    parts = {}
    for video in videos:

        def make(folder: Path, video: str = video) -> None:
            with marks.open("a") as file:  # one short line: appended whole
                file.write(f"{video}\n")
            rows = make_rows({0.0: 90, 1.0: 30}, seed=VIDEOS.index(video), channels=64)
            write_small_part(folder, video, rows)

        parts[video] = make_item("bank_parts", item_key(video=video), make)
    return parts


def work(root: Path, videos: list[str], packs: int, start: Barrier) -> None:
    os.environ["DVC_ROOT"] = str(root)
    start.wait(LIMIT_SECONDS)
    parts = make_parts(videos, root / "made")
    if packs:
        pack_parts(parts, packs)


def run_at_once(root: Path, shares: list[list[str]], packs: int = 0) -> None:
    root.mkdir()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.bank.test_processes"])
    start = context.Barrier(len(shares))
    processes = [context.Process(target=work, args=(root, videos, packs, start)) for videos in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LIMIT_SECONDS)
    stuck = [process for process in processes if process.is_alive()]
    for process in stuck:
        process.kill()
    assert not stuck
    assert [process.exitcode for process in processes] == [0] * len(shares)


@pytest.fixture
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Digest of the bank that one process makes."""
    return whole_bank(tmp_path / "alone", monkeypatch)


def whole_bank(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the bank of what lies in `.work` of `root` and what is missing there; returns its digest."""
    root.mkdir(exist_ok=True)
    monkeypatch.setenv("DVC_ROOT", str(root))
    parts = pack_parts(make_parts(VIDEOS, root / "made"), PACKS)
    assemble_bank(root / "train.zarr", parts=parts, split="train", provenance=PROVENANCE)
    assert verify_bank(root / "train.zarr") == []
    assert sorted((root / "made").read_text().split()) == VIDEOS  # each part was made once
    return digest_tree(root / "train.zarr")


def test_processes_that_write_different_parts_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: str
) -> None:
    root = tmp_path / "shared"
    run_at_once(root, [VIDEOS[:3], VIDEOS[3:]])
    assert sorted((root / "made").read_text().split()) == VIDEOS
    assert whole_bank(root, monkeypatch) == expected


def test_processes_that_want_the_same_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: str) -> None:
    """In opposite orders, so that each waits for the other; packed parts too."""
    root = tmp_path / "shared"
    run_at_once(root, [VIDEOS, VIDEOS[::-1], VIDEOS], packs=PACKS)
    made = list((root / ".work/bank_packs").iterdir())
    assert len(made) == len(packed(VIDEOS, PACKS))
    assert whole_bank(root, monkeypatch) == expected

"""Kill -9 while a bank is written: no partial bank passes as complete, and the final bank is the same.

The writer does what infer_bank does with `dataset.pack`: a part of each video in `.work`, packed parts, the bank. Every
round one video has changed, so that there is something to do in each of the three.
"""

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from ctypes import c_double, c_int
from pathlib import Path

import numpy as np
import pytest

from pipeline.bank.check_bank import verify_bank
from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.pack import pack_parts
from pipeline.bank.reader import open_bank, open_parts
from pipeline.bank.writer import assemble_bank
from pipeline.base.files import digest_tree
from pipeline.base.packing import packed
from pipeline.base.work import is_finished, item_folder, item_key, make_item
from tests.bank.banks import PROVENANCE, make_rows, write_small_part
from tests.bank.test_reader import assert_rows_equal
from tests.kills import run_forked

VIDEOS = [f"video{number}" for number in range(6)]
PACKS = 3
PHASES = ("start", "parts", "packs", "assemble", "done")


def rows_of(video: str, number: int) -> FeatureRows:
    """The rows of a video in round `number`; round r has changed video r modulo their number."""
    place = VIDEOS.index(video)
    changed = max(range(place, number + 1, len(VIDEOS)), default=-1)
    return make_rows({0.0: 70 + place, 1.0: 30}, seed=changed + 1, channels=256)


def part_key(video: str, number: int) -> str:
    return item_key(video=video, rows=rows_of(video, number).features.sum())


def write_bank(root: Path, number: int, phase: c_int, seconds: c_double) -> None:
    """What a stage does: items that are finished stay, the bank is linked anew."""
    os.environ["DVC_ROOT"] = str(root)
    phase.value = 1
    started = time.perf_counter()
    parts = {}
    for video in VIDEOS:

        def make(folder: Path, video: str = video) -> None:
            write_small_part(folder, video, rows_of(video, number))

        parts[video] = make_item("bank_parts", part_key(video, number), make)
    phase.value = 2
    parts = pack_parts(parts, PACKS)
    phase.value = 3
    assemble_bank(root / "train.zarr", parts=parts, split="train", provenance={**PROVENANCE, "round": number})
    seconds.value = time.perf_counter() - started
    phase.value = 4


def check_bank(root: Path, last_round: int) -> None:
    """What lies there after a kill is nothing, or the whole bank of some round."""
    bank_path = root / "train.zarr"
    if bank_path.exists():
        assert verify_bank(bank_path) == []
        bank = open_bank(bank_path)
        assert bank.videos == tuple(VIDEOS)
        number = bank.provenance["round"]
        assert 0 <= number <= last_round
        for video in VIDEOS:
            assert_rows_equal(bank.rows(video, "detections"), rows_of(video, number))
    finished = {
        video: item_folder("bank_parts", part_key(video, last_round))
        for video in VIDEOS
        if is_finished("bank_parts", part_key(video, last_round))
    }
    if finished:
        loose = open_parts(finished, PROVENANCE)
        for video in finished:
            assert_rows_equal(loose.rows(video, "detections"), rows_of(video, last_round))
    leftovers = {path.name for path in root.glob("*")} - {"train.zarr", ".work"}
    assert all(name.endswith(".partial") for name in leftovers)


def spread_over(calls: int, kills: int) -> list[int]:
    """Numbers of calls, from the first to the last, as far apart as so many kills allow."""
    return [round(each) for each in np.linspace(1, calls, kills)]


def survive_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int) -> Counter[str]:
    """Kill so many writers, in each phase in turn, at a time drawn uniformly over what it takes; returns the phases.

    A killed round leaves the next one more to do, and other work slows all of them down: the interval that times are
    drawn from grows with every kill in its phase and shrinks with every phase that was done before, three of ten in the
    end.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.bank.test_kill"])
    phase, seconds = context.RawValue(c_int), context.RawValue(c_double)  # a killed writer holds no lock of theirs

    def start(root: Path, number: int) -> multiprocessing.process.BaseProcess:
        phase.value = 0
        process = context.Process(target=write_bank, args=(root, number, phase, seconds))
        process.start()
        while not phase.value and process.is_alive():  # the clock starts when the writer has come to its work
            time.sleep(0.0005)
        return process

    def whole_round(root: Path, number: int) -> None:
        process = start(root, number)
        process.join()
        assert (process.exitcode, phase.value) == (0, 4)

    root = tmp_path / "killed"
    root.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(root))
    whole_round(root, 0)
    whole_round(root, 1)  # the clock of a round with one changed video
    draw, killed, number = random.Random(0), Counter[str](), 1
    limits = dict.fromkeys((1, 2, 3), seconds.value / 3)
    while killed.total() < kills:
        assert number < 20 * kills
        number += 1
        wanted = 1 + number % 3  # in turn, because the last phase is short
        process = start(root, number)
        while phase.value < wanted and process.is_alive():
            time.sleep(0.0005)
        process.join(draw.random() * limits[wanted])
        process.kill()
        process.join()
        in_time = process.exitcode == -9 and phase.value == wanted
        killed[PHASES[phase.value]] += process.exitcode == -9 and phase.value < 4
        limits[wanted] *= 1.1 if in_time else 0.8
        check_bank(root, number)
    whole_round(root, number)
    whole_round(tmp_path / "clean", number)
    assert digest_tree(root / "train.zarr") == digest_tree(tmp_path / "clean/train.zarr")
    return killed


def test_the_writer_has_parts_of_one_video_and_of_several() -> None:
    assert sorted(len(videos) for videos in packed(VIDEOS, PACKS).values())[-1] > 1


def test_a_bank_survives_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before calls that change a file, spread over a round; the slow test kills at any time."""
    root, clean, rounds = tmp_path / "killed", tmp_path / "clean", 10
    for folder in (root, clean):
        folder.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(root))
    phase, seconds = c_int(), c_double()

    def run(folder: Path, number: int, kill_at: int = 0) -> tuple[int, int]:
        def work() -> None:
            write_bank(folder, number, phase, seconds)

        return run_forked(work, folder, kill_at=kill_at)

    assert run(root, 0)[0] == 0
    end, calls = run(root, 1)  # the calls of a round with one changed video
    assert (end, calls > 5 * rounds) == (0, True)
    # A round may have some calls fewer: folders are not listed in every round for what was left in them.
    for number, kill_at in enumerate(spread_over(calls - calls // 20, rounds), start=2):
        assert run(root, number, kill_at) == (-signal.SIGKILL, kill_at)
        check_bank(root, number)
    assert [run(folder, number)[0] for folder in (root, clean)] == [0, 0]
    assert digest_tree(root / "train.zarr") == digest_tree(clean / "train.zarr")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_bank_survives_two_hundred_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of them some in each phase."""
    killed = survive_kills(tmp_path, monkeypatch, 200)
    print(dict(killed))
    assert min(killed[phase] for phase in ("parts", "packs", "assemble")) >= 5

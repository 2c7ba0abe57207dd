"""Any sequence of runs, killed runs, new, changed and removed videos, damages and reads, against a model in memory."""

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.bank.check_bank import verify_bank
from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.format import MANIFEST
from pipeline.bank.pack import pack_parts
from pipeline.bank.reader import Bank, open_bank, open_parts
from pipeline.bank.writer import assemble_bank
from pipeline.base.errors import InputError
from pipeline.base.files import write_bytes
from pipeline.base.work import item_folder, item_key, make_item
from tests.bank.banks import PROVENANCE, make_rows, write_small_part
from tests.bank.test_reader import assert_rows_equal

VIDEOS = ["a", "../b", "c.partial", "zarr.json", "manifest.json"]
COUNTS = st.dictionaries(st.sampled_from([0.0, 1.0, 2.0]), st.sampled_from([1, 0, 3, 65]), max_size=3)
PACKS = st.sampled_from(["none", 1, 3])
Spec = tuple[dict[float, int], dict[float, int] | None, int]  # counts of detections and annotations, seed
SPECS = st.tuples(COUNTS, st.none() | COUNTS, st.integers(0, 99))


class Killed(BaseException):
    """Stands for the end of the process."""


def dies_at(step: int, work: Callable[[], object]) -> bool:
    """Run `work`, ended at its `step`-th change of a file's name; False if it got through.

    Nothing is cleaned up after the end, as nobody would.
    """
    left = step
    remove_tree, unlink = shutil.rmtree, os.unlink

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return function(*arguments, **options)

        return call

    def if_alive(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments, **options: function(*arguments, **options) if left >= 0 else None

    with ExitStack() as stack:
        for name in ("replace", "rename", "link", "mkdir"):
            stack.enter_context(patch.object(os, name, dying(getattr(os, name))))
        stack.enter_context(patch.object(os, "unlink", if_alive(unlink)))
        stack.enter_context(patch.object(shutil, "rmtree", if_alive(remove_tree)))
        try:
            work()
        except Killed:
            return True
    return False


class BankMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="bank"))
        self.environment = patch.dict(os.environ, {"DVC_ROOT": str(self.root)})
        self.environment.start()
        self.path = self.root / "out" / "train.zarr"
        self.source: dict[str, Spec] = {}  # what the bank is to be made of
        self.bank: dict[str, Spec] | None = None  # what the last whole run made it of
        self.run_number = 0
        self.digests: dict[str, str] = {}  # what is made of the same has the same bytes, whatever lies between
        self.damaged: str | None = None  # the part
        self.opened: tuple[Bank, dict[str, Spec]] | None = None

    @initialize(
        tracked=st.booleans(),
        codec=st.sampled_from(["none", "zstd"]),
        dtype=st.sampled_from(["fp16", "fp32"]),
        source=st.dictionaries(st.sampled_from(VIDEOS), SPECS, min_size=2),
    )
    def choose(self, tracked: bool, codec: str, dtype: str, source: dict[str, Spec]) -> None:
        self.tracked, self.codec, self.dtype, self.source = tracked, codec, dtype, source

    def rows(self, spec: Spec) -> tuple[FeatureRows, FeatureRows | None]:
        counts, truth, seed = spec
        annotated = None if truth is None else make_rows(truth, seed=seed + 1, scored=False)
        return make_rows(counts, seed=seed, tracked=self.tracked), annotated

    def key(self, video: str) -> str:
        counts, truth, seed = self.source[video]
        return item_key(video=video, counts=str(counts), truth=str(truth), seed=seed)

    def make_part(self, video: str) -> Path:
        def make(folder: Path) -> None:
            rows, truth = self.rows(self.source[video])
            write_small_part(folder, video, rows, ground_truth=truth, codec=self.codec, dtype=self.dtype)

        return make_item("bank_parts", self.key(video), make)

    def run(self, packs: int | str, note: int) -> None:
        """What infer_bank does: parts that are finished stay."""
        parts = {video: self.make_part(video) for video in self.source}
        if isinstance(packs, int):
            parts = pack_parts(parts, packs)
        assemble_bank(self.path, parts=parts, split="train", provenance={**PROVENANCE, "note": note})

    @rule(video=st.sampled_from(VIDEOS), spec=SPECS)
    def add_or_change(self, video: str, spec: Spec) -> None:
        self.source[video] = spec

    @rule(video=st.sampled_from(VIDEOS))
    def remove(self, video: str) -> None:
        self.source.pop(video, None)

    @precondition(lambda self: self.source)
    @rule(data=st.data(), step=st.none() | st.integers(0, 60))
    def write_part(self, data: st.DataObject, step: int | None) -> None:
        """A killed writer leaves a finished part as it was; of a new one, nothing is there."""
        video = data.draw(st.sampled_from(sorted(self.source)))
        folder = item_folder("bank_parts", self.key(video))
        before = folder.exists()
        if step is None:
            self.make_part(video)
        elif dies_at(step, partial(self.make_part, video)):
            assert folder.exists() == before

    @precondition(lambda self: self.source)
    @rule(packs=PACKS, step=st.none() | st.integers(0, 400))
    def assemble(self, packs: int | str, step: int | None) -> None:
        """A killed run leaves the former bank, or the new one, or none; the next run goes on from there."""
        if step is None:
            self.run(packs, note=0)
            self.took(dict(self.source))
            digest = open_bank(self.path).digest
            assert self.digests.setdefault(str((sorted(self.source.items()), packs)), digest) == digest
        else:
            self.run_number += 1
            dies_at(step, lambda: self.run(packs, note=self.run_number))
            if not self.path.exists():
                self.bank = self.damaged = self.opened = None
            elif open_bank(self.path).provenance["note"] == self.run_number:
                self.took(dict(self.source))
        self.reopen()
        self.read()

    def took(self, bank: dict[str, Spec]) -> None:
        self.bank, self.damaged, self.opened = bank, None, None

    @precondition(lambda self: self.bank and self.damaged is None)
    @rule(data=st.data(), remove=st.booleans())
    def damage(self, data: st.DataObject, remove: bool) -> None:
        """Lose or cut a shard of the bank; the work folder has its own link and keeps the bytes."""
        bank = open_bank(self.path)
        part = data.draw(st.sampled_from(bank.parts))
        folder = bank.folders[part] / "detections"
        shards = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "zarr.json")
        if shards:
            shard = data.draw(st.sampled_from(shards))
            content = shard.read_bytes()
            shard.unlink()
            if not remove:
                write_bytes(shard, content[:-1])
            self.damaged, self.opened = part, None

    @rule()
    def reopen(self) -> None:
        if self.bank is None:
            with pytest.raises(InputError, match=r"no such bank"):
                open_bank(self.path)
        else:
            self.opened = (open_bank(self.path), self.bank)

    @rule()
    def read(self) -> None:
        if self.opened is None:
            return
        bank, model = self.opened
        assert bank.videos == tuple(sorted(model))
        assert {each for part in bank.parts for each in bank.manifest.parts[part].videos} == set(model)
        for video, spec in model.items():
            detections, truth = self.rows(spec)
            if self.damaged == bank.part_of(video):
                with pytest.raises(InputError, match="the shard of "):
                    bank.rows(video, "detections")
                continue
            self.check_rows(bank, video, detections)
            np.testing.assert_array_equal(bank.timestamps_seen(video), np.union1d(detections.timestamp, [0.0, 1, 2]))
            assert bank.has_rows(video, "ground_truth") == (truth is not None)
            assert bank.count("ground_truth", video) == (0 if truth is None else len(truth))
            if truth is not None:
                assert_rows_equal(bank.rows(video, "ground_truth"), truth, str(bank.dtype))

    @staticmethod
    def check_rows(bank: Bank, video: str, expected: FeatureRows) -> None:
        assert_rows_equal(bank.rows(video, "detections"), expected, str(bank.dtype))
        assert bank.count("detections", video) == len(expected)

    @precondition(lambda self: self.source)
    @rule()
    def read_loose_parts(self) -> None:
        bank = open_parts({video: self.make_part(video) for video in self.source}, PROVENANCE)
        for video, spec in self.source.items():
            self.check_rows(bank, video, self.rows(spec)[0])

    @rule()
    def verify(self) -> None:
        if self.bank is not None:
            assert bool(verify_bank(self.path)) == (self.damaged is not None)

    @invariant()
    def nothing_half_has_a_name(self) -> None:
        assert self.path.exists() == (self.bank is not None)
        if self.bank is not None:
            assert (self.path / MANIFEST).is_file()
        folders = (self.root / ".work").glob("bank_*/*")
        assert all(each.name.startswith(".") or (each / "part.json").is_file() for each in folders)

    def teardown(self) -> None:
        self.environment.stop()
        shutil.rmtree(self.root, ignore_errors=True)


TestBank = BankMachine.TestCase
TestBank.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)


class LongBankMachine(BankMachine):
    pass


TestBankAtLength = pytest.mark.slow(LongBankMachine.TestCase)
TestBankAtLength.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)

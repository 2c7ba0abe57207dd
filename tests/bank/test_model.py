"""Any sequence of writes, interrupted writes, damages and reads, against a model in memory."""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.bank import writer
from pipeline.bank.reader import Bank, open_bank, open_parts
from pipeline.bank.rows import Rows
from pipeline.bank.verify import verify_bank
from pipeline.errors import InputError
from pipeline.files import write_bytes
from tests.bank.banks import PROVENANCE, make_rows, write_small_part
from tests.bank.test_reader import assert_rows_equal

NAMES = st.sampled_from(["a", "../b", "c.partial", "zarr.json"])
COUNTS = st.dictionaries(st.sampled_from([0.0, 1.0, 2.0]), st.integers(0, 70), max_size=3)
Model = dict[str, tuple[Rows, Rows | None]]


class Killed(BaseException):
    """Stands for the end of the process."""


def dies_at(step: int, work: Callable[[], object]) -> bool:
    """Run `work`, ended at its `step`-th array, link or JSON file with nothing cleaned up; False if it got through."""
    left = step
    remove_tree = shutil.rmtree

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return function(*arguments)

        return call

    def remove_if_alive(folder: Path, ignore_errors: bool = False) -> None:
        if left >= 0:
            remove_tree(folder, ignore_errors=ignore_errors)

    with ExitStack() as stack:
        for name in ("write_array", "link_file", "write_json", "create_group"):
            stack.enter_context(patch.object(writer, name, dying(getattr(writer, name))))
        stack.enter_context(patch("pipeline.files.shutil.rmtree", remove_if_alive))
        try:
            work()
        except Killed:
            return True
    return False


class BankMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="bank"))
        self.path = self.root / "out" / "train.zarr"
        self.work: Model = {}
        self.bank: Model | None = None
        self.damaged: tuple[str, str] | None = None
        self.opened: tuple[Bank, Model] | None = None

    def folder(self, part: str) -> Path:
        return self.root / "work" / part.replace("/", "-").replace(".", "-")

    @rule(part=NAMES, counts=COUNTS, truth=st.none() | COUNTS, seed=st.integers(0, 99), tracked=st.booleans())
    def write(self, part: str, counts: dict, truth: dict | None, seed: int, tracked: bool) -> None:
        rows = make_rows(counts, seed=seed, tracked=tracked)
        labelled = None if truth is None else make_rows(truth, seed=seed + 1, scored=False)
        write_small_part(self.folder(part), part, rows, ground_truth=labelled)
        self.work[part] = (rows, labelled)

    @rule(part=NAMES, counts=COUNTS, step=st.integers(0, 8))
    def write_and_die(self, part: str, counts: dict, step: int) -> None:
        """A finished part stays as it was; of a new one, nothing is there."""
        assert dies_at(step, lambda: write_small_part(self.folder(part), part, make_rows(counts)))

    @rule(part=NAMES)
    def remove(self, part: str) -> None:
        shutil.rmtree(self.folder(part), ignore_errors=True)
        self.work.pop(part, None)

    def assemble_parts(self) -> None:
        folders = {part: self.folder(part) for part in self.work}
        writer.assemble_bank(self.path, parts=folders, split="train", provenance=PROVENANCE)

    @precondition(lambda self: self.work)
    @rule()
    def assemble(self) -> None:
        self.assemble_parts()
        self.bank, self.damaged = dict(self.work), None

    @precondition(lambda self: self.work)
    @rule(step=st.integers(0, 40))
    def assemble_and_die(self, step: int) -> None:
        if not dies_at(step, self.assemble_parts):
            self.bank, self.damaged = dict(self.work), None

    @precondition(lambda self: self.bank and self.damaged is None)
    @rule(data=st.data(), remove=st.booleans())
    def damage(self, data: st.DataObject, remove: bool) -> None:
        """Lose or cut a shard of the bank; the work folder has its own link and keeps the bytes."""
        assert self.bank is not None
        part = data.draw(st.sampled_from(sorted(self.bank)))
        folder = open_bank(self.path).folders[part] / "detections"
        shards = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "zarr.json")
        if shards:
            shard = data.draw(st.sampled_from(shards))
            content = shard.read_bytes()
            shard.unlink()
            if not remove:
                write_bytes(shard, content[:-1])
            self.damaged = (part, shard.relative_to(folder).parts[0])
            self.opened = None

    @rule()
    def reopen(self) -> None:
        if self.bank is None:
            with pytest.raises(InputError, match=r"no such bank|half a bank"):
                open_bank(self.path)
        else:
            self.opened = (open_bank(self.path), self.bank)

    @precondition(lambda self: self.opened is not None)
    @rule()
    def read(self) -> None:
        assert self.opened is not None
        bank, model = self.opened
        if model != self.bank:
            return  # replaced since: only a newly opened bank is promised to read
        assert bank.parts == tuple(sorted(model))
        for part, (detections, truth) in model.items():
            if self.damaged is not None and self.damaged[0] == part:
                with pytest.raises(InputError, match=f"the shard of {self.damaged[1]} "):
                    bank.rows(part, "detections")
                continue
            assert_rows_equal(bank.rows(part, "detections"), detections)
            np.testing.assert_array_equal(bank.timestamps_seen(part), np.union1d(detections.timestamp, [0.0, 1.0, 2.0]))
            assert bank.has_rows(part, "ground_truth") == (truth is not None)
            if truth is not None:
                assert_rows_equal(bank.rows(part, "ground_truth"), truth)

    @rule()
    def read_loose_parts(self) -> None:
        if not self.work:
            return
        bank = open_parts({part: self.folder(part) for part in self.work}, PROVENANCE)
        for part, (detections, _) in self.work.items():
            assert_rows_equal(bank.rows(part, "detections"), detections)

    @rule()
    def verify(self) -> None:
        if self.bank is not None:
            assert bool(verify_bank(self.path)) == (self.damaged is not None)

    @invariant()
    def nothing_half_has_a_name(self) -> None:
        assert self.path.exists() == (self.bank is not None)
        for part in ("a", "../b", "c.partial", "zarr.json"):
            assert self.folder(part).exists() == (part in self.work)

    def teardown(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)


TestBank = BankMachine.TestCase
TestBank.settings = settings(max_examples=20, stateful_step_count=12, deadline=None)

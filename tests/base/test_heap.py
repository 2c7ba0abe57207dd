import gc
import resource
import sys

import numpy as np
import pytest

from pipeline.base.heap import NEW_OBJECTS, collect_seldom, keep_freed_blocks

BLOCK = 64 * 2**20


def faults(times: int) -> int:
    """Pages that the system gave while a large block was allocated, written and freed so many times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        np.ones(BLOCK, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only the GNU C library has the settings")
def test_a_freed_block_is_used_again() -> None:
    if not keep_freed_blocks():
        pytest.skip("not the GNU C library")
    try:
        faults(1)
        kept = faults(4)
    finally:
        keep_freed_blocks(False)
    assert kept < 0.1 * faults(4)


def test_another_system_has_no_such_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_blocks()


def test_the_collector_looks_less_often() -> None:
    before = gc.get_threshold()
    try:
        gc.set_threshold(700, 7, 9)
        collect_seldom()
        assert gc.get_threshold() == (NEW_OBJECTS, 7, 9)
    finally:
        gc.set_threshold(*before)

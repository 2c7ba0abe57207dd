import multiprocessing
import time

import numpy as np

from benchmarks.measuring import apart, peak_mib, tree_cpu_seconds


def test_the_peak_of_a_process_is_its_own() -> None:
    large = np.ones(1 << 27)  # 1 GiB
    assert peak_mib() > 1024
    assert apart(peak_mib) < 1024
    assert large[0] == 1


def _spin(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_the_cpu_time_of_a_tree_has_that_of_children_of_a_server_that_forks() -> None:
    before = tree_cpu_seconds()
    child = multiprocessing.get_context("forkserver").Process(target=_spin, args=(0.3,))
    child.start()
    child.join()
    assert tree_cpu_seconds() - before >= 0.28

import numpy as np

from benchmarks.measuring import apart, peak_mib


def test_the_peak_of_a_process_is_its_own() -> None:
    large = np.ones(1 << 27)  # 1 GiB
    assert peak_mib() > 1024
    assert apart(peak_mib) < 1024
    assert large[0] == 1

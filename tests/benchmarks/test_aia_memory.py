import re

import pytest

from benchmarks import aia_memory
from benchmarks.aia_memory import Cost, Size, full_memory


def test_a_full_memory_has_a_row_in_every_second() -> None:
    size = Size(films=3, seconds=5, persons=2.0, clips=1, side=32, width=8, latent=8)
    memory, ids, times = full_memory(size, channels=6)
    assert (len(ids), len(times), len(memory.counts)) == (15, 15, 15)
    assert memory.rows[1:].abs().sum(dim=1).min() > 0
    starts, counts = memory.find(["film2"], times[:1].astype(int), 5)
    assert (counts > 0).all()
    assert starts[0, 4] + counts[0, 4] == len(memory.rows)


def test_the_share_is_of_read_and_write_together() -> None:
    assert Cost(step=[10.0, 20.0], read=[0.1, 0.1], write=[0.2, 0.1]).ratios == pytest.approx([0.03, 0.01])


def test_it_measures_each_window(capsys: pytest.CaptureFixture[str]) -> None:
    aia_memory.main(
        films=2, seconds=9, persons=2.3, clips=2, side=32, width=8, latent=8, windows="5,3", repeats=1
    )  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"18 keyframes, \d+ rows of 288: 0\.00 GiB; 2 clips", lines[0])
    assert [line.split(" | ")[0] for line in lines[1:]] == ["| window", "| ---", "| 5 s", "| 3 s"]
    assert all(re.search(r"\d+\.\d{3}% \(\d+\.\d{3}%-\d+\.\d{3}%\) \|$", line) for line in lines[3:])

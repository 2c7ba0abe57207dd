import re

import pytest

from benchmarks.recognition import main


@pytest.mark.slow
def test_it_prints_both_sides_and_their_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    main(clips=2, rounds=1, codec="libvpx")
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"2 clips, libvpx: \d+ kB a webm, \d+ kB in the store", lines[0])
    assert [line.split(":")[0] for line in lines[1:3]] == ["store", "decord"]
    assert re.fullmatch(r"ratio \d+\.\d\d \(\d+\.\d\d to \d+\.\d\d\)", lines[3])

from pathlib import Path

import pytest

from benchmarks import predict
from benchmarks.predict import main, make_film, measure_memory, pictures, report


def test_a_report_has_medians_and_ratios_of_the_same_turn() -> None:
    cpu = {
        "predict": [10.0, 20.0, 12.0],
        "decode": [4.0, 8.0, 4.8],
        "detector": [1.0, 2.0, 1.2],
        "backbone": [5.0, 10, 6],
    }
    sides = {**cpu, "MMAction2": [30.0, 60.0, 24.0]}
    times = {name: {"cpu": seconds, "wall": [2 * each for each in seconds]} for name, seconds in sides.items()}
    found = report({"times": times, "scored": 60, "persons": 120, "peak_mib": 100.4}, seconds=60)
    assert found.splitlines() == [
        "| side | CPU seconds per second of film | times predict |",
        "| --- | --- | --- |",
        "| predict | 0.2000 | 1.00 |",
        "| sum of the three parts | 0.2000 | 1.00 |",
        "| decode | 0.0800 | 0.40 |",
        "| detector | 0.0200 | 0.10 |",
        "| backbone | 0.1000 | 0.50 |",
        "| MMAction2 | 0.5000 | 3.00 |",
        "",
        "predict: 1.00 times the sum of its parts (at most 1.15), 2.50 times real time; 120 persons at 60 times; "
        "peak 100 MiB",
    ]


def test_a_film_is_decoded_from_the_key_picture_before_a_time(tmp_path: Path) -> None:
    film = make_film(tmp_path / "x.mp4", seconds=2, lines=32, rate=10)
    assert len(list(pictures(film))) == 20
    later = [frame.time for frame in pictures(film, 1.5)]
    assert later[0] is not None
    assert later[0] <= 1.5
    assert later[-1] == pytest.approx(1.9)


@pytest.mark.slow
def test_it_measures_all_sides_and_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(tmp_path, seconds=4, backbone="slowonly_tiny", width=8, lines=64, source_lines=96, repeats=1, against="all")
    lines = capsys.readouterr().out.splitlines()
    names = [
        "predict",
        "sum of the three parts",
        "decode",
        "detector",
        "backbone",
        "MMAction2",
        "PySlowFast",
        "clip by clip",
    ]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:10]] == names
    assert lines[11].startswith("predict: ")
    main(
        tmp_path, seconds=3, backbone="slowonly_tiny", width=8, lines=64, source_lines=96, repeats=1,
        against="PySlowFast",
    )  # fmt: skip
    assert capsys.readouterr().out.splitlines()[7].startswith("| PySlowFast |")
    monkeypatch.setattr(predict, "apart", lambda function, *arguments: function(*arguments))
    short, _, long = measure_memory(tmp_path, short=3, middle=4, long=6)
    assert (short["seconds"], long["seconds"]) == (3, 6)
    assert long["peak_mib"] >= long["loaded_mib"] > 0

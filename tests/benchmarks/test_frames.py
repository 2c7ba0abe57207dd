"""The benchmark of frames runs at a tiny size, and its sides read the same frames."""

from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from benchmarks import frame_sides as sides_of
from benchmarks import frames as benchmark
from pipeline.base.files import read_json
from pipeline.video.extract import FrameSettings


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> sides_of.Film:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    sides_of.make_film(path, seconds=1, width=96, height=64)
    return sides_of.Film(path, FrameSettings(30.0, 48, 90), (48, 72))


def test_every_side_extracts_the_same_frames(tmp_path: Path, film: sides_of.Film) -> None:
    store = sides_of.stored_film(film, tmp_path / "store")
    ours = store.read_clip("film", range(30))
    sides_of.extract_by_pyav(film, tmp_path / "pyav")
    files = sorted((tmp_path / "pyav").iterdir())
    theirs = np.stack([simplejpeg.decode_jpeg(each.read_bytes(), colorspace="RGB") for each in files])
    assert theirs.shape == ours.shape == (30, 48, 72, 3)
    # Scaled otherwise, and the grain differs.
    difference = np.abs(ours.astype(int) - theirs).mean((1, 2, 3))
    assert difference.max() < 8
    assert np.abs(ours.astype(int) - np.roll(theirs, 8, axis=0)).mean() > 2 * difference.mean()


def test_every_side_reads_the_same_clip(tmp_path: Path, film: sides_of.Film) -> None:
    store = sides_of.stored_film(film, tmp_path / "store")
    sides = sides_of.clip_sides(film, store, tmp_path / "jpegs")
    clips = {name: side(np.array([0, 7, 15, 29])) for name, side in sides.items()}
    assert len(clips) == 5
    assert np.array_equal(clips["folder of JPEGs"], clips["JPEGs in memory"])
    assert np.array_equal(clips["folder of JPEGs"], clips["store"])
    assert clips["film, opened by decord per clip"].shape == (4, 64, 96, 3)
    assert np.array_equal(clips["film, opened by decord per clip"], clips["film, kept open by decord"])


def test_every_figure_and_target_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "KINDS", {"96x64, 10 bits": (96, 64, "yuv420p10le", 1, 0.5)})
    benchmark.main(tmp_path, seconds=0.5, width=96, height=64, short_side=48, repeats=2, clips=1, kind_seconds=0.2)
    said = capsys.readouterr().out
    found = read_json(tmp_path / "frames.json")
    sides = found["extraction"]["sides"]
    assert found["film"]["rows"] == sides["store"]["frames"] == 15
    assert all(len(each["cpu"]) == len(each["wall"]) == 2 for each in sides.values())
    assert sides[found["extraction"]["base"]]["ratio"] == 1
    assert ("No ffmpeg is installed" in said) == (benchmark.COMMAND not in sides)
    for shape in benchmark.SHAPES:
        assert set(found["clips"][shape]) >= {"store", "folder of JPEGs", "film, opened by decord per clip"}
    assert found["ava"]["store"]["files"] == 430
    assert found["ava"][benchmark.STAND_IN]["files"] == 430 * 27_000
    per_frame = sides["store"]["bytes_per_frame"]
    assert found["ava"]["store"]["bytes"] == pytest.approx(per_frame * 430 * 27_000)
    if benchmark.COMMAND in sides:
        assert (found["kinds"]["96x64, 10 bits"]["pixels"], len(found["targets"])) == ("planes", 4)
        assert "| 96x64, 10 bits | planes |" in said
    else:
        assert "no ffmpeg is installed, so that films of several sizes were not compared with it." in said
        assert len(found["targets"]) == 3
    for each in found["targets"]:
        assert f"| {each['what']} |" in said
        assert each["met"] == (each["value"] <= each["limit"])

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import torch

from pipeline.doctor.examine import examine
from pipeline.doctor.probe_films import ProbedFilm, probe_films
from pipeline.doctor.space import (
    FACTOR,
    BankRowCounts,
    Space,
    bank_channels,
    check_space,
    count_rows,
    estimate_space,
    size_text,
)
from pipeline.models.build import BACKBONES, build_detector
from pipeline.models.settings import RoiSettings
from pipeline.params import Params
from pipeline.tables.schemas import ANNOTATIONS, BOXES, KEYFRAMES
from pipeline.video.extract import FrameSettings, extract_video
from tests.doctor.sources import SOURCE, params_of, write_clean
from tests.video.films import write_film

GB = 10**9


def stored_bytes(path: Path, folder: Path, params: Params) -> int:
    """What `extract_frames` writes of a film."""
    side = None if params.frames.short_side == "none" else params.frames.short_side
    folder.mkdir(parents=True)
    extract_video(path, folder, FrameSettings(params.frames.fps, side, params.frames.quality), "sha256")
    return (folder / "frames.arrow").stat().st_size


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["frames.quality=50", "frames.short_side=none"],
        ["frames.fps=5", "frames.short_side=48", "frames.allow_smaller=true"],
    ],
)
def test_frames_take_what_was_estimated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    films = {"a": write_film(tmp_path / "a.mp4", frames=100), "b": write_film(tmp_path / "b.mp4", frames=60, rate=15)}
    params = params_of(*overrides)
    space = estimate_space(params, films, probe_films(films, workers=1))
    stored = sum(stored_bytes(path, tmp_path / "stored" / name, params) for name, path in films.items())
    assert stored / FACTOR < space.frames < FACTOR * stored


def test_frames_of_real_films_take_what_was_estimated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    films = {path.stem: path for path in (real / "video").glob("[dp]*.mp4")}
    assert len(films) == 3
    params = params_of("frames.short_side=160")
    space = estimate_space(params, films, probe_films(films, workers=1))
    stored = sum(stored_bytes(path, tmp_path / "stored" / name, params) for name, path in films.items())
    assert stored / FACTOR < space.frames < FACTOR * stored


def test_a_film_that_cannot_be_decoded_is_estimated_by_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    good = write_film(tmp_path / "a.mp4", frames=100)
    (tmp_path / "b.mp4").write_bytes(b"no film")
    films = probe_films({"a": good}, workers=1)
    alone = estimate_space(params_of(), {"a": good}, films)
    films["b"] = films["a"]  # as it was, when it was probed
    both = estimate_space(params_of(), {"b": tmp_path / "b.mp4", "a": good}, films)
    assert both.frames == pytest.approx(2 * alone.frames, abs=1)
    films["b"] = replace(films["a"], found="0 bytes")
    assert estimate_space(params_of(), {"b": tmp_path / "b.mp4", "a": good}, films).frames == alone.frames


def test_films_of_which_no_frame_can_be_had_count_by_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    film = ProbedFilm(duration_seconds=3600.0, fps=25.0, frames=90000, width=640, height=512)
    space = estimate_space(params_of("frames.fps=30", "frames.short_side=256"), {}, {"a": film})
    assert space.frames == 90000 * (320 * 256 // 4 + 20)
    packed = estimate_space(params_of("frames.fps=30", "frames.short_side=256", "dataset.pack=4"), {}, {"a": film})
    assert packed.frames == 2 * space.frames  # single films stay in .work


def test_rows_of_a_bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    film = ProbedFilm(duration_seconds=1000.0, fps=25.0, frames=25000, width=640, height=512)
    rows = BankRowCounts(per_second=3.0, annotated=500, keyframes=100)

    def bank(*overrides: str) -> int:
        return estimate_space(params_of("backbone=slowfast_r50_4x16", *overrides), {}, {"a": film}, rows).bank

    assert bank() == 3500 * (2304 * 2 + 28) + 150_000
    assert bank("bank.dtype=fp32") == 3500 * (2304 * 4 + 28) + 150_000
    assert bank("bank.seconds=annotated") == 800 * (2304 * 2 + 28) + 150_000
    assert bank("head=linear") == bank("head=baseline", "scope=all") == 0


@pytest.mark.parametrize(
    ("name", "width", "roi"),
    [
        *((name, None, RoiSettings()) for name in BACKBONES if "r101" not in name),
        ("slowfast_r50_4x16", 32, RoiSettings(context="global")),
        ("slowfast_tiny", 8, RoiSettings(context="global")),
    ],
)
def test_the_width_of_a_feature_is_that_of_the_network(name: str, width: int | None, roi: RoiSettings) -> None:
    with torch.device("meta"):
        built = build_detector(name, classes=2, width=width, roi=roi)
    assert bank_channels(name, width, context=roi.context == "global") == built.roi_channels


@pytest.mark.parametrize(
    ("free", "severity"),
    [(5.0, "error"), (6.0, "error"), (7.0, "warning"), (14.9, "warning"), (15.1, None), (100.0, None)],
)
def test_what_does_not_fit_is_a_finding(free: float, severity: str | None) -> None:
    found = check_space(Space(frames=11 * GB, bank=1 * GB, stored=2 * GB, free=round(free * GB)))
    assert [each.severity for each in found] == ([severity] if severity else [])
    for each in found:
        assert each.code == {"error": "space-missing", "warning": "space-tight"}[each.severity]
        assert each.examples[0].found == f"10 GB to be written, {size_text(free * GB)} free"


def test_what_is_there_already_needs_no_room() -> None:
    assert check_space(Space(frames=11 * GB, bank=1 * GB, stored=13 * GB, free=0)) == []


def test_the_doctor_says_what_frames_and_banks_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clean(tmp_path)
    monkeypatch.chdir(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    found = examine(params_of("backbone=slowonly_r50"), workers=1)
    assert found.facts["space"].startswith("frames about ")
    assert found.facts["space"].endswith("; 1 kB are free")
    (finding,) = [each for each in found.findings if each.code == "space-missing"]
    assert finding.severity == "error"
    assert " to be written, 1 kB free" in finding.examples[0].found
    assert finding.remedy.startswith("Free some space, move the project to a larger disk")
    for path in (tmp_path / SOURCE / "annotations").iterdir():
        path.unlink()
    assert examine(params_of(), workers=1).facts["space"].startswith("frames about ")  # and of banks a guess


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 kB"), (999_400, "999 kB"), (653e6, "653 MB"), (12.34e9, "12.3 GB"), (3.4e12, "3.4 TB")]
)
def test_sizes_in_words(size: float, text: str) -> None:
    assert size_text(size) == text


def test_objects_are_rows_of_a_bank_up_to_as_many_as_it_stores_of_a_second() -> None:
    named: Any = SimpleNamespace(annotations=ANNOTATIONS.empty_table(), keyframes=KEYFRAMES.empty_table())
    found = [(1.0, 0.95, None), (1.0, 0.5, None), *[(1.0, 0.3, "cup")] * 4, (2.0, 0.95, None), (2.0, 0.9, "tv")]
    rows = [("a", at, at, 0.1, 0.1, 0.5, 0.5, score, "x", label, None) for at, score, label in found]
    boxes = pa.Table.from_pylist([dict(zip(BOXES.names, row, strict=True)) for row in rows], BOXES)
    assert [count_rows(named, boxes, 0.9, objects).per_second for objects in (0, 3, 9)] == [1, 3, 3.5]

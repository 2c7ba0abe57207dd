"""From tables to the parts of a split; what computes them is replaced."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from pipeline.bank.settings import BankSettings
from pipeline.base.errors import InputError
from pipeline.base.files import digest_file, write_json
from pipeline.base.hardware import Hardware
from pipeline.checkpoint.weights import save_checkpoint
from pipeline.features import split_parts as module
from pipeline.features.film_parts import PartSettings
from pipeline.features.split_parts import Sources, split_parts
from pipeline.tables.schemas import ANNOTATIONS, BOXES, KEYFRAMES, TIMELINES, VIDEOS, write_table
from tests.checkpoint import sidecars

SETTINGS = BankSettings(
    box_threshold=0.5, seconds="grid", dtype="fp16", codec="none", compute_dtype="fp32", lower_threshold=False,
    full_frame_box=True,
)  # fmt: skip
HARDWARE = Hardware(torch.device("cpu"), 1, 1)


def write(path: Path, schema: pa.Schema, *rows: tuple) -> None:
    write_table(pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema), path, schema)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """Film a of train, with a box of score 0.9 at 1 s."""
    write(tmp_path / "timelines.parquet", TIMELINES, ("a", "train", 0.0, 0.0))
    write(tmp_path / "videos.parquet", VIDEOS, ("a", "a.mp4", "s", 15.0, 3.0, 45, 45, 160, 120))
    write(tmp_path / "boxes.parquet", BOXES, ("a", 1.0, 1.0, 0.1, 0.1, 0.5, 0.9, 0.9, "made", None, None))
    write(tmp_path / "annotations.parquet", ANNOTATIONS)
    write(tmp_path / "keyframes.parquet", KEYFRAMES)
    write_json(tmp_path / "manifest.json", {})
    save_checkpoint(tmp_path / "baseline.safetensors", {}, sidecars.checkpoint(sidecars.BASELINE))
    return Sources(tmp_path, tmp_path, tmp_path, tmp_path / "baseline.safetensors")


def test_the_films_of_the_split_and_what_the_bank_says_of_itself(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}

    def make_parts(films: Any, **more: Any) -> dict[str, Path]:
        told.update(films=films, **more)
        return {"a": Path("a")}

    monkeypatch.setattr(module, "make_parts", make_parts)
    parts, provenance = split_parts("train", sources, SETTINGS, HARDWARE)
    assert parts == {"a": Path("a")}
    assert [(film.video_id, film.detected_score.tolist()) for film in told["films"]] == [("a", [1.0, 0.9, 1.0])]
    shared = told["settings"].attributes
    assert told["settings"] == PartSettings("fp16", "none", "fp32", shared)
    assert (told["what"], told["hardware"]) == ("bank train", HARDWARE)
    assert shared["checkpoint_sha256"] == digest_file(sources.checkpoint)
    rule = {"box_threshold": 0.5, "lower_threshold": False, "full_frame_box": True, "seconds": "grid"}
    made = {"recipe": "slowfast_tiny", "clip": {**sidecars.INPUT, "long_side": None}, "compute_dtype": "fp32"}
    made["roi"] = {**sidecars.ROI, "extend_x": 0.0, "extend_y": 0.0}
    assert {**rule, **made}.items() <= shared.items()
    assert provenance == {
        **shared, "box_source": "boxes.parquet", "frames_sha256": digest_file(sources.frames / "manifest.json"),
        "boxes_sha256": digest_file(sources.boxes / "boxes.parquet"),
    }  # fmt: skip


def test_a_split_without_films_and_a_threshold_that_no_box_reaches_are_refused(sources: Sources) -> None:
    with pytest.raises(InputError) as error:
        split_parts("val", sources, SETTINGS, HARDWARE)
    assert str(error.value) == (
        f"{sources.annotations}: no film is of val, expected one at least: a bank of it would be empty, with nothing "
        "to learn from or to score; dataset.split_by: time splits each film (docs/datasets.md#splits)"
    )
    strict = BankSettings(**{**vars(SETTINGS), "box_threshold": 0.95})
    with pytest.raises(
        InputError, match=r": no box of split train has a score of at least 0\.95 \(bank\.box_threshold\)"
    ):
        split_parts("train", sources, strict, HARDWARE)


def test_films_without_frames_are_counted_and_a_split_of_them_alone_is_refused(
    sources: Sources, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "make_parts", lambda films, **_: {film.video_id: Path() for film in films})
    films = (("a", "train", 0.0, 0.0), ("b", "train", 0.0, 0.0), ("c", "val", 0.0, 0.0))
    write(sources.annotations / "timelines.parquet", TIMELINES, *films)
    assert list(split_parts("train", sources, SETTINGS, HARDWARE)[0]) == ["a"]
    told = f"{sources.frames}: 1 of 2 films of train have no frames, and get no rows; the first: b\n"
    assert capsys.readouterr().err == told
    with pytest.raises(InputError) as error:
        split_parts("val", sources, SETTINGS, HARDWARE)
    places = "'a' in the frame store, 'c' in the annotations"
    assert str(error.value) == f"{sources.frames}: no film of val has frames, of 1: {places}"


def test_what_is_no_baseline_makes_no_parts(sources: Sources) -> None:
    save_checkpoint(sources.checkpoint, {}, sidecars.checkpoint(sidecars.BACKBONE))
    with pytest.raises(InputError, match=r"is a backbone, expected a detector whose head reads no bank$"):
        split_parts("train", sources, SETTINGS, HARDWARE)

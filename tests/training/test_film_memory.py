"""The memory of validation holds one film, as the model sees it now, and reads as a bank of the same rows does."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.reader import open_bank, open_parts
from pipeline.bank.settings import BankSettings
from pipeline.bank.windows.resident import ResidentWindows
from pipeline.base.hardware import Hardware
from pipeline.checkpoint.build_baseline import build_baseline
from pipeline.checkpoint.weights import load_checkpoint, load_into
from pipeline.features.film_parts import PartSettings, make_parts
from pipeline.features.requests import FilmBoxes
from pipeline.features.windows import WindowSource
from pipeline.training.film_memory import FilmMemory, film_memory
from pipeline.video.store import FrameStore
from tests.bank.banks import make_rows, write_small_bank
from tests.rank_jobs import CLIP, CPU, film_boxes, make_films
from tests.windows import window_of

SETTINGS = BankSettings(
    box_threshold=0.5, seconds="grid", dtype="fp16", codec="none", compute_dtype="fp32", lower_threshold=False,
    full_frame_box=False,
)  # fmt: skip


def film(video_id: str, seconds: int = 3) -> FilmBoxes:
    at, nothing = np.arange(seconds, dtype=np.float64), np.empty((seconds, 4))
    return FilmBoxes(video_id, 0.0, 9.0, at, at, nothing, np.ones(seconds), None, None)


def memory_of(rows: dict[str, FeatureRows], asked: list[str], *, min_score: float = 0.5) -> FilmMemory:
    def rows_of(film: FilmBoxes) -> FeatureRows:
        asked.append(film.video_id)
        return rows[film.video_id]

    films = [*map(film, rows), film("nobody", 0)]
    return FilmMemory(films, rows_of, min_score=min_score, channels=4, dtype=torch.float16)


def test_its_windows_are_those_of_a_bank_with_the_same_rows(tmp_path: Path) -> None:
    rows = {
        name: make_rows({second: second % 4 for second in range(9)}, channels=4, seed=len(name)) for name in ("a", "bc")
    }
    bank = open_bank(write_small_bank(tmp_path / "val.zarr", rows))
    for score in (0.5, 0.7):
        memory, resident = memory_of(rows, [], min_score=score), ResidentWindows([bank], min_score=score)
        for name in rows:
            times = np.arange(9.0)
            read = [
                WindowSource(windows, window_of(5, 2)).for_evaluation()([name] * 9, times, torch.arange(9))
                for windows in (memory, resident)
            ]
            assert torch.equal(read[0].rows, read[1].rows)
            assert torch.equal(read[0].mask, read[1].mask)
            assert 0 < read[0].mask.sum() < read[0].mask.numel()


def test_a_film_is_computed_once_until_the_model_changes() -> None:
    asked: list[str] = []
    rows = {name: make_rows({0: 1}, channels=4, seed=1) for name in ("a", "b")}
    memory = memory_of(rows, asked)
    first = np.array([0])
    for name in ("a", "a", "b", "b"):
        assert memory.find([name], first, 1)[1].tolist() == [[1]]
    assert asked == ["a", "b"]
    memory.forget()
    memory.find(["b"], first, 1)
    assert asked == ["a", "b", "b"]
    for name in ("nobody", "unknown"):
        assert memory.find([name], first, 1)[1].tolist() == [[0]]
    assert asked == ["a", "b", "b"]


def test_the_keyframes_of_a_batch_are_of_one_film() -> None:
    with pytest.raises(ValueError, match=r"^the keyframes are of 2 films, expected one$"):
        memory_of({}, []).find(["a", "b"], np.array([0, 0]), 1)


def test_its_rows_are_those_that_a_bank_of_the_model_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    make_films(tmp_path)
    tensors, checkpoint = load_checkpoint(tmp_path / "model.safetensors")
    model = build_baseline(checkpoint.detector())
    load_into(model, tensors, "model")
    hardware = Hardware(CPU, workers=1, batch=2)
    parts = make_parts(
        film_boxes(), checkpoint=tmp_path / "model.safetensors", frames=tmp_path / "frames",
        settings=PartSettings("fp16", "none", "fp32", {"checkpoint_sha256": "x"}), hardware=hardware, what="bank",
    )  # fmt: skip
    bank = ResidentWindows([open_parts(parts, {"checkpoint_sha256": "x", "box_threshold": 0.5})], min_score=0.5)
    memory = film_memory(
        model.eval(), film_boxes(), FrameStore(tmp_path / "frames"), SETTINGS, clip=CLIP, min_score=0.5,
        hardware=hardware,
    )  # fmt: skip
    for each in film_boxes():
        times = each.seconds_seen
        read = [
            WindowSource(windows, window_of(3, 2)).for_evaluation()(
                [each.video_id] * len(times), times, torch.arange(len(times))
            )
            for windows in (memory, bank)
        ]
        assert torch.equal(read[0].rows, read[1].rows)
        assert read[0].mask.any()

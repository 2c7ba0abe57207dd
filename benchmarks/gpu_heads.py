"""The rows of `benchmarks.gpu` on LFB-NL at AVA's size: training from a bank on the GPU, and scoring the val split."""

import os
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from benchmarks import head_training
from benchmarks.sections import Row, Setup
from benchmarks.synthetic_bank import NAME, SETTINGS, Size
from pipeline.bank.reader import open_bank
from pipeline.base.files import read_json
from pipeline.base.hardware import Hardware
from pipeline.checkpoint.weights import HEAD, load_checkpoint
from pipeline.features.windows import WindowOptions, window_source
from pipeline.scoring.keyframe_rows import SCORED_ROW_SETS, scoring_rows
from pipeline.scoring.predictor import make_predictor
from pipeline.tables.select_boxes import BoxRule
from pipeline.tables.split_tables import KnownFilms, read_tables, split_keyframes

HEAD_NAME, PUBLISHED_EPOCHS = "lfb_nl", 20
TRAINING_COLUMNS = (
    "keyframes", "an epoch", "a step", "all else", "20 epochs (at most 10 min)", "peak GPU memory"
)  # fmt: skip
SCORING_COLUMNS = ("persons", "bank opened", "rows found", "scored", "a keyframe")


def size_of(setup: Setup) -> Size:
    return Size(films=2, val_films=1, seconds=60, channels=32, classes=5) if setup.tiny else Size()


def folder_of(setup: Setup) -> Path:
    return setup.folder / "ava"


def measure_training(setup: Setup) -> list[str]:
    """One epoch of 20; an epoch's time does not depend on its number."""
    size, folder = size_of(setup), folder_of(setup)
    head_training.main(
        folder, films=size.films, val_films=size.val_films, seconds=size.seconds, channels=size.channels,
        classes=size.classes, epochs=1, heads=HEAD_NAME, device=setup.device,
        threads=1 if setup.tiny else os.cpu_count() or 1,
        override=["sizes.latent=8"] if setup.tiny else None,
    )  # fmt: skip
    return training_cells(read_json(folder / "head_training.json")["heads"][HEAD_NAME])


def training_cells(found: dict[str, Any]) -> list[str]:
    (epoch,) = found["epochs"]
    rest = found["seconds"] - epoch["all"]
    return [
        str(found["keyframes"]),
        f"{epoch['all']:.1f} s",
        f"{1000 * epoch['all'] / epoch['steps']:.1f} ms",
        f"{rest:.1f} s",
        f"{(rest + PUBLISHED_EPOCHS * epoch['all']) / 60:.1f} min",
        f"{found['peak_gpu_mib']:.0f} MiB" if "peak_gpu_mib" in found else "no GPU",
    ]


def measure_scoring(kind: str, setup: Setup) -> list[str]:
    """Score the val split with the head that the training left, as `evaluate` does before it takes an AP."""
    data, device = folder_of(setup) / "data" / NAME, torch.device(setup.device)
    os.environ["DVC_ROOT"] = str(folder_of(setup))
    predictor = make_predictor(*load_checkpoint(folder_of(setup) / HEAD), Hardware(device, 1, 8), compute_dtype="fp32")
    window = predictor.spec.head.window
    assert window is not None
    times = [time.perf_counter()]
    bank = open_bank(data / "bank" / "val.zarr")
    windows = window_source([bank], window, device=device, options=WindowOptions())
    times.append(time.perf_counter())
    keyframes = split_keyframes(
        read_tables(data / "annotations", None), "val", classes=predictor.spec.classes, with_empty=True,
        films=KnownFilms(bank.videos, "the val bank"),
    )  # fmt: skip
    rows = scoring_rows(bank, keyframes, SCORED_ROW_SETS[kind], rule=BoxRule(SETTINGS["box_threshold"]))
    times.append(time.perf_counter())
    scored = predictor.score_rows(rows, windows.for_evaluation())  # ends on the CPU: nothing is left to wait for
    times.append(time.perf_counter())
    opened, found, took = (end - start for start, end in pairwise(times))
    persons = sum(len(each.boxes_xyxy) for each in scored)
    return [str(persons), f"{opened:.1f} s", f"{found:.1f} s", f"{took:.1f} s", f"{1e6 * took / len(scored):.0f} µs"]


def training_rows(setup: Setup) -> dict[str, Row]:
    size = size_of(setup)
    return {f"{HEAD_NAME}, {size.films} films": partial(measure_training, setup)}


def scoring_rows_of(setup: Setup) -> dict[str, Row]:
    """The first takes what comes only once, as the copy of the bank to the device."""
    return {f"{HEAD_NAME}, {kind} boxes": partial(measure_scoring, kind, setup) for kind in SCORED_ROW_SETS}

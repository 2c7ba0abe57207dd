"""Jobs that tests run in one and in several processes: `python -m tests.rank_jobs work FOLDER --processes 2`."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray

from pipeline.bank.reader import open_bank
from pipeline.bank.writer import assemble_bank
from pipeline.base.command import ProcessesOption, new_app, run
from pipeline.base.distributed import from_main
from pipeline.base.files import digest_file, digest_value, write_json
from pipeline.base.hardware import Hardware
from pipeline.base.randomness import rng_of
from pipeline.base.rank_processes import across_ranks
from pipeline.base.ranks import is_main, rank, world_size
from pipeline.checkpoint.sidecars import Checkpoint
from pipeline.checkpoint.specs import DetectorSpec
from pipeline.checkpoint.weights import save_checkpoint, save_tensors
from pipeline.features.film_parts import PartSettings, make_parts
from pipeline.features.requests import FilmBoxes
from pipeline.features.windows import WindowOptions, WindowSource, open_windows
from pipeline.models.build import build_backbone, build_detector
from pipeline.models.context import BankWindow, WindowOf
from pipeline.models.detector import Detector
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.lfb_nl import lfb_nl
from pipeline.models.settings import BaselineHead, RoiSettings
from pipeline.scoring.detections import detections_table
from pipeline.scoring.score_films import score_films
from pipeline.scoring.settings import ScoreSettings
from pipeline.tables.keyframes import Keyframe, KeyframeBoxes, pack_keyframes
from pipeline.tables.schemas import DETECTIONS, write_table
from pipeline.training.batch import Batch
from pipeline.training.clip_steps import ClipData, clip_steps, detector_loss
from pipeline.training.history import Metrics
from pipeline.training.loop import Fitted, fit
from pipeline.training.memory import Memory
from pipeline.training.memory_task import empty_memory
from pipeline.training.optimiser import parameter_groups
from pipeline.training.settings import MemoryWeight, Training
from pipeline.training.steps import Stretch, Task
from pipeline.video.clip_input import ClipInput
from pipeline.video.manifest import write_manifest
from pipeline.video.store import FrameStore, Row, write_frames
from tests.bank.banks import make_rows, write_small_bank
from tests.training.settings import training_settings
from tests.windows import window_of

app = new_app()
CPU = torch.device("cpu")
CLASSES = 3
FILMS = {"a": 5, "b": 1, "c": 3}
"Annotated seconds of each film."
CLIP = ClipInput(frames=2, interval=2, short_side=32, mean=(100.0, 100, 100), std=(50.0, 50, 50))
SETTINGS: dict[str, Any] = {
    "epochs": 3, "lr": 0.05, "clip_norm": 5.0, "select": "best", "seed": 3, "global_batch": 8, "bn_batch": 2,
    "augmentation": {
        "short_side": (32, 36), "crop": 32, "flip": 0.5, "colour": 0.1, "box_jitter": 0.0, "max_boxes": 32,
    },
}  # fmt: skip
# Nine keyframes: a step of four parts, and one of a single part, so that one of two ranks has none of it.
TRAININGS: dict[str, dict[str, Any]] = {
    "parts_of_two": {},
    # Every part is one keyframe, and some have nobody with an action.
    "parts_of_one": {"global_batch": 4, "bn_batch": 1, "decay": "weights", "norm": "frozen", "epochs": 1},
    # LFB-NL, a window for each person.
    "windows": {"epochs": 1},
    # LFB-NL on the asynchronous memory.
    "memory": {"epochs": 2},
    # No mAP rises by so much: it stops after its second epoch.
    "plateau": {"epochs": 4, "patience": 1, "min_delta": 1.0},
}


def make_films(folder: Path) -> None:
    """A frame store of noise, and the checkpoint of an untrained detector."""
    videos = {}
    for video_id, seconds in FILMS.items():
        frames = rng_of("film", video_id).integers(0, 256, (10 * seconds + 10, 32, 40, 3), np.uint8)
        origin = {"source_sha256": video_id, "grid_frames": len(frames), "stored_height": 32, "stored_width": 40}
        rows = [Row(simplejpeg.encode_jpeg(frame, 90), at / 10, at) for at, frame in enumerate(frames)]
        path = folder / "frames" / f"{video_id}.arrow"
        count = write_frames(path, rows, lambda origin=origin: origin)  # type: ignore[misc]
        videos[video_id] = {**origin, "rows": count, "sha256": digest_file(path)}
    write_manifest(folder / "frames", videos, fps=10.0, short_side=None, quality=90)
    detections = {
        video_id: make_rows({900.0 + second: 4 for second in range(seconds)}, channels=4, seed=seconds)
        for video_id, seconds in FILMS.items()
    }
    write_small_bank(folder / "windows.zarr", detections)
    torch.manual_seed(0)
    spec = DetectorSpec(
        backbone="slowonly_tiny", width=8, columns=CLASSES, classes=CLASSES, dropout=0.0, input=CLIP,
        head=BaselineHead(name="linear"), roi=RoiSettings(output_size=4),
    )  # fmt: skip
    save_checkpoint(folder / "model.safetensors", detector().state_dict(), Checkpoint(spec=spec))


def detector() -> Detector:
    return build_detector("slowonly_tiny", width=8, classes=CLASSES, dropout=0.5)


def detector_with_windows(name: str) -> Detector:
    backbone = build_backbone("slowonly_tiny", width=8)
    bank_channels = backbone.out_channels if name == "memory" else 4
    settings = HeadSettings(roi_channels=backbone.out_channels, bank_channels=bank_channels, classes=CLASSES)
    return Detector(backbone, lfb_nl(settings, latent=4))


def window_source(folder: Path) -> WindowSource:
    """Of these both ranks need a file, at the same time."""
    bank = open_bank(folder / "windows.zarr")
    windows = open_windows([bank], min_score=0.5, device=CPU, options=WindowOptions("resident", 1))
    return WindowSource(windows, window_of(3, 2, draw="roi"))


def noted(made: WindowOf, notes: list[list[Any]]) -> WindowOf:
    """`made`, which writes down what each person was given."""

    def given(video_ids: Sequence[str], timestamps: NDArray[np.float64], clip_index: torch.Tensor) -> BankWindow:
        window = made(video_ids, timestamps, clip_index)
        clips = clip_index.tolist()
        for row, clip in enumerate(clips):
            owner = window.owner[row]
            seen = digest_value([window.rows[owner], window.mask[owner]])
            notes.append([video_ids[clip], float(timestamps[clip]), clips[:row].count(clip), seen])
        return window

    return given


def keyframes() -> list[KeyframeBoxes]:
    found = []
    for video_id, seconds in FILMS.items():
        for second in range(1, seconds + 1):
            rng = rng_of("boxes", video_id, second)
            corners = rng.uniform(0, 0.4, (3, 2))
            boxes = np.concatenate([corners, corners + rng.uniform(0.3, 0.6, (3, 2))], axis=1)
            labels = rng.random((2, CLASSES)) < 0.5
            if second == 2:
                labels[:] = False
            found.append(
                KeyframeBoxes(
                    Keyframe(video_id, 900.0 + second, float(second)), boxes[:2], labels, boxes[1:], np.ones(2)
                )
            )
    return found


class WatchedStore(FrameStore):
    """Notes what is read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.read: list[list[Any]] = []

    def read_clip(self, video_id: str, grid_indices: Any) -> NDArray[np.uint8]:
        self.read.append([video_id, *np.asarray(grid_indices).tolist()])
        return super().read_clip(video_id, grid_indices)


def train(folder: Path, name: str, *, killed_after: int = 0, **changes: Any) -> tuple[Detector, Fitted]:
    settings = training_settings(**{**SETTINGS, **TRAININGS[name], **changes})
    torch.manual_seed(rank())  # the loop starts from rank 0's weights
    model = detector_with_windows(name) if name in ("windows", "memory") else detector()
    source = window_source(folder) if name == "windows" else None
    memory = memory_of(model, settings) if name == "memory" else None
    trained = WindowSource(memory, window_of(3, 1)) if memory else source
    windows: list[list[Any]] = []
    store, scored = WatchedStore(folder / "frames"), FrameStore(folder / "frames")
    state = folder / f"state_{name}_{world_size()}"

    def validate() -> Metrics:
        if killed_after and rank() == world_size() - 1 and len(list(state.glob("epoch_*"))) >= killed_after:
            os.kill(os.getpid(), signal.SIGKILL)
        scoring = ScoreSettings(CPU, "fp32", trained.for_evaluation() if trained else None)
        scores = score_films(model, scored, keyframes(), scoring, clip=CLIP, batch=2)["detected"]
        return from_main(lambda: {"map": float(np.mean([each.scores.mean() for each in scores]))})

    data = ClipData(store, CLIP, keyframes(), keyframes(), cast("Any", None))
    task = Task(
        "train",
        lambda epoch: clip_steps(
            data,
            Stretch(epoch, 0, -(-9 // settings.global_batch)),
            settings,
            unmatched=False,
            workers=2,
            window_of=noted(trained.for_training(seed=1)(epoch), windows) if trained else None,
        ),
        -(-9 // settings.global_batch),
        detector_loss(model, keep=keeper(memory) if memory else None),
        validate,
        extra=memory,
        after_step=memory.after_step if memory else None,
    )
    groups = parameter_groups(model, weight_decay=settings.weight_decay, decayed=settings.decay)
    fitted = fit(model, task, settings, groups=groups, device=CPU, state_folder=state)
    write_json(folder / f"read_{name}_{world_size()}_{rank()}.json", sorted(store.read))
    write_json(folder / f"windows_{name}_{world_size()}_{rank()}.json", sorted(windows))
    if memory:
        save_tensors(folder / f"memory_{world_size()}_{rank()}.safetensors", memory.state_dict())
    return model, fitted


def memory_of(model: Detector, settings: Training) -> Memory:
    """An empty asynchronous memory of all keyframes."""
    weight = MemoryWeight(by="loss", half_life=1.0)
    return empty_memory(
        pack_keyframes(keyframes()), settings, channels=model.roi_channels, weight=weight, steps_per_pass=2
    )


def keeper(memory: Memory) -> Callable[[Batch, torch.Tensor], None]:
    def keep(batch: Batch, rows: torch.Tensor) -> None:
        assert batch.keyframes is not None
        memory.keep(batch.keyframes, batch.clip_index, rows)

    return keep


def film_boxes() -> list[FilmBoxes]:
    found = []
    for video_id, seconds in FILMS.items():
        at = 900.0 + np.repeat(np.arange(1, seconds + 1, dtype=np.float64), 2)
        boxes = np.concatenate([each.proposals_xyxy for each in keyframes() if each.keyframe.video_id == video_id])
        found.append(FilmBoxes(video_id, -900.0, 3600.0, np.unique(at), at, boxes, np.full(len(at), 0.95), None, None))
    return found


@app.command()
@across_ranks
def work(folder: Path, processes: ProcessesOption = 1) -> None:
    """Everything that ranks share; what comes of it lies in `folder/out_<ranks>`."""
    torch.set_num_threads(1)
    out = folder / f"out_{world_size()}"
    for name in TRAININGS:
        model, fitted = train(folder, name)
        if is_main():
            save_tensors(out / f"{name}.safetensors", model.state_dict())
            write_json(out / f"{name}.json", {"history": fitted.history, "selected": fitted.selected_epoch})
    torch.manual_seed(0)
    scores = score_films(
        detector().eval(), FrameStore(folder / "frames"), keyframes(), ScoreSettings(CPU, "fp32"), clip=CLIP, batch=2
    )
    assert is_main() or not scores["detected"]
    if is_main():
        for kind, each in scores.items():
            write_table(detections_table(each, action_threshold=0.0), out / f"{kind}.parquet", DETECTIONS)
    settings = PartSettings("fp16", "none", "fp32", {"checkpoint_sha256": "x"})
    parts = make_parts(
        film_boxes(), checkpoint=folder / "model.safetensors", frames=folder / "frames", settings=settings,
        hardware=Hardware(CPU, workers=1, batch=2), what="bank",
    )  # fmt: skip
    assert all(path.is_dir() for path in parts.values())
    if is_main():
        assemble_bank(out / "bank.zarr", parts=parts, split="train", provenance={"checkpoint_sha256": "x"})
    print(f"{world_size()} ranks are done")


@app.command()
@across_ranks
def resume(folder: Path, killed_after: int = 0, processes: ProcessesOption = 1) -> None:
    """One training; the last rank is killed when so many states have been written."""
    torch.set_num_threads(1)
    model, _ = train(folder, "parts_of_two", killed_after=killed_after)
    if is_main():
        save_tensors(folder / "resumed.safetensors", model.state_dict())


if __name__ == "__main__":
    run(app)

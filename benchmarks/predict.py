"""Compare `predict` with the sum of its parts and with how other projects' demonstrations go through a film.

    python -m benchmarks.predict FOLDER                                      # 10 minutes, SlowOnly R50 4x16
    python -m benchmarks.predict FOLDER --seconds 60 --width 16 --lines 128  # small
    python -m benchmarks.predict FOLDER --seconds 30 --against MMAction2     # at the stepping of a demonstration
    python -m benchmarks.predict FOLDER --memory                             # peak memory of films of up to 2 hours

Makes a film of persons who walk before a still scene, and predicts it once a second with the motion detector. The parts
are measured alone: every picture decoded and scaled; the detector on pictures in memory; the backbone, RoIAlign and
head on clips in memory. The other ways are written here in their own arithmetic, with the same network, the same boxes
and as many predictions a second, and without drawing:

* `MMAction2`, its demonstration: every picture is decoded, kept at full size, written as a JPEG and scaled.
* `PySlowFast`, its demonstration: every picture is decoded; all pictures that a clip spans are scaled for each clip.
* `clip by clip`, as data loaders read films: for each clip the film is opened and the span decoded and scaled anew.

`--against MMAction2` and `--against PySlowFast` run that demonstration and predict at its own default stepping,
`--against all` all of them at one prediction a second. The first two hold every picture of the film in memory, as the
demonstrations do (1.2 MB each at 480 lines), so a film of 10 minutes does not fit. They allocate memory with the
settings that the C library begins with; predict and its parts do as `load_model` sets it.

All sides take turns in one run. CPU seconds are those of the process and of all below it.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import av
import numpy as np
import simplejpeg
import torch
import typer
from av.video.reformatter import VideoReformatter

from benchmarks.frames import measure
from benchmarks.measuring import apart, median_ratio, peak_mib, table, tree_cpu_seconds
from benchmarks.pictures import walking_figures
from pipeline.base.files import write_json, write_text
from pipeline.base.heap import keep_freed_blocks
from pipeline.base.numerics import set_numerics
from pipeline.boxes.motion import detect_motion
from pipeline.checkpoint.sidecars import Checkpoint
from pipeline.checkpoint.weights import save_checkpoint
from pipeline.models.build import build_detector
from pipeline.models.detector import Detector
from pipeline.predict.film_plans import FilmPlan, UserChoice
from pipeline.predict.film_sources import FilmSource
from pipeline.predict.find_persons import choose_persons
from pipeline.predict.load_model import Model, load_model
from pipeline.predict.predict_film import PLAIN, PredictOptions
from pipeline.predict.predict_films import FilmsResult, predict_films
from pipeline.predict.predict_to_folder import Outputs, predict_to_folder
from pipeline.video.clip_input import ClipInput
from pipeline.video.extract import shrink

Pictures = Iterator[np.ndarray[Any, Any]]
SHORT, MIDDLE, LONG = 2 * 60, 20 * 60, 2 * 3600
RATE, CLASSES = 30, 80
LIMIT = 1.15


def make_film(path: Path, *, seconds: float, lines: int, rate: int = RATE) -> Path:
    """A film 16:9 of two figures that walk before a still, textured scene."""
    height, width = lines, round(lines * 16 / 9 / 2) * 2
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        for number, picture in enumerate(walking_figures(round(seconds * rate), height, width, rate=rate)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def make_model(folder: Path, *, backbone: str, width: int | None, lines: int, frames: int, interval: int) -> Path:
    """A detector with a linear head, drawn at random, as `actionbank convert` would write it."""
    torch.manual_seed(0)
    detector = build_detector(backbone, classes=CLASSES, width=width)
    clip = {"frames": frames, "interval": interval, "short_side": lines, "mean": [114.75] * 3, "std": [57.375] * 3}
    described = {
        "sha256": "", "kind": "detector", "backbone": backbone, "width": width, "input": clip, "roi": {},
        "head": {"name": "linear"}, "columns": CLASSES, "classes": CLASSES, "dropout": 0.5,
    }  # fmt: skip
    path = folder / "model.safetensors"
    path.unlink(missing_ok=True)
    save_checkpoint(path, detector.state_dict(), Checkpoint.from_json(described, "model.json"))
    return path


def open_model(path: Path) -> Model:
    """The model on one CPU thread, with boxes of any score."""
    return load_model(path, device="cpu", workers=1, batch=4, box_threshold=0.05)


def whole(model: Model, film: Path, every: float = 1.0) -> FilmsResult:
    """What `actionbank predict --detector motion` does, but for its tables."""
    keep_freed_blocks()
    persons = choose_persons("motion", min_score=model.settings.min_score, device="cpu", batch=4)
    plan = FilmPlan(FilmSource(film.stem, film), persons, PLAIN, "motion")
    return predict_films(model, [plan], PredictOptions(every=every))


def pictures(film: Path, start: float = 0.0) -> Iterator[av.VideoFrame]:
    """Decode a film from the key picture before `start` on, in one thread."""
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        if start:
            container.seek(int(start / stream.time_base), stream=stream)
        yield from container.decode(stream)


def decoded(film: Path, lines: int) -> Pictures:
    """Every picture, scaled."""
    scaler = VideoReformatter()
    for frame in pictures(film):
        yield shrink(scaler, frame.to_ndarray(format="rgb24"), lines)


class Parts:
    """What the parts need, in memory: a picture for each scored time, and the boxes that were found."""

    def __init__(self, model: Model, film: Path, lines: int, step: int = RATE) -> None:
        assert isinstance(model.predictor.model, Detector)
        self.film, self.lines, self.clip, self.network = film, lines, model.spec.clip, model.predictor.model
        self.scored = whole(model, film, step / RATE).results[0].scored
        self.searched = [picture for number, picture in enumerate(decoded(film, lines)) if number % step == 0]
        self.scaler = VideoReformatter()

    def forward(self, clip_THWC: np.ndarray, boxes: np.ndarray) -> None:
        """Normalise a clip and compute the scores of its boxes, xyxy in [0, 1]."""
        mean, std = (torch.tensor(each) for each in (self.clip.mean, self.clip.std))
        clip = ((torch.from_numpy(clip_THWC).float() - mean) / std).permute(3, 0, 1, 2)[None]
        height, width = clip_THWC.shape[1:3]
        places = torch.from_numpy(boxes).float() * torch.tensor([width, height] * 2)
        with torch.inference_mode():
            self.network(clip, places, torch.zeros(len(places), dtype=torch.long))

    def decode(self, turn: int) -> None:
        """Decode and scale every picture."""
        for _ in decoded(self.film, self.lines):
            pass

    def detect(self, turn: int) -> None:
        """Find persons in the picture of each scored time."""
        detect_motion(self.searched)

    def backbone(self, turn: int) -> None:
        """Forward a clip for each scored time, with the memory settings of predict."""
        keep_freed_blocks()
        clip = np.stack([self.searched[0]] * self.clip.frames)
        for each in self.scored:
            self.forward(clip, each.boxes_xyxy)

    def mmaction2(self, turn: int) -> None:
        """Go through the film as MMAction2's demonstration."""
        keep_freed_blocks(False)
        full = [frame.to_ndarray(format="bgr24") for frame in pictures(self.film)]
        for picture in full:
            simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=95, colorspace="BGR")
        self.detect(turn)
        small = [shrink(self.scaler, picture, self.lines) for picture in full]
        step, count = self.clip.interval, self.clip.frames
        for each in self.scored:
            first = round(each.keyframe.time_seconds * RATE) - count // 2 * step
            places = [min(max(first + step * index, 0), len(small) - 1) for index in range(count)]
            self.forward(np.stack([small[place] for place in places]), each.boxes_xyxy)

    def pyslowfast(self, turn: int) -> None:
        """Go through the film as PySlowFast's demonstration."""
        keep_freed_blocks(False)
        full = [frame.to_ndarray(format="bgr24") for frame in pictures(self.film)]
        self.detect(turn)
        span = self.clip.frames * self.clip.interval
        for each in self.scored:
            first = round(each.keyframe.time_seconds * RATE) - span // 2
            self._spanned([full[min(max(first + index, 0), len(full) - 1)] for index in range(span)], each.boxes_xyxy)

    def clip_by_clip(self, turn: int) -> None:
        """Open the film for each clip, and decode from the key picture before it."""
        keep_freed_blocks(False)
        self.detect(turn)
        span = self.clip.frames * self.clip.interval
        for each in self.scored:
            start = max(each.keyframe.time_seconds - span / 2 / RATE, 0.0)
            taken: list[np.ndarray] = []
            for frame in pictures(self.film, start):
                if frame.time is not None and frame.time >= start - 0.5 / RATE:
                    taken.append(frame.to_ndarray(format="rgb24"))
                if len(taken) == span:
                    break
            self._spanned(taken, each.boxes_xyxy)

    def _spanned(self, full: list[np.ndarray], boxes: np.ndarray) -> None:
        small = [shrink(self.scaler, picture, self.lines) for picture in full]
        places = np.linspace(0, len(small) - 1, self.clip.frames).astype(int)
        self.forward(np.stack([small[place] for place in places]), boxes)


def compare(model_path: Path, film: Path, lines: int, repeats: int, against: str) -> dict[str, Any]:
    """CPU and wall seconds of every side in every turn, at the stepping of AGAINST."""
    set_numerics(compute_dtype="fp32", deterministic=False, threads=1)
    model = open_model(model_path)
    step = step_of(against, model.spec.clip)
    parts = Parts(model, film, lines, step)
    sides: dict[str, Any] = {
        "predict": lambda turn: whole(model, film, step / RATE), "decode": parts.decode, "detector": parts.detect,
        "backbone": parts.backbone,
    }  # fmt: skip
    demonstrations = {
        "MMAction2": parts.mmaction2, "PySlowFast": parts.pyslowfast, "clip by clip": parts.clip_by_clip,
    }  # fmt: skip
    sides |= {name: side for name, side in demonstrations.items() if against in (name, "all")}
    times = measure(sides, repeats, clock=tree_cpu_seconds)
    persons = sum(len(each.boxes_xyxy) for each in parts.scored)
    return {"times": times, "scored": len(parts.scored), "persons": persons, "peak_mib": peak_mib()}


def step_of(against: str, clip: ClipInput) -> int:
    """Pictures between two predictions: those of a demonstration's own defaults, or of a second.

    MMAction2's `--predict-stepsize` is 8. PySlowFast's windows of T * S pictures do not overlap (`DEMO.BUFFER_SIZE` 0).
    """
    return {"MMAction2": 8, "PySlowFast": clip.frames * clip.interval}.get(against, RATE)


def write_boxes(path: Path, name: str, seconds: int) -> Path:
    """A box of a person at every second, as AVA CSV."""
    write_text(path, "".join(f"{name},{second},0.2,0.2,0.5,0.8,,1\n" for second in range(seconds)))
    return path


def peak_of(model_path: Path, film: Path, seconds: int, rate: int) -> dict[str, float]:
    """Peak memory of all that `actionbank predict --boxes FILE` does with a film, and before it."""
    model = open_model(model_path)
    model = replace(model, settings=replace(model.settings, fps=float(rate)))
    before = peak_mib()
    chosen = UserChoice(boxes=write_boxes(film.with_suffix(".csv"), film.stem, seconds))
    outputs = Outputs(out=film.with_suffix(""), force=True, actions=True)
    found = predict_to_folder([str(film)], model, chosen, PredictOptions(), outputs)
    assert len(found.results[0].scored) >= seconds - 1
    return {"seconds": seconds, "loaded_mib": before, "peak_mib": peak_mib()}


def measure_memory(
    folder: Path, *, short: int = SHORT, middle: int = MIDDLE, long: int = LONG
) -> list[dict[str, float]]:
    """Peak memory at each length, with a tiny backbone and two pictures a second."""
    model = make_model(folder, backbone="slowonly_tiny", width=8, lines=64, frames=4, interval=1)
    found = []
    for seconds in (short, middle, long):
        film = make_film(folder / f"film_{seconds}.mp4", seconds=seconds, lines=64, rate=2)
        found.append(apart(peak_of, model, film, seconds, 2))
    return found


def report(found: dict[str, Any], seconds: float) -> str:
    """The comparison as Markdown: CPU seconds per second of film, and ratios by turns."""
    cpu = {name: times["cpu"] for name, times in found["times"].items()}
    parts = [sum(each) for each in zip(cpu["decode"], cpu["detector"], cpu["backbone"], strict=True)]
    sides = {"predict": cpu.pop("predict"), "sum of the three parts": parts, **cpu}
    rows = [
        [name, f"{np.median(each) / seconds:.4f}", f"{median_ratio(each, sides['predict']):.2f}"]
        for name, each in sides.items()
    ]
    share, wall = median_ratio(sides["predict"], parts), np.median(found["times"]["predict"]["wall"])
    head = table(["side", "CPU seconds per second of film", "times predict"], rows)
    return (
        f"{head}\n\npredict: {share:.2f} times the sum of its parts (at most {LIMIT}), {seconds / wall:.2f} times real "
        f"time; {found['persons']} persons at {found['scored']} times; peak {found['peak_mib']:.0f} MiB"
    )


def main(
    folder: Annotated[Path, typer.Argument(help="For films and models; created if it is absent.")],
    seconds: Annotated[int, typer.Option(help="Length of the film.")] = 600,
    backbone: Annotated[str, typer.Option(help="A key of BACKBONES.")] = "slowonly_r50",
    width: Annotated[int, typer.Option(help="Of the stem; 64 is published.")] = 64,
    lines: Annotated[int, typer.Option(help="Short side that the network sees.")] = 256,
    source_lines: Annotated[int, typer.Option(help="Short side of the film.")] = 480,
    repeats: Annotated[int, typer.Option(help="Turns; one more comes first and does not count; 0: that one does.")] = 3,
    against: Annotated[str, typer.Option(help="parts; MMAction2 or PySlowFast, at its stepping; all at 1 s")] = "parts",
    memory: Annotated[bool, typer.Option("--memory", help="Measure peak memory instead.")] = False,
) -> None:
    """Measure, print Markdown, and write FOLDER/predict.json or FOLDER/memory.json."""
    folder.mkdir(parents=True, exist_ok=True)
    if memory:
        found = measure_memory(folder)
        write_json(folder / "memory.json", found)
        print(table(list(found[0]), [[f"{value:.0f}" for value in each.values()] for each in found]))
        return
    film = make_film(folder / "film.mp4", seconds=seconds, lines=source_lines)
    model = make_model(folder, backbone=backbone, width=width, lines=lines, frames=4, interval=16)
    result = apart(compare, model, film, lines, repeats, against)
    write_json(folder / f"predict-{against}.json", result)
    print(report(result, seconds))


if __name__ == "__main__":
    typer.run(main)

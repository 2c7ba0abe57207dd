"""Compare the evaluator with its floor: CPU seconds and peak memory at the scale of AVA's validation set.

    python -m benchmarks.evaluation                 # data generated in a temporary folder (130 MB)
    python -m benchmarks.evaluation --folder DATA   # gt.csv and det.csv there, generated where absent

The floor reads both files into typed columns with Arrow and sorts all scores with one stable argsort. The
evaluator does everything from the same files to the mAP. Both run in fresh processes, turn by turn, so that
both pay for their first touch of memory; the seconds are those of the process after its imports. Target: at
most 3 times the floor.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import typer

from benchmarks.measuring import peak_mib
from pipeline.evaluation.ava_csv import BOX_ROW, read_detections, read_ground_truth, write_detections
from pipeline.evaluation.ava_map import evaluate
from pipeline.tables.label_map import AVA_EVALUATED

CLASS_IDS = np.asarray([label.id for label in AVA_EVALUATED])


def floor(folder: Path) -> str:
    for name in ("gt.csv", "det.csv"):
        types = {column: pa.float64() for column in (*BOX_ROW, "value")}
        types |= {"video_id": pa.string(), "action_id": pa.int32()}
        table = pacsv.read_csv(
            folder / name,
            # One thread costs the least CPU here.
            read_options=pacsv.ReadOptions(column_names=list(types), use_threads=False),
            convert_options=pacsv.ConvertOptions(column_types=types),
        )
    order = np.argsort(table["value"].to_numpy(), kind="stable")
    return f"{len(order)} scores sorted"


def evaluator(folder: Path) -> str:
    truth, detections = read_ground_truth(folder / "gt.csv"), read_detections(folder / "det.csv")
    result = evaluate(truth.boxes, detections.boxes, class_ids=CLASS_IDS.tolist())
    return f"mAP {result.map:.6f}"


PROGRAMS: dict[str, Callable[[Path], str]] = {"floor": floor, "evaluator": evaluator}


def generate(folder: Path, *, videos: int, keyframes: int, seed: int) -> None:
    """Write gt.csv and det.csv: persons with several labels, detected with jitter, scored for every class."""
    rng = np.random.default_rng(seed)
    rarity = rng.permutation(np.arange(1, len(CLASS_IDS) + 1) ** -1.6)
    logit = np.log(rarity / rarity.sum())
    frames = np.repeat(np.arange(videos * keyframes), 1 + rng.poisson(0.5, videos * keyframes))
    persons = random_boxes(rng, len(frames))
    noise = logit + rng.gumbel(size=(len(frames), len(CLASS_IDS)))
    has_label = noise.argsort(axis=1).argsort(axis=1) >= len(CLASS_IDS) - 1 - rng.binomial(4, 0.35, (len(frames), 1))
    person, label = np.nonzero(has_label)
    truth = box_table(frames[person], persons[person], label, person.astype(np.float64), keyframes, "score")
    write_detections(folder / "gt.csv", truth)

    seen = rng.random(len(frames)) < 0.92
    sides = np.tile(persons[:, 2:] - persons[:, :2], 2)
    moved = np.clip(persons + rng.normal(0, 0.07, persons.shape) * sides, 0, 1)
    strangers = np.repeat(np.arange(videos * keyframes), rng.poisson(1.12, videos * keyframes))
    box_frame = np.concatenate([frames[seen], strangers])
    boxes = np.concatenate([moved[seen], random_boxes(rng, len(strangers))])
    is_true = np.concatenate([has_label[seen], np.zeros((len(strangers), len(CLASS_IDS)), bool)])
    by_frame = np.argsort(box_frame, kind="stable")
    mean = -5.5 + 0.35 * (logit - logit.max()) + 4.2 * is_true[by_frame]
    score = 1 / (1 + np.exp(-rng.normal(mean, 1.6)))
    box, label = np.nonzero(score > 0.002)
    values = np.round(score[box, label], 4)
    detections = box_table(box_frame[by_frame][box], boxes[by_frame][box], label, values, keyframes, "score")
    write_detections(folder / "det.csv", detections)


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    size = np.stack([rng.uniform(0.12, 0.45, count), rng.uniform(0.3, 0.9, count)], 1)
    corner = rng.uniform(0, 1, (count, 2)) * (1 - size)
    return np.concatenate([corner, corner + size], 1)


def box_table(frame, boxes, label, value, keyframes: int, name: str) -> pa.Table:
    video = pa.array([f"film{index:06d}" for index in range(int(frame.max()) // keyframes + 1)])
    columns = dict(zip(("x1", "y1", "x2", "y2"), np.round(boxes, 3).T, strict=True))
    return pa.table(
        {"video_id": video.take(pa.array(frame // keyframes)), "timestamp": 902.0 + frame % keyframes}
        | columns
        | {"action_id": CLASS_IDS[label].astype(np.int32), name: value}
    )


def measure(
    folder: Annotated[Path | None, typer.Option(help="Where gt.csv and det.csv lie or are generated.")] = None,
    videos: Annotated[int, typer.Option(help="Films to generate.")] = 64,
    keyframes: Annotated[int, typer.Option(help="Keyframes of a film to generate.")] = 897,
    seed: Annotated[int, typer.Option(help="Seed of the generated data.")] = 2026,
    repetitions: Annotated[int, typer.Option(min=1, help="Turns of each program.")] = 5,
    program: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Compare the evaluator with its floor."""
    if program and folder:
        before = time.process_time()
        said = PROGRAMS[program](folder)
        seconds = time.process_time() - before
        peak = peak_mib()
        print(json.dumps({"seconds": seconds, "peak_mib": peak, "said": said}))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = folder or Path(temporary)
        if not (folder / "det.csv").exists():
            print(f"generating {videos} films of {keyframes} keyframes in {folder}")
            # In a process of its own: on Linux a child's peak memory starts from its parent's.
            options = {"videos": videos, "keyframes": keyframes, "seed": seed}
            generator = get_context("spawn").Process(target=generate, args=(folder,), kwargs=options)
            generator.start()
            generator.join()
        runs: dict[str, list[dict]] = {name: [] for name in PROGRAMS}
        for _ in range(repetitions):
            for name in PROGRAMS:
                runs[name].append(measured_run(folder, name))
    for name, records in runs.items():
        times = [record["seconds"] for record in records]
        peak = max(record["peak_mib"] for record in records)
        print(f"{name:10} CPU s: {spread(times)}; peak {peak:.0f} MiB; {records[0]['said']}")
    ratios = [ours["seconds"] / low["seconds"] for low, ours in zip(*runs.values(), strict=True)]
    print(f"ratio:           {spread(ratios)} (target: at most 3)")


def measured_run(folder: Path, program: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.evaluation", "--folder", str(folder), "--program", program]
    record: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return record


def spread(values: list[float]) -> str:
    return f"median {statistics.median(values):.2f}, {min(values):.2f} to {max(values):.2f}"


if __name__ == "__main__":
    typer.run(measure)

"""Measure what the order of frames is worth on the built-in clips, and what a flip costs that forgets the labels.

    python -m benchmarks.recognition_pairs FOLDER [--seeds 3] [--runs tsn,trn]

Works in FOLDER (made if absent; finished items there are reused): renders the clips and stores their frames
as stages do, and trains and scores every run of RUNS with each seed, by centre crops. Top-1 is told of all
clips of val, of those of reversed pairs (classes of which one is the other played backwards) and of those of
mirrored pairs (one is the mirror image of the other); and of both kinds the share of the clips on which the
right class of the two has the higher score: chance is 0.5. Prints the table as Markdown and writes every
number to FOLDER/table.json.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.base.files import write_json, write_text
from pipeline.base.hardware import hardware_of
from pipeline.checkpoint.specs import RecognizerSpec
from pipeline.evaluation.clip_report import read_scores
from pipeline.params import RecognitionParams, parse_params
from pipeline.playground.gestures import reversed_pairs
from pipeline.project.compose import compose_params, params_text
from pipeline.recognition.recognizer_evaluation import PREDICTIONS, evaluate_recognizer
from pipeline.recognition.recognizer_training import train_recognizer
from pipeline.tables.clip_labels import ClipLabels, read_clip_labels

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = Path("data/gestures")
RUNS = {
    **{head: [f"recognition/head={head}"] for head in ("tsn", "trn", "trn_multiscale")},
    "trn, plain flip": ["recognition/head=trn", "recognition.train.views.flip=plain"],
    "trn, no flip": ["recognition/head=trn", "recognition.train.views.flip=none"],
}
KINDS = ("all clips", "reversed pairs", "within them", "mirrored pairs", "within these")


def params_of(overrides: list[str], seed: int) -> RecognitionParams:
    """The parameters of a run, which are also written to params.yaml."""
    values = compose_params(["recognition/dataset=gestures", *overrides, f"seed={seed}"], REPOSITORY / "conf")
    write_text(Path("params.yaml"), params_text(values))
    return parse_params(values, "this run").recognition


def make_data(params: RecognitionParams) -> None:
    """Render the clips, store their frames and read their labels, unless that is done."""
    for stage, *words in (("make_videos", params.dataset.name, "--track=recognition"),
                          ("extract_frames", "--track=recognition"), ("import_labels",)):  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        subprocess.run([sys.executable, "-m", f"stages.{stage}", *words], check=True, env=environment)


def run(params: RecognitionParams) -> None:
    """Train and score one recognizer."""
    hardware, backbone = hardware_of("cpu", 2, 8), params.backbone
    spec = RecognizerSpec(
        backbone=backbone.name,
        width=backbone.width,
        input=backbone.input,
        head=params.head,
        segments=backbone.segments,
        classes=params.dataset.classes,
    )
    train_recognizer(DATA, spec, params.train, log="none", hardware=hardware)
    evaluate_recognizer(DATA, params.evaluation, classes=params.dataset.classes, hardware=hardware)


def of_pairs(
    scores: NDArray[np.float32], labels: NDArray[np.int64], pairs: Iterable[tuple[int, int]]
) -> tuple[float, float]:
    """Top-1 of the clips of pairs; and the share whose own class has a higher score than the other, half for a tie."""
    other = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    own = np.array([each for each, label in enumerate(labels.tolist()) if label in other])
    others = np.array([other[label] for label in labels[own].tolist()])
    margin = scores[own, labels[own]] - scores[own, others]
    within = (margin > 0) + 0.5 * (margin == 0)
    return float((scores[own].argmax(axis=1) == labels[own]).mean()), float(within.mean())


def scored(labels: ClipLabels) -> dict[str, float]:
    """The numbers of the last evaluation."""
    _, truth, scores = read_scores(PREDICTIONS / "efficient.parquet")
    ids = {name: number for number, name in enumerate(labels.names)}
    backwards = [(ids[a], ids[b]) for a, b in reversed_pairs()]
    top1 = float((scores.argmax(axis=1) == truth).mean())
    values = (top1, *of_pairs(scores, truth, backwards), *of_pairs(scores, truth, labels.flips.items()))
    return dict(zip(KINDS, values, strict=True))


def table(numbers: Mapping[str, list[dict[str, float]]]) -> str:
    """Mean and smallest to largest over the seeds, as Markdown."""
    lines = [f"| run | {' | '.join(KINDS)} |", f"|---|{'---|' * len(KINDS)}"]
    for name, of_seeds in numbers.items():
        cells = []
        for kind in KINDS:
            values = [each[kind] for each in of_seeds]
            cells.append(f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", default=";".join(RUNS), help="names of RUNS, separated by semicolons")
    parser.add_argument("overrides", nargs="*", help="as after -S, for every run")
    given = parser.parse_intermixed_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(given.folder)
    os.environ["DVC_ROOT"] = str(Path.cwd())
    make_data(params_of(given.overrides, 0))
    labels = read_clip_labels(DATA / "labels/labels.json")
    numbers: dict[str, list[dict[str, float]]] = {}
    for seed in range(given.seeds):
        for name in given.runs.split(";"):
            run(params_of([*RUNS[name], *given.overrides, "recognition.evaluation.views=[efficient]"], seed))
            numbers.setdefault(name, []).append(scored(labels))
            write_json(Path("table.json"), numbers)
            print(f"seed {seed}, {name}: {numbers[name][-1]}", flush=True)
    if numbers:
        print(table(numbers))


if __name__ == "__main__":
    main()

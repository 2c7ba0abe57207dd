"""Measure the gap between train and val rows on the playground, and what closes it: the tables of docs/gap.md.

    python -m benchmarks.gap FOLDER [--seeds 3] [--rows "as is,fp32 bank"]

Works in FOLDER (made if absent; finished items there are reused) and runs the stages as `dvc repro` does.
Prints the tables as Markdown and writes every number to FOLDER/gap.json.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.playground import GROUPS, HEADS, KINDS, REPOSITORY, compose, head_scores, make_data, stage
from pipeline.base.files import read_json, write_json

FOLD = "{{folds: 2, use: [{}]}}"
BOTH = ("linear", "lfb_nl")
PRECISION = ("linear", "lfb_avg", "lfb_max", "lfb_nl")
Found = dict[str, Any]  # gap: as `actionbank bank gap --json` says; heads: name -> map and groups by kind of boxes


@dataclass(frozen=True)
class Row:
    """One way to train."""

    baseline: tuple[str, ...] = ()  # what the baseline is trained with
    bank: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    heads: tuple[str, ...] = BOTH


# Rows of one baseline stand together: it is trained once.
ROWS = {
    "as is": Row(heads=PRECISION),
    "fp32 bank": Row(bank=("bank.dtype=fp32",), heads=PRECISION),
    "feature dropout 0": Row(head=("head_train.feature_dropout=0",)),
    "feature dropout 0.5": Row(head=("head_train.feature_dropout=0.5",)),
    "baseline of 2 epochs": Row(("baseline.schedule.epochs=2",)),
    "baseline of 0 epochs": Row(("baseline.schedule.epochs=0",)),
    # Half the films each: what the other films do is told by the row with the same ones.
    "both on fold 0": Row((f"baseline.videos={FOLD.format(0)}",), head=(f"head_train.videos={FOLD.format(0)}",)),
    "baseline on fold 0 and head on fold 1": Row(
        (f"baseline.videos={FOLD.format(0)}",), head=(f"head_train.videos={FOLD.format(1)}",)
    ),
    "baseline on fold 0 and head on all": Row((f"baseline.videos={FOLD.format(0)}",)),
}


def measured_gap(folder: Path) -> dict[str, Any]:
    """What `actionbank bank gap` says of the banks there."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "pipeline.cli", "bank", "gap", "--json"]
    said = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(said)
    return found


def scores(folder: Path) -> dict[str, dict[str, float]]:
    """AP of the head that was evaluated last: `map` and every group, by kind of boxes."""
    found = read_json(folder / "results/evaluate/metrics.json")
    return {kind: {"map": found[kind]["map"], **groups} for kind, groups in head_scores(folder).items()}


def run_seed(folder: Path, seed: int, rows: list[str], more: list[str]) -> dict[str, Found]:
    """Every row under one seed."""
    results: dict[str, Found] = {}
    made: tuple[Any, ...] = ()
    for name in rows:
        row = ROWS[name]
        shared = [f"seed={seed}", *more, *row.baseline, *row.bank, *row.head]
        compose(folder, ["head=lfb_avg", *shared])
        if made[:1] != (row.baseline,):
            stage(folder, "stages.train_baseline")
        if made != (row.baseline, row.bank):
            for split in ("train", "val"):
                stage(folder, "stages.infer_bank", split)
        made = (row.baseline, row.bank)
        found: Found = {"gap": measured_gap(folder), "heads": {}}
        for head in row.heads:
            compose(folder, [*HEADS[head], *shared])
            stage(folder, "stages.train_head")
            stage(folder, "stages.evaluate")
            found["heads"][head] = scores(folder)
        results[name] = found
    return results


def spread(values: list[float | None], figures: int = 3) -> str:
    """Mean and, in brackets, smallest and largest; a dash where a seed has none."""
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return "-"
    low, high = min(known), max(known)
    return f"{np.mean(known):.{figures}f} ({low:.{figures}f} to {high:.{figures}f})"


def table(header: list[str], rows: dict[str, list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join([name, *cells])} |" for name, cells in rows.items())])


def _classifier(which: str, figure: str) -> Callable[[dict[str, Any]], float | None]:
    return lambda gap: gap[which][figure] if gap[which] else None


GAP: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "AP train": lambda gap: gap["train"]["ap"]["ground_truth"]["map"],
    "AP val": lambda gap: gap["val"]["ap"]["ground_truth"]["map"],
    "mean shift": lambda gap: gap["mean_shift"]["mean"],
    "largest shift": lambda gap: gap["mean_shift"]["max"],
    "norm val / train": lambda gap: gap["val"]["norm"]["mean"] / gap["train"]["norm"]["mean"],
    "accuracy train against val": _classifier("train_against_val", "accuracy"),
    "accuracy between train films": _classifier("between_train_films", "accuracy"),
}


def gap_table(seeds: list[dict[str, Found]]) -> str:
    """The figures of `bank gap`, on annotated boxes, row by row."""
    return table(
        ["", *GAP],
        {row: [spread([figure(each[row]["gap"]) for each in seeds]) for figure in GAP.values()] for row in seeds[0]},
    )


def head_table(seeds: list[dict[str, Found]], kind: str) -> str:
    """AP of the heads by group, row by row."""
    return table(
        ["", "head", *GROUPS],
        {
            f"{row} | {head}": [spread([each[row]["heads"][head][kind][group] for each in seeds]) for group in GROUPS]
            for row in seeds[0]
            for head in BOTH
        },
    )


def precision_table(seeds: list[dict[str, Found]], kind: str) -> str:
    """mAP of fp16 and of fp32 banks, and the difference seed by seed."""
    rows = {}
    for head in PRECISION:
        half, single = ([each[row]["heads"][head][kind]["map"] for each in seeds] for row in ("as is", "fp32 bank"))
        differences: list[float | None] = [one - other for one, other in zip(half, single, strict=True)]
        rows[head] = [spread(half, 4), spread(single, 4), spread(differences, 4)]
    return table(["head", "fp16", "fp32", "fp16 - fp32"], rows)


def report(seeds: list[dict[str, Found]]) -> str:
    """All tables, as Markdown."""
    title = f"{len(seeds)} seeds: mean (smallest to largest)"
    parts = [f"The gap, {title}", gap_table(seeds)]
    for kind in KINDS:
        parts += [f"AP on val, {kind.replace('_', '-')} boxes, {title}", head_table(seeds, kind)]
    if {"as is", "fp32 bank"} <= set(seeds[0]):
        for kind in KINDS:
            parts += [f"mAP on val by the bank's type, {kind.replace('_', '-')} boxes, {title}"]
            parts += [precision_table(seeds, kind)]
    return "\n\n".join(parts)


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", default=",".join(ROWS), help="some of the rows")
    # With the default's 4 validation films a random order of the few events lies far above their rate.
    parser.add_argument("--set", nargs="*", default=["dataset.playground.val_videos=16"], help="further overrides")
    arguments = parser.parse_args()
    rows = arguments.rows.split(",")
    unknown = [each for each in rows if each not in ROWS]
    if unknown:
        parser.error(f"--rows: found {unknown[0]!r}, expected some of {', '.join(map(repr, ROWS))}")
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    make_data(folder, arguments.set)
    seeds = []
    for seed in range(arguments.seeds):
        seeds.append(run_seed(folder, seed, rows, arguments.set))
        write_json(folder / "gap.json", seeds)
    print(f"\n{report(seeds)}")


if __name__ == "__main__":
    main()

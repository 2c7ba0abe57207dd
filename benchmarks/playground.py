"""Train every head and trick of the zoo on the playground with several seeds: the tables of docs/playground.md.

    python -m benchmarks.playground FOLDER [--seeds 3] [--heads lfb_nl,lfb_max] [--tricks acrn,context]

Works in FOLDER (made if absent; finished items there are reused) and runs the stages as `dvc repro` does.
Prints the table as Markdown and writes every number to FOLDER/table.json.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from pipeline.base.files import read_json, write_json
from pipeline.project.compose import compose_params, params_text

REPOSITORY = Path(__file__).resolve().parent.parent
HEADS = {
    **{name: [f"head={name}"] for name in ("linear", "lfb_avg", "lfb_max", "lfb_nl", "lfb_nl_split")},
    **{name: [f"head={name}"] for name in ("aia_parallel", "aia_serial", "aia_dense_serial", "aia_split")},
    # They read feature maps, so the baseline is trained on with them.
    **{
        name: [
            *(f"head={name}", "scope=all", "head_train.schedule.epochs=8"),
            *("head_train.feature_dropout=0", "head_train.validation.interval=8"),
        ]
        for name in ("acrn", "acar")
    },
    "acar_lfb": ["head=acar_lfb", "scope=all", "head_train.schedule.epochs=8", "head_train.validation.interval=8"],
}
# Heads that read persons, objects and memory, each without one of them.
WITHOUT = {
    "persons": {"aia_serial": "OMOM", "aia_split": "OM"},
    "objects": {"aia_serial": "PMPM", "aia_split": "PM"},
    "memory": {"aia_serial": "POPO", "aia_split": "PO"},
}
NEEDS_NOTHING = {
    "persons": [],
    "objects": ["head.objects=null"],
    "memory": ["head.reads=features", "head.window=null", "head.banks=[]"],
}
HEADS |= {
    f"{head} without {kind}": [f"head={head}", f"head.options.order={order}", *NEEDS_NOTHING[kind]]
    for kind, orders in WITHOUT.items()
    for head, order in orders.items()
}
# Baselines that are trained end to end, each in one thing unlike the plain one.
TRICKS = {
    "temporal max": ["roi.temporal=max"],
    "global context": ["roi.context=global"],
    "MLP classifier": ["baseline.head.mlp=true"],
    "focal loss": ["baseline.loss.gamma=1.0"],
    "SlowFast": ["backbone=slowfast_tiny"],
}
KINDS = ("ground_truth", "detected")
GROUPS = ("momentary", "relational", "long-term", "order")
Scores = dict[str, dict[str, float]]  # kind of boxes -> group -> AP


def stage(folder: Path, *words: str) -> None:
    """Run one stage in `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "DVC_ROOT": str(folder)}
    subprocess.run([sys.executable, "-m", *words], cwd=folder, env=environment, check=True)


def compose(folder: Path, overrides: list[str]) -> None:
    """Write the parameters of one run."""
    (folder / "params.yaml").write_text(params_text(compose_params(overrides, REPOSITORY / "conf")))


def baseline_scores(folder: Path) -> Scores:
    """The trained baseline end to end."""
    found = read_json(folder / "results/baseline/metrics.json")["validation"]
    return {kind: {group: found[f"{group}_{kind}"] for group in GROUPS} for kind in KINDS}


def head_scores(folder: Path) -> Scores:
    """The head that was evaluated last."""
    found = read_json(folder / "results/evaluate/metrics.json")
    return {kind: {group: found[kind]["groups"][group] for group in GROUPS} for kind in KINDS}


def run_trick(folder: Path, seed: int, trick: str, more: list[str]) -> Scores:
    """Scores of a baseline with one trick."""
    compose(folder, [f"seed={seed}", "head=baseline", *TRICKS[trick], *more])
    stage(folder, "stages.train_baseline")
    return baseline_scores(folder)


def run_seed(folder: Path, seed: int, heads: list[str], more: list[str]) -> dict[str, Scores]:
    """Scores of the baseline and of every head under one seed."""
    compose(folder, [f"seed={seed}", "head=lfb_avg", *more])
    stage(folder, "stages.train_baseline")
    for split in ("train", "val"):
        stage(folder, "stages.infer_bank", split)
    scores = {"baseline, end to end": baseline_scores(folder)}
    for head in heads:
        compose(folder, [f"seed={seed}", *HEADS[head], *more])
        stage(folder, "stages.train_head")
        stage(folder, "stages.evaluate")
        scores[head] = head_scores(folder)
    return scores


def make_data(folder: Path, more: list[str]) -> None:
    """Render, extract and import once for all seeds."""
    for name in ("conf", "pipeline", "stages"):
        if not (folder / name).exists():
            (folder / name).symlink_to(REPOSITORY / name)
    compose(folder, more)
    for words in (["make_videos", "playground"], ["extract_frames"], ["import_annotations"], ["import_boxes"]):
        stage(folder, f"stages.{words[0]}", *words[1:])


def table(seeds: list[dict[str, Scores]], kind: str) -> str:
    """Mean and, in brackets, smallest and largest AP of every group."""
    lines = ["| head | " + " | ".join(GROUPS) + " |", "|---" * (len(GROUPS) + 1) + "|"]
    for head in seeds[0]:
        cells = []
        for group in GROUPS:
            values = [each[head][kind][group] for each in seeds]
            cells.append(f"{np.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})")
        lines.append(f"| {head} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--heads", default=",".join(HEADS))
    parser.add_argument("--tricks", default=",".join(TRICKS))
    # With the default's 4 validation films a random order of the few events lies far above their rate.
    parser.add_argument(
        "--set",
        nargs="*",
        default=["dataset.playground.val_videos=16"],
        help="further overrides, e.g. sizes.window_seconds=19",
    )
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    make_data(folder, arguments.set)
    seeds = []
    for seed in range(arguments.seeds):
        scores = run_seed(folder, seed, arguments.heads.split(","), arguments.set)
        for trick in filter(None, arguments.tricks.split(",")):
            scores[trick] = run_trick(folder, seed, trick, arguments.set)
        seeds.append(scores)
        write_json(folder / "table.json", seeds)
    for kind in KINDS:
        print(f"\nAP on {kind.replace('_', '-')} boxes, {len(seeds)} seeds: mean (smallest-largest)\n")
        print(table(seeds, kind))
    shutil.rmtree(folder / "models", ignore_errors=True)


if __name__ == "__main__":
    main()

"""Run the stages from training to evaluation in one process, on a data set of a few keyframes."""

import math
import re
import shlex
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.base.checksums import read_sealed_json
from pipeline.base.files import digest_tree, read_json
from pipeline.base.randomness import seed_of
from pipeline.checkpoint.build_baseline import build_baseline
from pipeline.checkpoint.build_scope import build_scope_detector, build_scope_head
from pipeline.checkpoint.specs import HeadSpec
from pipeline.checkpoint.weights import BASELINE, HEAD, load_checkpoint
from pipeline.project.compose import compose_params, params_text
from stages import (
    evaluate,
    extract_frames,
    import_annotations,
    import_boxes,
    infer_bank,
    make_videos,
    train_baseline,
    train_head,
)
from tests.recipes import CONF, PAGE

NAME = "playground_mini"
DATA = Path("data", NAME)
SOURCE = DATA / "source/annotations"
# What makes the data set, and so must be the same for all who share it.
FRAMES = [
    f"dataset={NAME}",
    "dataset.playground.train_videos=1",
    "dataset.playground.width=96",
    "dataset.playground.height=64",
    "dataset.playground.seed=2042",  # someone in the val film stays in one place for long
    "frames.short_side=64",
]
# Behind what docs/recipes.md says to try a row with: smaller again.
SMALL = [
    *FRAMES,
    "backbone.width=8",
    "backbone.input.short_side=64",
    "baseline.augmentation.short_side=[64,64]",
    "baseline.augmentation.crop=64",
    *(
        f"{block}.{each}"
        for block in ("baseline", "head_train")
        for each in (
            "global_batch=4",
            "bn_batch=4",
            "auto_scale_lr=false",
            "schedule.epochs=1",
            "schedule.warmup_epochs=0",
        )
    ),
]
# Eight keyframes to train on; in the val split of `single` as many in a row as a tube of MultiSports has at least.
SECONDS = {"train": range(904, 912), "val": range(904, 912)}
SINGLE_SECONDS = {"train": range(904, 912), "val": range(904, 920)}


@cache
def documented() -> list[str]:
    """The overrides with which docs/recipes.md tries a row on the playground."""
    (block,) = re.findall(r"## Trying one on the playground\n.*?```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    words = shlex.split(block)
    overrides = [word for before, word in pairwise(words) if before == "-S"]
    return [each for each in overrides if not each.startswith("+experiment=")]


def make_data(folder: Path) -> None:
    """Render two films of 20 s, extract, and import some of their seconds twice.

    Annotations lie in `several`, as the playground has them, and in `single`, with one label per person.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        _compose(["frames.allow_smaller=true", *FRAMES])
        make_videos.make_videos(NAME, workers=1)
        extract_frames.extract_frames(workers=1)
        lines = {split: (SOURCE / f"{split}.csv").read_text().splitlines() for split in SECONDS}
        for name, seconds in (("several", SECONDS), ("single", SINGLE_SECONDS)):
            for split in SECONDS:
                kept = [line for line in lines[split] if int(line.split(",")[1]) in seconds[split]]
                kept = one_label_each(kept) if name == "single" else kept
                (SOURCE / f"{split}.csv").write_text("".join(f"{line}\n" for line in kept))
            import_annotations.import_annotations()
            import_boxes.import_boxes()
            (DATA / "annotations").rename(name)


def one_label_each(lines: list[str]) -> list[str]:
    """The first row of every person in every keyframe."""
    cells = [line.split(",") for line in lines]
    first = {(*each[:2], *each[7:]): line for each, line in reversed(list(zip(cells, lines, strict=True)))}
    return sorted(first.values(), key=lines.index)


def _compose(overrides: list[str]) -> dict[str, Any]:
    values = compose_params(overrides, CONF)
    Path("params.yaml").write_text(params_text(values))
    return values


@dataclass
class Zoo:
    """A project in the current folder with the data set in it, and nothing trained."""

    values: dict[str, Any]

    def compose(self, *overrides: str) -> dict[str, Any]:
        """Write params.yaml for these choices, in small."""
        self.values = _compose([*documented(), *SMALL, *overrides])
        return self.values

    def train_baseline(self) -> dict[str, Any]:
        """Train, check the outs, and give the sidecar."""
        train_baseline.train_baseline(workers=1, device="cpu")
        weights, checkpoint = load_checkpoint(BASELINE)
        training = self.values["baseline"]
        torch.manual_seed(seed_of(training["seed"], "initial weights"))
        check_trained(weights, build_baseline(checkpoint.detector()).state_dict(), frozen=training["norm"] == "frozen")
        check_training(Path("results/baseline/metrics.json"), training)
        return checkpoint.to_json()

    def infer_banks(self) -> None:
        """Make the banks that the head reads."""
        for split in self.values["bank"]["make"]:
            infer_bank.infer_bank(split, workers=1, device="cpu")

    def train_head(self) -> dict[str, Any]:
        """Train a head, check the outs, and give the sidecar."""
        train_head.train_head(workers=1, device="cpu")
        weights, checkpoint = load_checkpoint(HEAD)
        spec = checkpoint.spec
        assert isinstance(spec, HeadSpec)
        training = self.values["head_train"]
        torch.manual_seed(seed_of(training["seed"], "initial weights"))
        build = build_scope_head if spec.kind == "head" else build_scope_detector
        initial = build(spec).state_dict()
        if spec.kind == "detector" and training["init"] == "baseline":
            baseline, facts = load_checkpoint(BASELINE)
            initial |= {key: value for key, value in baseline.items() if key.startswith("backbone.")}
            assert checkpoint.record["initial_weights"] == {"file": BASELINE.name, "sha256": facts.sha256}
        check_trained(weights, initial, frozen=training["norm"] == "frozen")
        check_training(Path("results/head/metrics.json"), training)
        return checkpoint.to_json()

    def hand_on(self) -> dict[str, Any]:
        """Run train_head with head baseline, check that it hands the baseline on, and give the sidecar."""
        train_head.train_head(workers=1, device="cpu")
        assert HEAD.read_bytes() == BASELINE.read_bytes()
        sidecar: dict[str, Any] = read_sealed_json(HEAD.with_suffix(".json"))
        assert sidecar["detector"] == read_sealed_json(BASELINE.with_suffix(".json"))
        found, baseline = (read_json(Path("results", stage, "metrics.json")) for stage in ("head", "baseline"))
        assert [found[key] for key in ("head", "scope", "mixed_banks")] == ["baseline", "all", {}]
        assert all(found[key] == baseline[key] for key in ("selected", "loss", "validation"))
        epochs = [Path("results", stage, "epochs.tsv").read_text() for stage in ("head", "baseline")]
        assert epochs[0] == epochs[1]
        return sidecar

    def evaluate(self) -> dict[str, Any]:
        """Evaluate twice, check that both give the same files, and give the metrics."""
        outs = (Path("results/evaluate"), Path("results/detections"))
        found = []
        for _ in range(2):
            evaluate.evaluate(workers=1, device="cpu")
            found.append([digest_tree(out) for out in outs])
        assert found[0] == found[1], "two evaluations of one checkpoint give the same files"
        metrics: dict[str, Any] = read_json(outs[0] / "metrics.json")
        for kind in ("detected", "ground_truth"):
            assert 0 <= metrics[kind]["map"] <= 1
            assert metrics[kind]["num_detections"] > 0
        assert metrics["map"] == metrics[self.values["evaluation"]["boxes"]]["map"]
        return metrics


def check_trained(weights: dict[str, torch.Tensor], initial: dict[str, torch.Tensor], *, frozen: bool) -> None:
    """Every weight has moved and is finite; statistics of norms have moved unless they are frozen.

    A fixed table of positions has not moved.
    The bias of an attention's keys (`phi` in LFB-NL) changes no weight of a softmax, so it may stay where it began.
    """
    assert weights.keys() == initial.keys()
    for key, value in weights.items():
        assert torch.isfinite(value).all(), key
        statistic = key.split(".")[-1] in ("running_mean", "running_var", "num_batches_tracked")
        still = (frozen and statistic and key.startswith("backbone.")) or key.endswith("pos_embed")
        if not key.endswith((".key.bias", ".phi.bias")):
            assert torch.equal(value, initial[key]) == still, key


def check_training(path: Path, training: dict[str, Any]) -> None:
    """What a training wrote of its one epoch."""
    metrics = read_json(path)
    assert math.isfinite(metrics["loss"])
    assert metrics["loss"] > 0
    assert metrics["selected"] == {"epoch": 1, "by": "last epoch"}
    assert 0 <= metrics["validation"]["map"] <= 1


def new_zoo(data: Path, *overrides: str, single: bool = False) -> Zoo:
    """A project in the current folder on what `make_data` made in `data`, with one label per person if asked for."""
    DATA.mkdir(parents=True)
    for name in ("frames", "boxes"):
        (DATA / name).symlink_to(data / DATA / name)
    (DATA / "annotations").symlink_to(data / ("single" if single else "several"))
    made = Zoo({})
    made.compose(*overrides)
    return made


@cache
def documented_of_aia() -> list[str]:
    """The overrides with which docs/recipes.md tries a row of AIA on the playground."""
    (block,) = re.findall(r"^A row of AIA .*?```sh\n(.*?)```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    words = shlex.split(block)
    overrides = [word for before, word in pairwise(words) if before == "-S"]
    return [each for each in overrides if not each.startswith("+experiment=")]

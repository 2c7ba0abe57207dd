"""Train a recognizer as MMAction2 did for some optimiser steps, and compare losses, gradients, updates and statistics.

A fixture of this kind has one batch, taken in every step. The network is that of its `state_dict`, if it lists one,
else the published TRN on ResNet-50, whose number of classes the optimiser's group of biases shows. Optimiser, clipping
and batch norm are those of our training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.base.errors import InputError
from pipeline.interop.alphaction_losses import near
from pipeline.interop.compare_fixture import Difference, ParityReport
from pipeline.interop.fixtures import rule_weight
from pipeline.interop.mmaction2_recognizer import RecognizerShape, recognizer_shape, upstream_key
from pipeline.interop.reading import reading
from pipeline.interop.trn_draws import drawn_input, head_draws
from pipeline.interop.trn_head import head_settings
from pipeline.models.backbones.resnet2d import ResNet2d
from pipeline.models.backbones.resnet3d import R50
from pipeline.models.heads.trn import RelationHead
from pipeline.models.recognizer import Recognizer, build_recognition_head
from pipeline.training.norms import train_mode
from pipeline.training.optimiser import SGD, parameter_groups, set_rate

LOSS, NORM = 1e-4, 1e-3
"Relative tolerances of losses and weights, and of norms; the second step enlarges what the first one has rounded."
NOTHING = 1e-6
"Weights and statistics may differ by this much: float32 rounding of numbers near 0."
KINDS = (
    "first convolution", "bias of the first convolution", "weights", "biases", "norms",
    "weights of the last layer", "biases of the last layer",
)  # fmt: skip
"Upstream's groups, in its order (`TSMOptimWrapperConstructor`); the last layer has its own with fc_lr5 only."
CHANNELS = 256
PUBLISHED = RecognizerShape(
    head="trn_multiscale", segments=8, width=64, classes=174, channels=CHANNELS, hidden=CHANNELS
)


def is_recognizer_steps(facts: Mapping[str, Any]) -> bool:
    """Return whether a fixture's JSON is of this kind."""
    return {"param_groups", "clip_max_norm", "steps", "batchnorm"} <= facts.keys()


def check_recognizer_steps(path: Path, facts: Mapping[str, Any]) -> ParityReport:
    """Train by the plan of a fixture and compare every number.

    Args:
        path: the fixture's JSON.
        facts: what the JSON holds.

    Raises:
        InputError: the fixture is not whole, or is of another network.
    """
    with reading(path):
        run = _start(facts)
        differences = _compare_groups(run, facts["param_groups"])
        for number, plan in enumerate(facts["steps"], start=1):
            differences += _step(run, f"step{number}", plan, facts["clip_max_norm"])
        differences += [*_compare_norms(run, facts["batchnorm"]), *_compare_statistics(run, facts)]
        stated = sum(group["numel"] for group in facts["param_groups"])
        upstream = str(facts["upstream"]).partition(",")[0]
    parameters = sum(each.numel() for each in run.recognizer.parameters())
    words = f"{LOSS:g} |x| (losses), {NORM:g} |x| (norms), {NOTHING:g} + {LOSS:g} |x| (weights and statistics)"
    return ParityReport(path.stem, upstream, (parameters, stated), None, differences, words)


@dataclass
class _Run:
    """A training that is going on."""

    recognizer: Recognizer
    names: dict[str, nn.Parameter]
    "Parameters by upstream's names."
    optimiser: SGD
    views: Tensor
    labels: Tensor
    random: np.random.RandomState
    "Draws the relations of each step."


def _start(facts: Mapping[str, Any]) -> _Run:
    views, groups = drawn_input(facts["input"]), facts["param_groups"]
    if len(groups) != len(KINDS):
        raise InputError(f"param_groups has {len(groups)} groups, expected {len(KINDS)}: {', '.join(KINDS)}")
    recognizer, names = _built(facts, views.shape[1])
    rates = {kind: group["lr"] for kind, group in zip(KINDS, groups, strict=True)}
    base = rates["weights"]
    optimiser = SGD(
        parameter_groups(
            recognizer,
            weight_decay=groups[KINDS.index("weights")]["weight_decay"],
            decayed="weights",
            bias_lr_factor=rates["biases"] / base,
        ),
        lr=base,
        momentum=groups[0]["momentum"],
        nesterov=groups[0]["nesterov"],
    )
    set_rate(optimiser, base)
    train_mode(recognizer, "partial")
    random = np.random.RandomState(facts["numpy_seed_once_before_first_step"])
    return _Run(recognizer, names, optimiser, views, torch.tensor(facts["labels"]), random)


def _built(facts: Mapping[str, Any], segments: int) -> tuple[Recognizer, dict[str, nn.Parameter]]:
    """Build the network with weights by the rule and without dropout; return its parameters by upstream's names."""
    shape = _shape(facts, segments)
    with torch.device("meta"):
        backbone = ResNet2d(R50, width=shape.width)
        head = build_recognition_head(
            head_settings(shape), inputs=backbone.out_channels, segments=segments, classes=shape.classes
        )
    recognizer = Recognizer(backbone, head)
    keys = {ours: upstream_key(ours, head=shape.head, segments=segments) or "" for ours in recognizer.state_dict()}
    state = {ours: rule_weight(keys[ours], each.shape) for ours, each in recognizer.state_dict().items()}
    listed = {key: list(sides) for key, sides, *_ in facts.get("state_dict", [])}
    if listed and listed != {keys[ours]: list(each.shape) for ours, each in state.items()}:
        raise InputError("state_dict is not that of a TSN or TRN on ResNet-50")
    recognizer.load_state_dict(state, assign=True)
    recognizer.requires_grad_()
    # Upstream's order of bytes, and so its rounding, which the second step enlarges beyond its tolerance.
    recognizer.backbone.memory_format = torch.contiguous_format
    return recognizer, {keys[ours]: parameter for ours, parameter in recognizer.named_parameters()}


def _shape(facts: Mapping[str, Any], segments: int) -> RecognizerShape:
    if "state_dict" in facts:
        return recognizer_shape({key: sides for key, sides, *_ in facts["state_dict"]})
    if " TRN config" not in facts["upstream"] or segments != PUBLISHED.segments:
        raise InputError(
            f"upstream is {facts['upstream']!r} of {segments} segments, expected a TRN config of 8, or a state_dict"
        )
    # The biases are those of the projection, and of the two layers of each scale.
    biases, scales = facts["param_groups"][KINDS.index("biases")]["numel"], segments - 1
    return replace(PUBLISHED, classes=(biases - CHANNELS) // scales - CHANNELS)


def _compare_groups(run: _Run, stated: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """Compare the parameters of each of upstream's groups, and the rates and decays that our optimiser gives them."""
    options = {each: group for group in run.optimiser.param_groups for each in group["params"]}
    mine: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for name, kind in _kinds(run).items():
        mine[kind].append(name)
    found = []
    for kind, group in zip(KINDS, stated, strict=True):
        names = mine[kind]
        parameters = [run.names[name] for name in names]
        sizes = [len(names), sum(each.numel() for each in parameters)]
        found.append(near(f"group of {kind}", sizes, [group["count"], group["numel"]], relative=0))
        ends = [names[0], names[-1]] if names else [None, None]
        if ends != [group["first"], group["last"]]:
            raise InputError(f"the group of {kind} is from {group['first']} to {group['last']}, expected {ends}")
        if parameters:
            rates = {(options[each]["lr"], options[each]["weight_decay"]) for each in parameters}
            wanted = [[group["lr"], group["weight_decay"]]] * len(rates)
            found.append(near(f"group of {kind}/lr, weight_decay", sorted(rates), wanted, relative=1e-12))
        used = [run.optimiser.momentum, run.optimiser.nesterov]
        found.append(
            near(f"group of {kind}/momentum, nesterov", used, [group["momentum"], group["nesterov"]], relative=0)
        )
    return found


def _kinds(run: _Run) -> dict[str, str]:
    """Return the kind of each parameter, by upstream's name, in the order of the modules."""
    theirs = {parameter: name for name, parameter in run.names.items()}
    kinds, convolutions = {}, 0
    for module in run.recognizer.modules():
        convolutions += isinstance(module, nn.Conv2d)
        first = isinstance(module, nn.Conv2d) and convolutions == 1
        for part, parameter in module.named_parameters(recurse=False):
            if isinstance(module, _BatchNorm):
                kind = "norms"
            elif part == "bias":
                kind = "bias of the first convolution" if first else "biases"
            else:
                kind = "first convolution" if first else "weights"
            kinds[theirs[parameter]] = kind
    return kinds


def _step(run: _Run, name: str, plan: Mapping[str, Any], clip_norm: float) -> list[Difference]:
    """Make one optimiser step, and compare what it computes."""
    head = run.recognizer.head
    relations = head_draws(head, run.random) if isinstance(head, RelationHead) else None
    logits_BK = run.recognizer(run.views, relations)
    loss = F.cross_entropy(logits_BK, run.labels)
    for parameter in run.names.values():
        parameter.grad = None
    loss.backward()  # type: ignore[no-untyped-call]
    best = logits_BK.detach().argsort(dim=1, descending=True)
    shares = [float((best[:, :count] == run.labels[:, None]).any(dim=1).float().mean()) for count in (1, 5)]
    norms = {key: _norm(run.names[key].grad) for key in plan["grad_norms_before_clip"]}
    without = sum(each.grad is None for each in run.names.values())
    before = {key: run.names[key].detach().clone() for key in plan["update_norms"]}
    whole = nn.utils.clip_grad_norm_(run.recognizer.parameters(), clip_norm)
    run.optimiser.step()
    moved = {key: _norm(run.names[key].detach() - old) for key, old in before.items()}
    firsts = {key: run.names[key].detach().flatten()[: len(each)] for key, each in plan["first4_after"].items()}
    return [
        near(f"{name}/loss", float(loss.detach()), plan["loss"], relative=LOSS),
        near(f"{name}/top1, top5", shares, [plan["top1"], plan["top5"]], relative=0),
        near(f"{name}/grad_norm_before_clip", float(whole), plan["grad_norm_before_clip"], relative=NORM),
        *_by_name(f"{name}/grad_norms_before_clip", norms, plan["grad_norms_before_clip"], relative=NORM),
        near(f"{name}/parameters_without_gradient", without, plan["parameters_without_gradient"], relative=0),
        *_by_name(f"{name}/update_norms", moved, plan["update_norms"], relative=NORM),
        *_by_name(f"{name}/first4_after", firsts, plan["first4_after"], relative=LOSS, absolute=NOTHING),
    ]


def _norm(values: Tensor | None) -> float:
    return float("nan") if values is None else float(values.norm())


def _by_name(prefix: str, found: Mapping[str, Any], stated: Mapping[str, Any], **within: float) -> list[Difference]:
    return [near(f"{prefix}/{key}", found[key], value, **within) for key, value in stated.items()]


def _compare_norms(run: _Run, stated: Mapping[str, Any]) -> list[Difference]:
    """Compare which batch norms are in training mode, and which have a gradient."""
    norms = {name: each for name, each in run.recognizer.named_modules() if isinstance(each, _BatchNorm)}
    training = [name for name, each in norms.items() if each.training]
    trained = [name for name, each in norms.items() if each.weight.requires_grad and each.bias.requires_grad]
    for what, mine in (("training", training), ("requires_grad", trained)):
        if mine != stated[what]:
            raise InputError(f"batchnorm.{what} is {stated[what]}, expected {mine}")
    return [
        near("batchnorm/total", len(norms), stated["total"], relative=0),
        near("batchnorm/training", len(training), len(stated["training"]), relative=0),
        near("batchnorm/requires_grad", len(trained), len(stated["requires_grad"]), relative=0),
    ]


def _compare_statistics(run: _Run, facts: Mapping[str, Any]) -> list[Difference]:
    """Compare the running statistics after the last step, and how many batches they have seen."""
    norms, found = dict(run.recognizer.named_modules()), []
    for key, blocks in facts.items():
        part = next(
            (each for each in ("running_mean", "running_var", "num_batches_tracked") if key.startswith(each)), ""
        )
        for name, values in blocks.items() if part else ():
            mine = getattr(norms[name], part).flatten()[: np.size(values)]
            found.append(near(f"{key}/{name}", mine, values, relative=LOSS, absolute=NOTHING))
    return found

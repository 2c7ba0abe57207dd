"""MMAction2's TSN and TRN in plain functions, with upstream's keys; fixtures that other numbers than upstream's fill.

It uses nothing of `pipeline.models` and `pipeline.training`.
"""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.interop.fixtures import rule_weight

BLOCKS = (3, 4, 6, 3)
State = dict[str, Tensor]


def head_shapes(
    kind: str | None, segments: int, inputs: int, *, vector: int, hidden: int, classes: int
) -> dict[str, Any]:
    if kind is None:
        return {"fc_cls.weight": [classes, inputs], "fc_cls.bias": [classes]}
    names = {"classifier": segments}
    if kind == "TRNMultiScale":
        names = {f"fc_fusion_scales.{number}": segments - number for number in range(segments - 1)}
    shapes: dict[str, Any] = {}
    for name, scale in names.items():
        shapes |= {f"consensus.{name}.1.weight": [hidden, scale * vector], f"consensus.{name}.1.bias": [hidden]}
        shapes |= {f"consensus.{name}.3.weight": [classes, hidden], f"consensus.{name}.3.bias": [classes]}
    return shapes | {"fc_cls.weight": [vector, inputs], "fc_cls.bias": [vector]}


def backbone_shapes(width: int) -> dict[str, Any]:
    shapes: dict[str, Any] = {}

    def add(name: str, outputs: int, inputs: int, kernel: int) -> None:
        shapes[f"{name}.conv.weight"] = [outputs, inputs, kernel, kernel]
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{part}"] = [outputs]
        shapes[f"{name}.bn.num_batches_tracked"] = []

    add("backbone.conv1", width, 3, 7)
    inputs = width
    for stage, blocks in enumerate(BLOCKS):
        inner = width * 2**stage
        for block in range(blocks):
            place = f"backbone.layer{stage + 1}.{block}"
            add(f"{place}.conv1", inner, inputs, 1)
            add(f"{place}.conv2", inner, inner, 3)
            add(f"{place}.conv3", 4 * inner, inner, 1)
            if not block:
                add(f"{place}.downsample", 4 * inner, inputs, 1)
            inputs = 4 * inner
    return shapes


def conv_bn(x: Tensor, state: State, name: str, *, stride: int = 1, trained: bool = False) -> Tensor:
    kernel = state[f"{name}.conv.weight"]
    x = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
    mean, variance, scale, shift = (
        state[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, mean, variance, scale, shift, trained, 0.1, 1e-5)


def resnet(x: Tensor, state: State, *, training: bool = False) -> Tensor:
    x = F.max_pool2d(F.relu(conv_bn(x, state, "backbone.conv1", stride=2, trained=training)), 3, 2, 1)
    for stage, blocks in enumerate(BLOCKS):
        for block in range(blocks):
            place, stride = f"backbone.layer{stage + 1}.{block}", 2 if stage and not block else 1
            y = F.relu(conv_bn(x, state, f"{place}.conv1"))
            y = F.relu(conv_bn(y, state, f"{place}.conv2", stride=stride))
            shortcut = conv_bn(x, state, f"{place}.downsample", stride=stride) if not block else x
            x = F.relu(conv_bn(y, state, f"{place}.conv3") + shortcut)
    return x


def mlp(together: Tensor, state: State, name: str) -> Tensor:
    for place in ("1", "3"):
        together = F.linear(F.relu(together), state[f"{name}.{place}.weight"], state[f"{name}.{place}.bias"])
    return together


def head(features: Tensor, state: State, segments: int, draws: list[list[int]], prefix: str = "") -> Tensor:
    """Scores of pooled features [B * S, C]; `draws` has the relations of each scale below the largest."""
    if not any("consensus" in key for key in state):
        mean = features.reshape(-1, segments, features.shape[1]).mean(1)
        return F.linear(mean, state[f"{prefix}fc_cls.weight"], state[f"{prefix}fc_cls.bias"])
    vectors = F.linear(features, state[f"{prefix}fc_cls.weight"], state[f"{prefix}fc_cls.bias"])
    vectors = vectors.reshape(-1, segments, vectors.shape[1])
    if f"{prefix}consensus.classifier.1.weight" in state:
        return mlp(vectors.flatten(1), state, f"{prefix}consensus.classifier")
    scores = mlp(vectors.flatten(1), state, f"{prefix}consensus.fc_fusion_scales.0")
    for number, drawn in enumerate(draws, start=1):
        relations = list(combinations(range(segments), segments - number))
        for each in drawn:
            together = vectors[:, list(relations[each])].flatten(1)
            scores = scores + mlp(together, state, f"{prefix}consensus.fc_fusion_scales.{number}")
    return scores


def draw(rs: np.random.RandomState, kind: str | None, segments: int) -> list[list[int]]:
    """What upstream draws in one forward pass."""
    if kind != "TRNMultiScale":
        return []
    totals = [len(list(combinations(range(segments), scale))) for scale in range(segments - 1, 1, -1)]
    return [rs.choice(total, min(3, total), replace=False).tolist() for total in totals]


def write(folder: Path, name: str, facts: dict[str, Any], arrays: dict[str, Any] | None = None) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(facts))
    if arrays is not None:
        np.savez(path.with_suffix(".npz"), **arrays)
    return path


def heads_fixture(folder: Path, cases: list[tuple[str | None, int, int]]) -> Path:
    """A fixture of heads alone; each case is a relation type, the number of segments and numpy's seed."""
    made, arrays = [], {}
    for kind, segments, seed in cases:
        name = f"{kind}_{segments}_{seed}"
        shapes = head_shapes(kind, segments, 6, vector=5, hidden=7, classes=4)
        draws = draw(np.random.RandomState(seed), kind, segments)
        x = torch.tensor(np.random.RandomState(seed).standard_normal((2 * segments, 6, 3, 1)).astype(np.float32))
        state = {key: rule_weight(key, shape) for key, shape in shapes.items()}
        arrays[name] = head(x.mean((2, 3)), state, segments, draws).numpy()
        totals = [len(list(combinations(range(segments), segments - 1 - number))) for number in range(len(draws))]
        made.append(
            {
                "name": name, "num_segments": segments, "keys": shapes, "numpy_seed": seed,
                "input": f"RandomState({seed}).standard_normal((2*{segments},6,3,1)) float32",
                "draws_in_order": [{"out_of": total, "drawn": each} for total, each in zip(totals, draws, strict=True)],
                **({"relation_type": kind} if kind else {}),
            }
        )  # fmt: skip
    return write(folder, "heads", {"upstream": "made by plain functions", "cases": made}, arrays)


def whole_shapes(kind: str | None, segments: int, *, width: int = 8, classes: int = 5) -> dict[str, Any]:
    shapes = head_shapes(kind, segments, 32 * width, vector=6, hidden=7, classes=classes)
    return backbone_shapes(width) | {f"cls_head.{key}": shape for key, shape in shapes.items()}


def recognizer_fixture(folder: Path, kind: str | None, segments: int) -> Path:
    """A fixture of a whole recognizer of width 8, with two clips of two views of 32 x 40 pixels."""
    shapes = whole_shapes(kind, segments)
    state = {key: rule_weight(key, shape) for key, shape in shapes.items()}
    shape = [2, 2 * segments, 3, 32, 40]
    x = torch.tensor(np.random.RandomState(3).standard_normal(shape).astype(np.float32)).reshape(-1, 3, 32, 40)
    maps = resnet(x, state)
    pooled = maps.mean((2, 3))
    scores = [
        head(pooled, state, segments, draw(np.random.RandomState(seed), kind, segments), "cls_head.") for seed in (0, 5)
    ]
    flat = maps.flatten()
    arrays = {
        "small/backbone_out/first64": flat[:64], "small/cls_score": scores[0], "small/cls_score_numpy_seed5": scores[1],
        "small/pred_score": scores[0].softmax(1).reshape(2, 2, -1).mean(1),
    }  # fmt: skip
    hyper: dict[str, Any] = {
        "backbone": {"type": "ResNet (2D)", "depth": 50, "partial_bn": True},
        "head": {
            "num_classes": 5, "in_channels": 256, "num_segments": segments, "dropout_ratio": 0.3, "init_std": 0.01,
        },
    }  # fmt: skip
    if kind:
        hyper["head"] |= {"relation_type": kind, "init_std": 0.001, "hidden_dim": 6, "bottleneck_dim": 7}
    facts = {
        "fixture": f"made-{kind}", "hyper": hyper, "state_dict": [[key, each] for key, each in shapes.items()],
        "parameter_count": sum(each.numel() for key, each in state.items() if is_parameter(key)),
        "tensors": {
            "small/input": {"seed": 3, "shape": shape}, "small/absmax": float(scores[0].abs().max()),
            "small/backbone_out": {
                "shape": list(maps.shape), "mean": float(flat.mean()), "std": float(flat.std(correction=0)),
            },
        },
    }  # fmt: skip
    return write(folder, f"made-{kind}", facts, {key: each.numpy() for key, each in arrays.items()})


def is_parameter(key: str) -> bool:
    return "running" not in key and "num_" not in key


def kind_of(key: str) -> int:
    """The number of upstream's optimiser group: of the first convolution, weights, biases or norms."""
    if key == "backbone.conv1.conv.weight":
        return 0
    return 4 if ".bn." in key else 3 if key.endswith("bias") else 2


def steps_fixture(folder: Path, kind: str | None, segments: int, *, clip: float = 0.5) -> Path:
    """A fixture of two optimiser steps of a recognizer of width 8."""
    shapes = whole_shapes(kind, segments)
    state = {key: rule_weight(key, shape) for key, shape in shapes.items()}
    trained = {key: each for key, each in state.items() if is_parameter(key)}
    frozen = [key for key in trained if ".bn." in key and "backbone.conv1." not in key]
    for key, each in trained.items():
        each.requires_grad_(key not in frozen)
    rates = {
        0: (0.01, 0.003),
        1: (0.03, 0),
        2: (0.01, 0.003),
        3: (0.03, 0),
        4: (0.01, 0),
        5: (0.05, 0.003),
        6: (0.1, 0),
    }
    x = torch.tensor(np.random.RandomState(1).standard_normal((3, segments, 3, 32, 32)).astype(np.float32))
    labels, rs = torch.tensor([4, 0, 2]), np.random.RandomState(9)
    momenta: State = {}
    steps: list[dict[str, Any]] = []
    live = [key for key in trained if key not in frozen]
    shown = live[:4] + live[-4:]
    for _ in range(2):
        pooled = resnet(x.flatten(0, 1), state, training=True).mean((2, 3))
        scores = head(pooled, state, segments, draw(rs, kind, segments), "cls_head.")
        loss = F.cross_entropy(scores, labels)
        loss.backward()
        gradients = {key: each.grad for key, each in trained.items() if each.grad is not None}
        norm = torch.stack([each.norm() for each in gradients.values()]).norm()
        before = {key: trained[key].detach().clone() for key in shown}
        order = scores.argsort(1, descending=True)
        steps.append(
            {
                "loss": float(loss.detach()), "grad_norm_before_clip": float(norm),
                "top1": float((order[:, 0] == labels).float().mean()), "top5": 1.0,
                "grad_norms_before_clip": {key: float(gradients[key].norm()) for key in shown},
                "parameters_without_gradient": len(frozen),
            }
        )  # fmt: skip
        with torch.no_grad():
            for key, gradient in gradients.items():
                rate, decay = rates[kind_of(key)]
                direction = gradient * min(1.0, clip / (float(norm) + 1e-6)) + decay * trained[key]
                momenta[key] = direction if key not in momenta else 0.8 * momenta[key] + direction
                trained[key] -= rate * momenta[key]
                trained[key].grad = None
        steps[-1]["update_norms"] = {key: float((trained[key].detach() - before[key]).norm()) for key in shown}
        steps[-1]["first4_after"] = {key: trained[key].detach().flatten()[:4].tolist() for key in shown}
    groups = []
    for number, (rate, decay) in rates.items():
        keys = [key for key in trained if kind_of(key) == number]
        groups.append(
            {
                "lr": rate, "weight_decay": decay, "momentum": 0.8, "nesterov": False, "count": len(keys),
                "first": keys[0] if keys else None, "last": keys[-1] if keys else None,
                "numel": sum(trained[key].numel() for key in keys),
            }
        )  # fmt: skip
    facts = {
        "upstream": "made by plain functions",
        "input": f"RandomState(1).standard_normal((3,{segments},3,32,32)) float32",
        "labels": labels.tolist(), "numpy_seed_once_before_first_step": 9, "param_groups": groups,
        "clip_max_norm": clip, "steps": steps, "state_dict": [[key, each] for key, each in shapes.items()],
        "batchnorm": {"total": 53, "training": ["backbone.conv1.bn"], "requires_grad": ["backbone.conv1.bn"]},
        **{
            f"{part}_first4_after_two_steps": {"backbone.conv1.bn": state[f"backbone.conv1.bn.{part}"][:4].tolist()}
            for part in ("running_mean", "running_var")
        },
        "num_batches_tracked": {"backbone.conv1.bn": 2, "backbone.layer1.0.conv1.bn": 0},
    }  # fmt: skip
    return write(folder, f"steps-{kind}", facts)

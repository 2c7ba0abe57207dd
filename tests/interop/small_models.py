"""Make detectors of width 8 with every architecture and head, their sidecars and foreign files."""

import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.checkpoint.sidecars import Checkpoint, plain
from pipeline.interop.fixtures import rule_weight
from pipeline.models.build import build_backbone
from pipeline.models.context import BankWindow, ObjectBoxes
from pipeline.models.detector import Detector
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.models.roi import roi_channels
from pipeline.models.settings import RoiSettings
from pipeline.video.clip_input import ClipInput

WIDTH, CLASSES, BANK = 8, 4, 24
CLIP_INPUT = ClipInput(frames=8, interval=2, short_side=64, mean=(1, 2, 3), std=(4, 5, 6))
# Backbone, head, context, mlp.
ARCHITECTURES = [
    ("slowonly_r50", "linear", "none", False),
    ("slowonly_r50", "linear", "global", True),
    ("slowonly_r101", "linear", "none", False),
    ("slowonly_r50_nl", "linear", "none", True),
    ("slowfast_r50_4x16", "linear", "global", False),
    ("slowfast_r50_8x8", "acrn", "none", False),
    ("slowfast_r101_8x8", "linear", "none", False),
    ("slowonly_r50", "lfb_nl", "none", False),
    ("slowfast_r50_8x8", "lfb_nl", "none", True),
    ("slowonly_r50", "lfb_max", "none", False),
    ("slowonly_r50", "lfb_avg", "global", False),
]


def filled(model: torch.nn.Module) -> Any:
    """The model with weights and statistics drawn from their keys."""
    model.load_state_dict({key: rule_weight(key, value.shape) for key, value in model.state_dict().items()})
    return model.eval()


def interacting(
    head: str = "aia_dense_serial", order: str = "POMPOM", seconds: int = 61, *, classes: int = CLASSES
) -> Detector:
    """AlphAction's detector of width 8."""
    network = build_backbone("alphaction_slowfast_r50_4x16", width=WIDTH)
    settings = HeadSettings(
        roi_channels=network.out_channels,
        bank_channels=network.out_channels if "M" in order else 0,
        classes=classes,
        mask="none",
        window_seconds=seconds,
        per_second=5,
        objects=5 if "O" in order else 0,
    )
    roi = RoiSettings(output_size=7, aligned=False, extend_x=0.1, extend_y=0.05)
    built = build_head(head, settings, {"order": order, "latent": 12, "hidden": 20})
    model: Detector = filled(Detector(network, built, roi=roi))
    return model


def small_detector(
    backbone: str, head: str, context: Any = "none", mlp: bool = False, columns: int = CLASSES, **roi_changes: Any
) -> Detector:
    network = build_backbone(backbone, width=WIDTH)
    roi = RoiSettings(context=context, **roi_changes)
    settings = HeadSettings(
        roi_channels=roi_channels(network.out_channels, roi),
        bank_channels=BANK if head.startswith("lfb") else 0,
        map_channels=network.out_channels,
        classes=columns,
        mask="none",
        mlp=mlp,
    )
    options = {"layers": 3, "latent": 12} if head == "lfb_nl" else {"convs": 2} if head == "acrn" else {}
    model: Detector = filled(Detector(network, build_head(head, settings, options), roi=roi))
    return model


def checkpoint_of(model: Detector, backbone: str, head: str, mlp: bool, **more: Any) -> Checkpoint:
    """What the stages write beside such a detector, as far as `convert` and `export` read it."""
    sidecar = {
        "sha256": "0" * 64,
        "kind": "detector",
        "backbone": backbone,
        "width": WIDTH,
        "roi": asdict(model.roi),
        "head": {"name": head, "mlp": mlp, "options": {}},
        "columns": CLASSES,
        "classes": CLASSES,
        "labels": {"kind": "multi", "background": False},
        "input": plain(CLIP_INPUT),
        "dropout": 0.5,
        **more,
    }
    return Checkpoint.from_json(sidecar, f"{head}.json")


def acar_detector(backbone: str, *, classes: int = 60, **options: Any) -> Detector:
    """ACAR-Net's detector of width 8."""
    network = build_backbone(backbone, width=WIDTH)
    channels = network.out_channels
    settings = HeadSettings(roi_channels=channels, bank_channels=0, map_channels=channels, classes=classes)
    built = build_head("acar", settings, {"reduced": 12, "hidden": 8, **options})
    model: Detector = filled(Detector(network, built, roi=RoiSettings(output_size=7, aligned=False, scale="map")))
    return model


def acar_state(model: Detector) -> dict[str, Tensor]:
    """The same under ACAR-Net's names, written out by hand, as a parallel training saves it."""
    parts = {"query": "conv_q", "key": "conv_k", "value": "conv_v", "out": "conv", "reduce": "conv_reduce"}
    normed = any("lateral.bn" in key for key in model.state_dict())
    found = {}
    for key, value in model.state_dict().items():
        words = key.split(".")
        if words[0] == "head":
            named = [parts.get(word, {"classifier": "fc2", "layers": "hr2o"}.get(word, word)) for word in words[1:]]
            found[".".join(["module.head.module", *(word for word in named if word != "shared")])] = value
            continue
        path = words[1].removesuffix("_path")
        if words[2].endswith("_lateral"):
            number = {"conv1": 1, "layer1": 2, "layer2": 3, "layer3": 4}[words[2].removesuffix("_lateral")]
            inside = f".{'01'[words[3] == 'bn']}" if normed else ""
            name = f"Tconv{number}{inside}.{words[4]}"
        elif words[2] == "conv1":
            name = f"{path}_{words[3]}1.{words[4]}"
        else:
            block = f"{path}_res{words[2][-1]}.{words[3]}"
            if words[4] == "downsample":
                name = f"{block}.downsample{'_bn' if words[5] == 'bn' else '.0'}.{words[6]}"
            else:
                name = f"{block}.{words[5]}{words[4][-1]}.{words[6]}"
        found[f"module.backbone.module.{name}"] = value
    return found


def pyslowfast_state(model: Detector) -> dict[str, Tensor]:
    """Our linear detector under PySlowFast's names, written out by hand."""
    found = {}
    for key, value in model.state_dict().items():
        if key.startswith("head."):
            found[key.replace("head.classifier", "head.projection")] = value
            continue
        parts = key.removeprefix("backbone.").split(".")
        path = {"slow_path": 0, "fast_path": 1}.get(parts[0], 0)
        rest = parts[1:] if parts[0] in ("slow_path", "fast_path") else parts
        if rest[0].endswith("_lateral"):
            number = {"conv1": 1, "layer1": 2, "layer2": 3, "layer3": 4}[rest[0].removesuffix("_lateral")]
            name = f"s{number}_fuse.{'conv_f2s' if rest[1] == 'conv' else 'bn'}.{rest[2]}"
        elif rest[0] == "conv1":
            name = f"s1.pathway{path}_stem.{rest[1]}.{rest[2]}"
        else:
            branch = {"conv1": "branch2.a", "conv2": "branch2.b", "conv3": "branch2.c", "downsample": "branch1"}[
                rest[2]
            ]
            suffix = "_bn" if rest[3] == "bn" else ""
            name = f"s{int(rest[0][5]) + 1}.pathway{path}_res{rest[1]}.{branch}{suffix}.{rest[4]}"
        found[name] = value
    return found


def alphaction_state(model: Detector) -> dict[str, Tensor]:
    """Our detector under AlphAction's names and with its shapes, written out by hand."""
    found = {}
    head = "roi_heads.action"
    parts = {
        "reduce_person": "person_dim_reduce",
        "reduce_key": "person_key_dim_reduce",
        "reduce_object": "object_dim_reduce",
        "reduce_memory": "mem_dim_reduce",
    }
    for key, value in model.state_dict().items():
        kind, *rest = key.split(".")
        if kind == "head" and rest[0] == "classifier":
            found[f"{head}.predictor.cls_score.{rest[1]}"] = value
        elif kind == "head" and rest[-2] in ("fc1", "fc2"):
            found[f"{head}.feature_extractor.{rest[-2]}.{rest[-1]}"] = value
        elif kind == "head":
            if rest[2] == "blocks":
                part = ".".join(rest[4:]).replace("position", "temporal_position")
                name = f"{rest[3][0]}_block_{rest[3][1:]}.{part}"
            elif rest[2] == "mixtures":
                name = f"dense_params.{rest[3]}"
            else:
                name = f"{parts[rest[2]]}.{rest[3]}"
            ones = () if name.endswith("bias") else (1, 1, 1)
            found[f"{head}.feature_extractor.ia_structure.{name}"] = value.reshape(*value.shape, *ones)
        else:
            path, place, *rest = rest
            side = path.removesuffix("_path")
            if place.endswith("_lateral"):
                name = f"fast.Tconv{1 if place == 'conv1_lateral' else int(place[5]) + 1}.{'.'.join(rest)}"
            elif place == "conv1":
                name = f"{side}.{rest[0]}1.{rest[1]}"
            else:
                part = "shortcut" if rest[1] == "downsample" else f"btnk.{rest[1]}"
                name = f"{side}.res_nl{place[5]}.res_{rest[0]}.{part}.{rest[2]}.{rest[3]}"
            found[f"backbone.{name}"] = value
    return found


LAST_BLOCK = {2: 2, 3: 3, 4: 5, 5: 2}


def caffe2_blobs(state: Mapping[str, Tensor], *, folded: bool = False) -> dict[str, np.ndarray]:
    """PySlowFast's state dict as Caffe2 blobs, written out by hand; `folded` leaves the statistics out."""
    kinds = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}
    blobs: dict[str, np.ndarray] = {"lr": np.array([0.1], np.float32), "model_iter": np.array([7])}
    for key, value in state.items():
        *stem, last = key.split(".")
        if last == "num_batches_tracked":
            continue
        if stem[0] == "head":
            blobs[f"pred_{last[0]}"] = value.numpy()
            continue
        t = "t_" if "pathway1" in key or "_fuse" in key else ""
        bn = stem[-1].endswith("bn")
        if "_stem" in key:
            name = f"{t}res_conv1_bn" if bn else f"{t}conv1"
        elif "_fuse" in key:
            number = int(stem[0][1])
            place = "pool1" if number == 1 else f"res{number}_{LAST_BLOCK[number]}_branch2c_bn"
            name = f"t_{place}_subsample{'_bn' if bn else ''}"
        else:
            block = stem[1].split("_res")[1] if "_res" in stem[1] else ""
            branch = "branch" + "".join(stem[2:]).removesuffix("_bn").removeprefix("branch")
            name = f"{t}res{stem[0][1]}_{block}_{branch}{'_bn' if bn else ''}"
        if folded and bn and last.startswith("running"):
            continue
        blobs[f"{name}_{kinds[last] if bn else 'w'}"] = value.numpy()
        blobs[f"{name}_{kinds[last] if bn else 'w'}_momentum"] = value.numpy() * 0
    return blobs


def write_pickle(path: Path, blobs: dict[str, np.ndarray], *, flat: bool = False) -> Path:
    path.write_bytes(pickle.dumps(blobs if flat else {"blobs": blobs}, 2))
    return path


def logits(model: Detector, seed: int = 0, *, frames: int = 8, slots: int = 6, bank_channels: int = BANK) -> Tensor:
    """What the detector says of three boxes on two clips, with three objects and one."""
    generator = torch.Generator().manual_seed(seed)
    clips = torch.randn(2, 3, frames, 32, 32, generator=generator)
    boxes = torch.tensor([[1.5, 2.0, 20.0, 30.0], [0.0, 0.0, 32.0, 32.0], [10.0, 5.0, 15.0, 12.5]])
    rows, clip_index = torch.randn(2, slots, bank_channels, generator=generator), torch.tensor([0, 1, 1])
    window = BankWindow(rows, torch.ones(rows.shape[:2], dtype=torch.bool), clip_index)
    places = torch.tensor([[True] * 3 + [False] * 2, [True] + [False] * 4])
    objects = ObjectBoxes(torch.tensor([2.5, 4.5, 20.0, 16.5]) + torch.arange(10.0).reshape(2, 5, 1), places)
    with torch.no_grad():
        found: Tensor = model(clips, boxes, clip_index, window, objects)
    return found

"""Make fixtures with hyper-parameters that no shipped fixture has; `plain` computes their numbers."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.interop.fixtures import rule_weight
from pipeline.interop.mmaction2 import upstream_key, upstream_shape
from pipeline.interop.mmaction2_model import describe_mmaction2
from pipeline.interop.pyslowfast_model import describe_pyslowfast
from tests.interop import plain
from tests.interop.small_models import pyslowfast_state

FOLDER = Path(__file__).parents[1] / "fixtures" / "parity" / "mmaction2"
WIDTH = 8
"Channels of the narrow backbones; the published ones have 64."
BOXES: list[list[list[float]]] = [[[0, 0, 96, 64], [10.3, 5.2, 40.7, 60.1]], [[70.5, 0, 96, 40.25]]]
NO_NON_LOCAL = [0, 0, 0, 0]
NON_LOCAL_CFG = {"sub_sample": True, "use_scale": True, "mode": "embedded_gaussian", "norm_cfg": {"type": "BN3d"}}


def hyper_of(name: str) -> dict[str, Any]:
    """The `hyper` of a shipped fixture, to be changed."""
    hyper: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())["hyper"]
    return copy.deepcopy(hyper)


def slowonly(**changes: Any) -> dict[str, Any]:
    """SlowOnly of width WIDTH with 5 classes; `changes` go to the backbone."""
    hyper = hyper_of("slowonly-r50-4x16-ava21")
    hyper["backbone"] |= {"base_channels": WIDTH, **changes}
    hyper["bbox_head"] |= {"num_classes": 5, "in_channels": 32 * WIDTH}
    return hyper


def slowfast(*, alpha: int = 2, tau: int | None = None, width: int = 16, kernel: int = 3, beta: int = 4) -> Any:
    """SlowFast of width 16 with 5 classes."""
    hyper = hyper_of("slowfast-r50-4x16-ava21")
    hyper |= {"speed_ratio": alpha, "resample_rate": tau or alpha, "channel_ratio": beta}
    fast = width // beta
    lateral = [2 * fast, 8 * fast, 16 * fast, 32 * fast]
    hyper["slow_path"] |= {
        "base_channels": width, "speed_ratio": alpha, "channel_ratio": beta, "fusion_kernel": kernel,
        "lateral_inplanes": lateral,
    }  # fmt: skip
    hyper["fast_path"] |= {"base_channels": fast}
    hyper["bbox_head"] |= {"num_classes": 5, "in_channels": 32 * (width + fast)}
    return hyper


def made_fixture(folder: Path, hyper: dict[str, Any], *, frames: int = 4, odd: bool = False) -> Path:
    """Write a fixture of this configuration; returns its JSON."""
    with torch.device("meta"):
        model = describe_mmaction2(hyper)
    own = {key: tuple(value.shape) for key, value in model.detector.state_dict().items()}
    shapes = {upstream_key(key) or "": shape for key, shape in own.items()}
    listed = [[key, list(upstream_shape(key, shape)), "float32"] for key, shape in shapes.items()]
    state = {key: rule_weight(key, upstream_shape(key, shape)) for key, shape in shapes.items()}
    arrays: Any = {}
    facts = _run(hyper, state, "", (2, 3, frames, 64, 96), arrays, model.window_slots, model.bank_channels)
    facts |= {
        "fixture": "anything",
        "hyper": hyper,
        "state_dict": listed,
        "parameter_count": sum(each.numel() for each in model.detector.parameters()),
    }
    if odd:
        shape = (2, 3, frames, 80, 112)
        facts["variants"] = {"odd": _run(hyper, state, "odd/", shape, arrays, 0, 0)}
    if model.window_slots:
        facts["lfb"] = {"seed": 1, "shape": [3, model.window_slots, model.bank_channels]}
    path = folder / "made.json"
    path.write_text(json.dumps(facts))
    np.savez(path.with_suffix(".npz"), **arrays)
    return path


def made_pyslowfast(folder: Path, *, alpha: int, beta: int, width: int, depth: int, frames: int) -> Path:
    """Write a fixture of a SlowFast in PySlowFast's layout, with 6 classes; returns its JSON."""
    facts = json.loads((FOLDER.parent / "pyslowfast" / "SLOWFAST_32x2_R50.json").read_text())
    config = facts["resolved_config"]
    config["SLOWFAST"] |= {"ALPHA": alpha, "BETA_INV": beta, "FUSION_KERNEL_SZ": 3}
    config["RESNET"] |= {"WIDTH_PER_GROUP": width, "DEPTH": depth}
    blocks = {50: [3, 4, 6, 3], 101: [3, 4, 23, 3]}[depth]
    config["RESNET"]["NUM_BLOCK_TEMP_KERNEL"] = [[count, count] for count in blocks]
    config["MODEL"] |= {"NUM_CLASSES": 6, "HEAD_ACT": "softmax"}
    config["DETECTION"] |= {"ROI_XFORM_RESOLUTION": 5}
    with torch.device("meta"):
        detector = describe_pyslowfast(config).detector
    named = {key: tuple(value.shape) for key, value in pyslowfast_state(detector).items()}
    weights = [rule_weight(key, shape) for key, shape in named.items()]
    state = dict(zip([upstream_key(key) or "" for key in detector.state_dict()], weights, strict=True))
    path = {"stage_blocks": blocks, "spatial_strides": [1, 2, 2, 1], "dilations": [1, 1, 1, 2]} | {
        "non_local_stages": NO_NON_LOCAL
    }
    hyper = {
        "backbone_type": "ResNet3dSlowFast", "resample_rate": alpha, "speed_ratio": alpha,
        "slow_frames": [int(at) for at in np.linspace(0, frames - 1, frames // alpha)],
        "slow_path": path, "fast_path": path,
        "roi_extractor": {
            "temporal_pool_mode": "avg", "output_size": 5, "featmap_stride": 16, "aligned": False, "with_global": False,
        },
        "bbox_head": {"spatial_pool_type": "max", "mlp_head": False, "multilabel": False},
    }  # fmt: skip
    clip = np.random.RandomState(0).standard_normal((2, 3, frames, 64, 96)).astype(np.float32)
    found = plain.detect(state, hyper, torch.from_numpy(clip), BOXES)
    slow = found["backbone_out0"].shape[1]
    roi = found["roi_feats"][:, :, 0]
    tensors = {
        "s5.p0": found["backbone_out0"], "s5.p1": found["backbone_out1"],
        "roi.p0": roi[:, :slow], "roi.p1": roi[:, slow:],
        "pooled.p1": roi[:, slow:].amax(dim=(2, 3), keepdim=True),
    }  # fmt: skip
    arrays: Any = {"logits": found["cls_score"].numpy(), "scores": found["prob"].numpy()}
    for name, value in tensors.items():
        arrays[f"{name}.first64"] = value.flatten()[:64].numpy()
        arrays[f"{name}.shape"] = np.array(value.shape)
        arrays[f"{name}.stat"] = np.array([value.double().mean(), value.double().std(correction=0)])
    facts |= {
        "name": "made",
        "state_dict": [[key, list(shape), "float32"] for key, shape in named.items()],
        "n_parameters": sum(each.numel() for each in detector.parameters()),
        "inputs": {"B": 2, "T": frames, "H": 64, "W": 96},
        "rois_batchidx_xyxy": [[number, *box] for number, each in enumerate(BOXES) for box in each],
    }
    target = folder / "made.json"
    target.write_text(json.dumps(facts))
    np.savez(target.with_suffix(".npz"), **arrays)
    return target


def _run(
    hyper: dict[str, Any], state: dict[str, Tensor], prefix: str, shape: tuple[int, ...],
    arrays: Any, slots: int, channels: int,
) -> dict[str, Any]:  # fmt: skip
    clip = torch.from_numpy(np.random.RandomState(0).standard_normal(shape).astype(np.float32))
    rows = np.random.RandomState(1).standard_normal((3, slots, channels)).astype(np.float32)
    tensors = {}
    windows = {"": rows}
    if slots:
        per_second = hyper["shared_head"]["lfb_cfg"]["max_num_sampled_feat"]
        padded = rows.copy()
        for slot in range(slots):
            if slot % per_second >= (slot // per_second) % (per_second + 1):
                padded[:, slot] = 0
        windows |= {"padded/": padded, "empty/": np.zeros_like(rows)}
    for kind, window in windows.items():
        for name, value in plain.detect(state, hyper, clip, BOXES, torch.from_numpy(window)).items():
            if kind and name not in ("shared_head_out", "fc_in", "cls_score", "prob"):
                continue
            flat = value.flatten()
            full = f"{prefix}{kind}{name}"
            if name in ("cls_score", "prob"):
                arrays[full] = value.numpy()
                continue
            tensors[full] = {
                "shape": list(value.shape), "mean": flat.double().mean().item(),
                "std": flat.double().std(correction=0).item(),
            }  # fmt: skip
            arrays[f"{full}/first64"] = flat[:64].numpy()
            arrays[f"{full}/strided64"] = flat[[i * len(flat) // 64 for i in range(64)]].numpy()
    index = [number for number, each in enumerate(BOXES) for _ in each]
    return {
        "input": {"seed": 0, "shape": list(shape)}, "boxes_xyxy": BOXES, "roi_batch_index": index, "tensors": tensors,
    }  # fmt: skip

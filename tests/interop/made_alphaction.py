"""Make fixtures in the form of AlphAction's, of networks that no shipped fixture has; our own network fills in numbers.

What our networks compute is tested against plain arithmetic (`tests/models/heads/test_aia.py`) and against the shipped
fixtures. A made fixture tests that the reader takes everything from what a fixture says.
"""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.interop.alphaction_fixture import _case, _run
from pipeline.interop.alphaction_model import describe_alphaction
from pipeline.models.detector import Detector
from pipeline.models.roi import extend_boxes
from tests.interop.small_models import alphaction_state

FOLDER = Path(__file__).parents[1] / "fixtures" / "parity" / "alphaction"


def config_of(name: str = "resnet50_4x16f_denseserial") -> dict[str, Any]:
    """The configuration of a shipped fixture, with few channels, to be changed."""
    config: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())["resolved_config"]
    config = copy.deepcopy(config)
    config["MODEL"]["ROI_ACTION_HEAD"] |= {
        "MLP_HEAD_DIM": 12, "POOLER_RESOLUTION": 3, "NUM_CLASSES": 9, "NUM_PERSON_MOVEMENT_CLASSES": 4,
        "NUM_OBJECT_MANIPULATION_CLASSES": 3, "NUM_PERSON_INTERACTION_CLASSES": 2,
    }  # fmt: skip
    config["MODEL"]["IA_STRUCTURE"] |= {"DIM_INNER": 8}
    return config


def made_alphaction(folder: Path, config: dict[str, Any], **changes: Any) -> Path:
    """Write a fixture of this configuration; returns its JSON."""
    structure = config["MODEL"]["IA_STRUCTURE"]
    before, after = structure["LENGTH"]
    counts = [
        [(clip + second) % (structure["MAX_PER_SEC"] + 1) for second in range(before + 1 + after)] for clip in (0, 1)
    ]
    for row in counts:
        row[before] = -1
    tau, alpha = config["INPUT"]["TAU"], config["INPUT"]["ALPHA"]
    facts: dict[str, Any] = {
        "name": "made",
        "resolved_config": config,
        "inputs": {
            "clip": "RandomState(4).standard_normal((B,3,T,H,W))", "B": 2, "T": 2 * tau, "H": 64, "W": 48,
            "slow_index": f"clip[:,:,{tau // 2 - 1}::{tau}]", "fast_index": f"clip[:,:,0::{tau // alpha}]",
        },
        "person_boxes_xyxy": [[[4, 3.5, 40.25, 60], [20, 10, 47, 63]], [[10, 5, 45, 58]]],
        "object_boxes_xyxy": [[], [[3, 4, 20, 30]]] if structure["ACTIVE"] else None,
        "memory": {"values": "RandomState(7).standard_normal((B,S,K,C))", "counts": counts},
    }  # fmt: skip
    with torch.device("meta"):
        detector: Detector = describe_alphaction(config).detector
    facts["state_dict"] = [[key, list(value.shape), "float32"] for key, value in alphaction_state(detector).items()]
    facts["n_parameters"] = sum(each.numel() for each in detector.parameters())
    facts["n_buffer_elements"] = sum(each.numel() for each in detector.buffers())
    facts |= changes
    path = folder / "made.json"
    path.write_text(json.dumps(facts))
    case = _case(facts)
    with torch.no_grad():
        seen = _run(case)[0]
    arrays: dict[str, Any] = {}
    for name, tensor in seen.items():
        values = tensor.double().numpy()
        if name in ("logits", "scores"):
            arrays[name] = values
            continue
        arrays[f"{name}.stat"] = np.array([values.mean(), values.std()]) if values.size else np.zeros(2)
        arrays[f"{name}.first64"] = values.ravel()[:64]
        arrays[f"{name}.shape"] = np.array(values.shape)
        if name.startswith("block."):
            arrays[f"{name}.rows_first32"] = values.reshape(len(values), -1)[:, :32]
            arrays[f"{name}.rows_mean"] = values.reshape(len(values), -1).mean(axis=1)
    np.savez(path.with_suffix(".npz"), **arrays)
    extended = extend_boxes(case.boxes_xyxy, case.detector.roi, width=48, height=64).tolist()
    first = len(facts["person_boxes_xyxy"][0])
    facts["person_boxes_extended_xyxy"] = [extended[:first], extended[first:]]
    path.write_text(json.dumps(facts))
    return path

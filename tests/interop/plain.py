"""MMAction2's detector in plain functions: `benchmarks.plain` with RoIAlign and a classifier.

It uses nothing of `pipeline.models` and computes the expected numbers of made-up fixtures.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.plain import State, acrn, backbone, fbo, linear


def bilinear(feature: Tensor, y: float, x: float) -> Tensor:
    """One sample of a [C, h, w] map; outside of it by more than a cell there is nothing."""
    height, width = feature.shape[1:]
    if y < -1 or y > height or x < -1 or x > width:
        return torch.zeros(feature.shape[0])
    y, x = max(y, 0.0), max(x, 0.0)
    top, left = min(int(y), height - 1), min(int(x), width - 1)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down = y - top if top < height - 1 else 0.0
    along = x - left if left < width - 1 else 0.0
    upper = feature[:, top, left] * (1 - along) + feature[:, top, right] * along
    lower = feature[:, bottom, left] * (1 - along) + feature[:, bottom, right] * along
    return upper * (1 - down) + lower * down


def roi_align(feature: Tensor, box: list[float], *, stride: int, size: int, aligned: bool) -> Tensor:
    """[C, h, w] -> [C, size, size], with an adaptive number of samples per cell."""
    shift = 0.5 if aligned else 0.0
    x1, y1, x2, y2 = (side / stride - shift for side in box)
    width, height = x2 - x1, y2 - y1
    if not aligned:
        width, height = max(width, 1.0), max(height, 1.0)
    cell_w, cell_h = width / size, height / size
    down, along = max(math.ceil(height / size), 1), max(math.ceil(width / size), 1)
    cells = torch.zeros(feature.shape[0], size, size)
    for row in range(size):
        for column in range(size):
            samples = [
                bilinear(
                    feature,
                    y1 + row * cell_h + (i + 0.5) * cell_h / down,
                    x1 + column * cell_w + (j + 0.5) * cell_w / along,
                )
                for i in range(down)
                for j in range(along)
            ]
            cells[:, row, column] = torch.stack(samples).mean(dim=0)
    return cells


def detect(
    tensors: dict[str, Tensor],
    hyper: dict[str, Any],
    clip: Tensor,
    boxes: list[list[list[float]]],
    window: Tensor | None = None,
) -> dict[str, Tensor]:
    """All tensors of a fixture that do not depend on hooks."""
    state = State(tensors)
    maps = backbone(state, hyper, clip)
    how = hyper["roi_extractor"]
    longest = max(each.shape[2] for each in maps)
    maps_long = [F.interpolate(each, (longest, *each.shape[3:]), mode="nearest") for each in maps]
    pool = (lambda x: x.mean(dim=2)) if how["temporal_pool_mode"] == "avg" else (lambda x: x.amax(dim=2))
    feature = torch.cat([pool(each) for each in maps_long], dim=1)
    clip_index = torch.tensor([number for number, each in enumerate(boxes) for _ in each])
    size = how["output_size"]
    settings = {"stride": how["featmap_stride"], "size": size, "aligned": how["aligned"]}
    roi = torch.stack(
        [roi_align(feature[number], box, **settings) for number, each in enumerate(boxes) for box in each]
    ).unsqueeze(2)
    if how["with_global"]:
        around = F.adaptive_avg_pool2d(feature, size)[clip_index].unsqueeze(2)
        roi = torch.cat([roi, around], dim=1)
    found = {f"backbone_out{number}": each for number, each in enumerate(maps)}
    found |= {"roi_feats": roi, "global_feat": feature.unsqueeze(2)}
    shared = hyper.get("shared_head")
    x = roi
    if shared and shared["type"] == "ACRNHead":
        x = found["shared_head_out"] = acrn(state, shared, roi, feature.unsqueeze(2), clip_index)
    if shared and shared["type"] == "FBOHead":
        assert window is not None
        person = roi.mean(dim=2).flatten(2).amax(dim=2)
        x = found["shared_head_out"] = fbo(state, shared, person, window)[:, :, None, None, None]
    box_head = hyper["bbox_head"]
    cells = x.mean(dim=2).flatten(2)
    x = cells.mean(dim=2) if box_head["spatial_pool_type"] == "avg" else cells.amax(dim=2)
    found["fc_in"] = x
    name = "roi_head.bbox_head.fc_cls"
    if box_head["mlp_head"]:
        x = linear(state, f"{name}.2", F.relu(linear(state, f"{name}.0", x)))
    else:
        x = linear(state, name, x)
    found["cls_score"] = x
    found["prob"] = x.sigmoid() if box_head["multilabel"] else x.softmax(dim=1)
    return found

"""Check single operations against AlphAction's: RoIAlign, boxes, sizes and frames, losses, rates and memory.

Shape suffixes of names: R persons, K classes, and those of `pipeline/models/pool.py`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.interop.alphaction_losses import SIZES, compare_losses, compare_rates, drawn
from pipeline.interop.alphaction_memory import compare_memory_read
from pipeline.interop.compare_fixture import Difference, ParityReport, compare
from pipeline.interop.fixtures import Array, Expected, read_arrays
from pipeline.interop.inclusive_boxes import clipped, flipped, resized, to_xywh
from pipeline.interop.reading import reading
from pipeline.models.backbones.alphaction_slowfast import alphaction_pathways, alphaction_slowfast
from pipeline.models.pool import align_boxes, align_by_matrices
from pipeline.models.roi import extend_boxes
from pipeline.models.settings import LabelGroup, Labels, RoiSettings
from pipeline.training.losses import group_losses
from pipeline.video.clip_indices import clip_indices
from pipeline.video.size import scaled_size

Facts = Mapping[str, Any]
Arrays = Mapping[str, Array]
_DRAWN = re.compile(r"RandomState\((\d+)\)\.standard_normal\(\(([\d, ]+)\)\)")
_EXTENDED = re.compile(r"extend_(\d+(?:p\d+)?)_(\d+(?:p\d+)?)")
_RESIZED = re.compile(r"resize_(\d+)_(\d+)")
_SIDES = re.compile(r"short side (\d+), long side capped at (\d+)")
_NOTES = ("resize_note", "note_rng", "resolved_on", "upstream")
_LOSS_ARRAYS = ("labels", "sigmoid_focal", "softmax_focal")
_WEIGHTED = re.compile(r"sigmoid_focal_alpha(\d\d)")
# The fixture has what becomes of these boxes, and does not say of which.
_UNSTATED = ("xywh_to_xyxy",)


def is_operations(facts: Facts) -> bool:
    """Return whether a fixture's JSON is of this kind."""
    return {"roi_align", "boxes", "frame_indices"} <= facts.keys()


def check_operations(path: Path, facts: Facts) -> ParityReport:
    """Compute every operation that a fixture states, and compare every number.

    Args:
        path: the fixture's JSON; the npz lies beside it.
        facts: what the JSON holds.

    Raises:
        InputError: a file is absent or not whole, or an operation or an array is not known here.
    """
    arrays = read_arrays(path.with_suffix(".npz"))
    with reading(path):
        differences = [found for name, given in facts.items() for found in _compared(name, given, facts, arrays)]
        for name in arrays:
            if not any(name == each or _WEIGHTED.fullmatch(name) for each in _KNOWN_ARRAYS):
                raise InputError(f"tensor {name} is not known here")
    words = "1e-4 + 1e-4 |x|, of losses 1e-5 |x|, of rates 1e-9 |x|, of memory 1e-6 |x|"
    return ParityReport(path.stem, str(facts.get("upstream", "AlphAction")), None, None, differences, words)


def _compared(name: str, given: Any, facts: Facts, arrays: Arrays) -> list[Difference]:
    if name in _NOTES:
        return []
    if name not in _OPERATIONS:
        raise InputError(f"operation {name} is not known here")
    return _OPERATIONS[name](given, facts, arrays)


def _roi_align(given: Facts, facts: Facts, arrays: Arrays) -> list[Difference]:
    """Align boxes frame by frame, by both of our ways."""
    rule = _DRAWN.search(given["input"])
    if rule is None:
        raise InputError(f"roi_align.input is {given['input']!r}, expected RandomState(N).standard_normal((...))")
    shape = tuple(int(each) for each in rule[2].split(","))
    values = np.random.RandomState(int(rule[1])).standard_normal(shape).astype(np.float32)
    maps_BChw = torch.from_numpy(values).flatten(1, 2)
    size, other = given["output"]
    stride = round(1 / given["spatial_scale"])
    if size != other or given["sampling_ratio"] != 0 or stride * given["spatial_scale"] != 1:
        raise InputError("roi_align: expected a square output, sampling_ratio 0 and a whole stride")
    rois = torch.tensor(given["rois"], dtype=torch.float32).reshape(-1, 5)
    found = []
    for name, align in (("roi_align", align_boxes), ("roi_align/deterministic", align_by_matrices)):
        aligned = align(maps_BChw, rois[:, 1:], rois[:, 0].long(), size, stride=stride, aligned=given["aligned"])
        found.append(_full(name, torch.unflatten(aligned, 1, shape[1:3]), arrays["roi_align"]))
    return found


def _boxes(given: Facts, facts: Facts, arrays: Arrays) -> list[Difference]:
    boxes = np.array(given["xyxy"], dtype=np.float64).reshape(-1, 4)
    width, height = given["image_wh"]
    found = []
    for name, expected in given.items():
        extended, scaled = _EXTENDED.fullmatch(name), _RESIZED.fullmatch(name)
        if name in ("image_wh", "xyxy", *_UNSTATED):
            continue
        if extended:
            x, y = (float(share.replace("p", ".")) for share in extended.groups())
            result = extend_boxes(
                torch.from_numpy(boxes), RoiSettings(extend_x=x, extend_y=y), width=width, height=height
            ).numpy()
        elif scaled:
            result = resized(boxes, (width, height), (int(scaled[1]), int(scaled[2])))
        elif name == "clip_remove_empty":
            result = clipped(boxes, width, height)
        elif name == "flip_lr":
            result = flipped(boxes, width)
        elif name == "to_xywh":
            result = to_xywh(boxes)
        else:
            raise InputError(f"boxes.{name} is not known here")
        found.append(_full(f"boxes/{name}", torch.from_numpy(result), np.array(expected).reshape(-1, 4)))
    return found


def _best_objects(given: Facts, facts: Facts, arrays: Arrays) -> list[Difference]:
    """Choose the best objects; upstream's worst comes first, and ours last."""
    kept = given["kept_in_this_order"]
    best = np.argsort(-np.array(given["scores"]), kind="stable")[: len(kept)]
    return [_full("object_top5", torch.from_numpy(best[::-1].copy()), np.array(kept))]


def _sizes(given: Facts, facts: Facts, arrays: Arrays) -> list[Difference]:
    """Compute the (width, height) of resized frames.

    Where the short side has its length already, upstream returns (height, width): frames are distorted. Ours are not.
    """
    sides = _SIDES.search(facts["resize_note"])
    if sides is None:
        raise InputError("resize_note: expected 'short side N, long side capped at N'")
    short, long = int(sides[1]), int(sides[2])
    found = []
    for name, expected in given.items():
        height, width = (int(each) for each in name.strip("()").split(","))
        size = scaled_size(height, width, short, long)
        untouched = min(height, width) == short and max(height, width) <= long
        found.append(_full(f"resize/{name}", torch.tensor(size if untouched else size[::-1]), np.array(expected)))
    return found


def _frames(given: Sequence[Facts], facts: Facts, arrays: Arrays) -> list[Difference]:
    """Choose the frames of a clip in the middle of a film, and of them those of each pathway."""
    found = []
    for number, case in enumerate(given):
        frames, rate, total = case["frame_num"], case["rate"], case["raw_frames"]
        # Ours counts from the frame in the middle of the clip.
        middle = (total - frames * rate) // 2 + frames // 2 * rate
        indices = clip_indices(middle, fps=1, frames=frames, interval=rate, total=total)
        with torch.device("meta"):
            pathways = alphaction_pathways(tau=case["tau"], alpha=case["alpha"])
            network = alphaction_slowfast((1, 1, 1, 1), 8, pathways).eval()
        slow, fast = network.split(torch.from_numpy(indices)[None, None, :, None, None])
        for name, seen in (("slow", slow), ("fast", fast)):
            found.append(_full(f"frames{number}/{name}", seen.flatten(), np.array(case[name])))
    return found


def _losses(given: Facts, facts: Facts, arrays: Arrays) -> list[Difference]:
    """Compare sums, and the focal losses of every row and class."""
    logits_RK, labels_RK = drawn(given["logits"]), torch.from_numpy(arrays["labels"])
    gamma = given["gamma"]
    softmax = Labels(
        "grouped", several="first", unlabelled="first", groups=(LabelGroup(classes=SIZES[0], kind="softmax"),)
    )
    # A group of one class has its loss.
    single = LabelGroup(classes=1, kind="sigmoid")
    sigmoids = Labels("grouped", groups=(single,) * (logits_RK.shape[1] - SIZES[0]))
    rows = range(len(logits_RK))
    poses = [
        group_losses(logits_RK[[row], : SIZES[0]], labels_RK[[row], : SIZES[0]], softmax, gamma=gamma)[0]
        for row in rows
    ]
    others_RK = torch.stack(
        [
            torch.stack(group_losses(logits_RK[[row], SIZES[0] :], labels_RK[[row], SIZES[0] :], sigmoids, gamma=gamma))
            for row in rows
        ]
    )
    found = [*compare_losses(given), _full("softmax_focal", torch.stack(poses), arrays["softmax_focal"])]
    found.append(_full("sigmoid_focal", others_RK, arrays["sigmoid_focal"]))
    for name, values in arrays.items():
        weighted = _WEIGHTED.fullmatch(name)
        if weighted:
            # Ours has no such weight; upstream's models do not use it either (ALPHA -1).
            alpha, positive_RK = int(weighted[1]) / 100, labels_RK[:, SIZES[0] :]
            weights_RK = alpha * positive_RK + (1 - alpha) * (1 - positive_RK)
            found.append(_full(name, others_RK * weights_RK, values))
    return found


def _full(name: str, found: Tensor, expected: Array) -> Difference:
    return compare(name, found, Expected(values={"full": expected}))


_OPERATIONS: dict[str, Callable[[Any, Facts, Arrays], list[Difference]]] = {
    "roi_align": _roi_align,
    "losses": _losses,
    "boxes": _boxes,
    "object_top5": _best_objects,
    "resize": _sizes,
    "frame_indices": _frames,
    "lr": lambda given, facts, arrays: compare_rates(given),
    "memory_read": lambda given, facts, arrays: compare_memory_read(given, arrays),
}
_KNOWN_ARRAYS = ("roi_align", *_LOSS_ARRAYS, "memory_penalty_read", "memory_eval_read")

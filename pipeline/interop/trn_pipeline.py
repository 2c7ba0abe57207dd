"""Check how MMAction2 chooses, crops, flips and measures clips for TRN: sampling, views, labels and metrics."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.evaluation.top_k import accuracies
from pipeline.interop.alphaction_losses import near, near_values
from pipeline.interop.compare_fixture import Difference, ParityReport
from pipeline.interop.reading import reading
from pipeline.tables.clip_labels import ClipLabels, label_classes
from pipeline.video import segments, views
from pipeline.video.clips import normalise
from pipeline.video.size import scaled_size
from pipeline.video.view_input import ViewInput
from pipeline.video.views import PLACES, ViewDraw, centre_box, multi_scale_box, scale_pairs, three_boxes

Facts = Mapping[str, Any]
_CROP = re.compile(r"(center|three)_crop_(\d+)_xyxy")
PUBLISHED = ViewInput(short_side=256, crop=224, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
SCALES, APART, FLIP_PROBABILITY = (1, 0.875, 0.75, 0.66), 1, 0.5
LEVELS = 2.0
"A pixel may differ by so many of its 256 levels, since upstream resizes by cv2."
MEAN_LEVELS = 0.5
"The mean of all pixels of a view, and their standard deviation, may differ by so many: two resizes round twice."
_SIDED = (
    "Turning the camera left while filming something",
    "Turning the camera right while filming something",
    "Pushing something from left to right",
    "Pushing something from right to left",
    "Pulling something from left to right",
    "Pulling something from right to left",
)
_IDS = {"sthv1": (2, 4, 30, 41, 66, 52), "sthv2": (166, 167, 93, 94, 86, 87)}
CLASSES = 174
_OWN_PARTS = {
    "test_indices", "train_indices", "other_num_clips", "resize_and_test_crops", "multi_scale_crop", "whole_pipeline"
}  # fmt: skip
"Parts that no other kind of fixture has; one may hold some of them."


def is_pipeline(facts: Facts) -> bool:
    """Return whether a fixture's JSON is of this kind."""
    return bool(_OWN_PARTS & facts.keys())


def check_pipeline(path: Path, facts: Facts) -> ParityReport:
    """Compute all that a fixture states of the way from a film to views, and compare every number.

    Indices, boxes and labels must be equal.

    Args:
        path: the fixture's JSON.
        facts: what it holds.

    Raises:
        InputError: the fixture is not whole, or states something that is not known here.
    """
    found: list[Difference] = []
    with reading(path):
        for name, given in facts.items():
            if name == "upstream":
                continue
            if name not in _PARTS:
                raise InputError(f"{name} is not known here")
            found += _PARTS[name](given)
    words = f"0, of pixels {LEVELS:g} levels, of their means {MEAN_LEVELS:g}, of metrics 1e-9"
    return ParityReport(path.stem, str(facts.get("upstream", "MMAction2")), None, None, found, words)


def published_classes(version: str) -> ClipLabels:
    """Return the flips of a version of Something-Something, whose classes without a side have no name here.

    Raises:
        InputError: the version is not known here.
    """
    if version not in _IDS:
        raise InputError(f"version {version} is not known here, expected one of {', '.join(_IDS)}")
    names = [f"class {number}" for number in range(CLASSES)]
    for number, name in zip(_IDS[version], _SIDED, strict=True):
        names[number] = name
    return label_classes(names)


def exact(name: str, found: Any, expected: Any) -> Difference:
    """Compare numbers that must be equal; any difference is far too large."""
    return near(name, found, expected, relative=0.0, absolute=1e-6)


def _test_indices(given: Sequence[Facts]) -> list[Difference]:
    found = []
    for case in given:
        frames, start = case["total_frames"], case["start_index"]
        name = f"test_indices/{frames}+{start}"
        parts = len(case["test"])
        found.append(exact(name, segments.test_segments(frames, parts) + start, case["test"]))
        found.append(exact(f"{name}/twice", segments.twice_segments(frames, parts) + start, case["test_twice"]))
    return found


def _train_indices(given: Sequence[Facts]) -> list[Difference]:
    found = []
    for case in given:
        frames, start, seed = case["total_frames"], case["start_index"], case["numpy_seed"]
        name, parts = f"train_indices/{frames}+{start}/seed{seed}", len(case["frame_inds"])
        found += _draws(name, case, frames, parts)
        own = segments.published_segments(frames, parts, case["draws"])
        found.append(exact(name, own + start, case["frame_inds"]))
        bound = case["draw_upper_bound"] or 0
        found.append(exact(f"{name}/bound", frames // parts, bound))
    return found


def _draws(name: str, case: Facts, frames: int, parts: int) -> list[Difference]:
    """Compare the draws that a seed gives with those that the fixture states; none where nothing is drawn."""
    drawn = _numpy_draws(np.random.RandomState(case["numpy_seed"]), frames, parts)
    if drawn is None and case["draws"] is None:
        return []
    return [exact(f"{name}/draws", [] if drawn is None else drawn, case["draws"] or [])]


def _numpy_draws(state: np.random.RandomState, frames: int, parts: int) -> NDArray[np.integer[Any]] | None:
    return None if frames < parts else np.asarray(state.randint(frames // parts, size=parts))


def _other_segments(given: Sequence[Facts]) -> list[Difference]:
    found = []
    for case in given:
        frames, parts = case["total_frames"], case["num_clips"]
        name = f"other_num_clips/{parts}/{frames}"
        found += _draws(name, case, frames, parts)
        found.append(exact(f"{name}/train", segments.published_segments(frames, parts, case["draws"]), case["train"]))
        found.append(exact(f"{name}/test", segments.test_segments(frames, parts), case["test"]))
    return found


def _test_crops(given: Sequence[Facts]) -> list[Difference]:
    found = []
    for case in given:
        height, width = case["h"], case["w"]
        size = scaled_size(height, width, PUBLISHED.short_side)
        name = f"test_crops/{width}x{height}"
        found.append(exact(f"{name}/size", size, case["resized_hw"]))
        factors = [size[1] / width, size[0] / height]
        found.append(near(f"{name}/factor", factors, case["scale_factor_wh"], relative=1e-6))
        for key, expected in case.items():
            crop = _CROP.fullmatch(key)
            if crop:
                boxes: Any = centre_box if crop[1] == "center" else three_boxes
                found.append(exact(f"{name}/{key}", boxes(*size, int(crop[2])), expected))
            elif key not in ("h", "w", "resized_hw", "scale_factor_wh"):
                raise InputError(f"resize_and_test_crops: {key} is not known here")
    return found


def _draw(size: int, place: int, is_flipped: bool = False) -> ViewDraw:
    width, height = scale_pairs(SCALES, APART)[size]
    return ViewDraw(width, height, place, is_flipped)


def _python_draw(state: random.Random, is_flipped: bool = False) -> ViewDraw:
    """Draw a training crop as upstream: the size first, then the place."""
    size = state.choice(range(len(scale_pairs(SCALES, APART))))
    return _draw(size, state.choice(range(PLACES)), is_flipped)


def _multi_scale(given: Sequence[Facts]) -> list[Difference]:
    found = []
    for case in given:
        height, width = case["h"], case["w"]
        name = f"multi_scale_crop/{width}x{height}"
        found.append(exact(f"{name}/sizes", len(scale_pairs(SCALES, APART)), len(case["choices"])))
        for choice in case["choices"]:
            number = choice["size_choice"]
            boxes = [multi_scale_box(height, width, PUBLISHED.crop, _draw(number, each)) for each in range(PLACES)]
            x1, y1, x2, y2 = boxes[0]
            found.append(exact(f"{name}/size{number}", (x2 - x1, y2 - y1), choice["size_wh"]))
            found.append(exact(f"{name}/boxes{number}", boxes, choice["crop_xyxy_by_offset_choice"]))
        for seeded in case["seeded"]:
            draw = _python_draw(random.Random(seeded["python_seed"]))
            box = multi_scale_box(height, width, PUBLISHED.crop, draw)
            found.append(exact(f"{name}/seed{seeded['python_seed']}", box, seeded["crop_xyxy"]))
    return found


def _flip(given: Facts) -> list[Difference]:
    found = []
    for version, case in given.items():
        flips = published_classes(version).flips
        found.append(exact(f"flip/{version}", sorted(flips.items()), sorted(case["changed_labels"])))
        flipped = _is_flipped(0.5)
        found.append(exact(f"flip/{version}/half", flipped, case["draw_0_5_flips"]))
        label = min(flips)
        after = views.flipped_label(label, flips, _draw(0, 0, flipped), "mapped")
        found.append(exact(f"flip/{version}/label", after, case["label_after_draw_0_5"]))
    return found


def _is_flipped(draw: float) -> bool:
    return draw < FLIP_PROBABILITY


def made_video(frames: Sequence[int], height: int, width: int) -> NDArray[np.uint8]:
    """Compute pictures of the fixtures' made-up video: RGB uint8 [frames, height, width, 3]."""
    t, y, x, c = np.ix_(np.asarray(frames), np.arange(height), np.arange(width), np.arange(3))
    values: NDArray[np.uint8] = (((2 * x * (c + 1)) // 3 + y + 7 * t * (c + 2)) % 256).astype(np.uint8)
    return values


def _whole(given: Sequence[Facts]) -> list[Difference]:
    return [found for number, case in enumerate(given) for found in _whole_case(f"whole{number}", case)]


def _whole_case(name: str, case: Facts) -> list[Difference]:
    """Take one made-up video through all steps of training (`train`), validation (`val`) or a test (`test`)."""
    kind, frames = case["pipeline"], case["total_frames"]
    height, width = case["h"], case["w"]
    name = f"{name}/{case['version']}/{kind}"
    flips = published_classes(case["version"]).flips
    size = scaled_size(height, width, PUBLISHED.short_side)
    label, flipped = case["label_in"], False
    view = replace(PUBLISHED, crop=case["uint8_shape"][-1])
    parts = len(case["frame_inds"]) // (2 if kind == "test" else 1)
    if kind == "train":
        numbers = np.random.RandomState(case["python_and_numpy_seed"])
        indices = segments.published_segments(frames, parts, _numpy_draws(numbers, frames, parts))
        flipped = _is_flipped(numbers.rand())
        draw = _python_draw(random.Random(case["python_and_numpy_seed"]), flipped)
        label = views.flipped_label(label, flips, draw, "mapped")
        box = multi_scale_box(*size, view.crop, draw)
        pixels = views.training_pixels(made_video(indices.tolist(), height, width), view, draw)
    elif kind in ("val", "test"):
        is_test = kind == "test"
        choose = segments.twice_segments if is_test else segments.test_segments
        indices = choose(frames, parts)
        box = three_boxes(*size, view.short_side)[0] if is_test else centre_box(*size, view.crop)
        pictures = made_video(indices.tolist(), height, width)
        crops = views.test_pixels(pictures, view, segments=parts, crops="three" if is_test else "centre")
        pixels = crops.flatten(0, 1)
    else:
        raise InputError(f"whole_pipeline: pipeline {kind} is not known here")
    return [
        exact(f"{name}/frames", indices, case["frame_inds"]),
        exact(f"{name}/crop", box, case["crop_xyxy"]),
        exact(f"{name}/flip", flipped, case["flip"]),
        exact(f"{name}/label", label, case["label_out"]),
        *_pixels(name, pixels, parts, case),
    ]


def _pixels(name: str, pixels: Tensor, parts: int, case: Facts) -> list[Difference]:
    """Compare the pixels [n, 3, h, w] of all views, and what normalising makes of them."""
    flat = pixels.flatten().double()
    places = [index * flat.numel() // 64 for index in range(64)]
    means = pixels.double().reshape(len(pixels) // parts, -1).mean(1)
    normal = normalise(pixels, PUBLISHED.mean, PUBLISHED.std).double()
    level = 1 / min(PUBLISHED.std)
    return [
        exact(f"{name}/shape", pixels.shape, case["uint8_shape"]),
        near(f"{name}/pixels", flat[places], case["uint8_strided64"], relative=0, absolute=LEVELS),
        near(f"{name}/mean", flat.mean(), case["uint8_mean"], relative=0, absolute=MEAN_LEVELS),
        near(f"{name}/view_means", means, case["view_means"], relative=0, absolute=MEAN_LEVELS),
        near(f"{name}/normal_mean", normal.mean(), case["normalised_mean"], relative=0, absolute=MEAN_LEVELS * level),
        near(f"{name}/normal_std", normal.std(correction=0), case["normalised_std"], relative=0,
             absolute=MEAN_LEVELS * level),
        near(f"{name}/normal_first8", normal.flatten()[:8], case["normalised_first8"], relative=0,
             absolute=LEVELS * level),
    ]  # fmt: skip


def _metric(given: Facts) -> list[Difference]:
    state = np.random.RandomState(given["random_state"])
    scores, labels = state.standard_normal((60, 12)), state.randint(0, 12, 60)
    two = np.eye(6)[[5, 2]]
    ties = np.ones((1, 6))
    cases = {
        "all_classes": (scores, labels),
        "labels_above_8_set_to_0": (scores, np.where(labels > 8, 0, labels)),
        "two_samples_pred_5_and_2_truth_5_and_3": (two, np.array([5, 3])),
    }
    found = []
    for name, expected in given.items():
        if name in ("rule", "random_state"):
            continue
        if name == "ties_all_equal_scores_width6_label_each":
            for label, each in enumerate(expected):
                own = published_metrics(ties, np.array([label]))
                found.append(near_values(f"metric/ties{label}", own, each, relative=0, absolute=1e-9))
        elif name in cases:
            own = published_metrics(*cases[name])
            found.append(near_values(f"metric/{name}", own, expected, relative=0, absolute=1e-9))
        else:
            raise InputError(f"metric.{name} is not known here")
    return found


def published_metrics(scores: NDArray[np.float64], labels: NDArray[np.integer[Any]]) -> dict[str, float]:
    """Compute upstream's metrics of scores [clips, classes] under their names."""
    found = accuracies(scores, labels.astype(np.int64), "published")
    return {"top1": found.top1, "top5": found.top5, "mean1": found.mean_class}


_PARTS: dict[str, Callable[[Any], list[Difference]]] = {
    "test_indices": _test_indices,
    "train_indices": _train_indices,
    "other_num_clips": _other_segments,
    "resize_and_test_crops": _test_crops,
    "multi_scale_crop": _multi_scale,
    "flip": _flip,
    "whole_pipeline": _whole,
    "metric": _metric,
}

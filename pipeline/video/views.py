"""Views: scale the pictures of a clip, crop and flip them, and turn them into a network's input.

The arithmetic is that of MMAction2 1.2.0 (`Resize`, `MultiScaleCrop`, `CenterCrop`, `ThreeCrop`, `Flip`). Boxes are
`x1, y1, x2, y2` in pixels of the scaled picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.video.clips import normalise, resize
from pipeline.video.settings import Views
from pipeline.video.size import scaled_size
from pipeline.video.view_input import ViewInput

Box = tuple[int, int, int, int]
PLACES = 13
"Places of a multi-scale crop: four corners, the centre, four edges and four quarter points."
_SAME_SIDE = 3  # a crop's side that differs by less from the view's becomes the view's: it is then not scaled


@dataclass(frozen=True)
class ViewDraw:
    """What is drawn at random for one training view."""

    width_scale: float
    "Width of the crop, as a share of the scaled short side."
    height_scale: float
    place: int
    "In [0, PLACES)."
    is_flipped: bool


def scale_pairs(scales: Sequence[float], most_apart: int) -> list[tuple[float, float]]:
    """Return the (width, height) scales of a crop: pairs of scales at most so many places apart; height outermost."""
    numbered = list(enumerate(scales))
    return [
        (width, height)
        for (row, height), (column, width) in product(numbered, numbered)
        if abs(row - column) <= most_apart
    ]


def draw_view(rng: np.random.Generator, settings: Views, *, one_sided: bool = False) -> ViewDraw:
    """Draw how a training view is made.

    Args:
        rng: all options draw equally many numbers from it.
        settings: see `Views`.
        one_sided: the mirror image of the clip shows none of the classes; with mapped flips it is not mirrored.
    """
    pairs = scale_pairs(settings.scales, settings.scales_apart)
    size, place, flip = rng.random(3).tolist()
    width, height = pairs[int(size * len(pairs))]
    is_flipped = flip < settings.flip_probability and (
        settings.flip == "plain" or (settings.flip == "mapped" and not one_sided)
    )
    return ViewDraw(width, height, int(place * PLACES), is_flipped)


def multi_scale_box(height: int, width: int, crop: int, draw: ViewDraw) -> Box:
    """Return the box of a training crop in a scaled picture.

    Args:
        height: of the scaled picture.
        width: of the scaled picture.
        crop: side of the view.
        draw: gives size and place.
    """
    short = min(height, width)
    w, h = (_side(short, scale, crop) for scale in (draw.width_scale, draw.height_scale))
    x, y = crop_places(height, width, (h, w))[draw.place]
    return x, y, x + w, y + h


def _side(short: int, scale: float, crop: int) -> int:
    side = int(short * scale)
    return crop if abs(side - crop) < _SAME_SIDE else side


def crop_places(height: int, width: int, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return x and y of a crop of `size` (height, width) at each of its PLACES.

    They are multiples of a whole quarter of the room, so up to 3 pixels at the right and at the bottom are in no crop.
    """
    y, x = (height - size[0]) // 4, (width - size[1]) // 4
    steps = [(0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3)]
    return [(across * x, down * y) for across, down in steps]


def centre_box(height: int, width: int, side: int) -> Box:
    """Return the box of the crop in the middle of a scaled picture."""
    x, y = (width - side) // 2, (height - side) // 2
    return x, y, x + side, y + side


def three_boxes(height: int, width: int, side: int) -> list[Box]:
    """Return the crops at both ends and in the middle, which comes last: left and right, or top and bottom."""
    x, y = (width - side) // 2, (height - side) // 2
    corners = [(0, 0), (2 * x, 2 * y), (x, y)]
    return [(left, top, left + side, top + side) for left, top in corners]


def training_view(pictures: NDArray[np.uint8], settings: ViewInput, draw: ViewDraw) -> Tensor:
    """Scale pictures, crop them, scale the crop to the view's side, flip and normalise it.

    Args:
        pictures: RGB uint8 [S, height, width, 3].
        settings: see `ViewInput`.
        draw: what is done.

    Returns:
        float32 [S, 3, crop, crop].
    """
    return normalise(training_pixels(pictures, settings, draw), settings.mean, settings.std)


def training_pixels(pictures: NDArray[np.uint8], settings: ViewInput, draw: ViewDraw) -> Tensor:
    """Do what `training_view` does, but for normalising: uint8 [S, 3, crop, crop]."""
    frames = _scaled(pictures, settings.short_side)
    box = multi_scale_box(frames.shape[2], frames.shape[3], settings.crop, draw)
    view = resize(_cut(frames, box), (settings.crop, settings.crop))
    return view.flip(3) if draw.is_flipped else view


def test_views(
    pictures: NDArray[np.uint8], settings: ViewInput, *, segments: int, crops: Literal["centre", "three"]
) -> Tensor:
    """Scale pictures, cut the crops of a test, and normalise them.

    Args:
        pictures: RGB uint8 [samplings * segments, height, width, 3], as `test_segments` or `twice_segments` chose them.
        settings: the side of `centre` is `crop`; that of `three` is `short_side`.
        segments: S.
        crops: which crops.

    Returns:
        float32 [views, S, 3, side, side]: the samplings of the first crop, then those of the next.
    """
    return normalise(test_pixels(pictures, settings, segments=segments, crops=crops), settings.mean, settings.std)


def test_pixels(
    pictures: NDArray[np.uint8], settings: ViewInput, *, segments: int, crops: Literal["centre", "three"]
) -> Tensor:
    """Do what `test_views` does, but for normalising: uint8 [views, S, 3, side, side]."""
    frames = _scaled(pictures, settings.short_side)
    height, width = frames.shape[2:]
    if crops == "centre":
        boxes = [centre_box(height, width, settings.crop)]
    else:
        boxes = three_boxes(height, width, settings.short_side)
    crops_VN = torch.stack([_cut(frames, box) for box in boxes])
    return crops_VN.reshape(-1, segments, *crops_VN.shape[2:])


def flipped_label(
    label: int, flips: Mapping[int, int], draw: ViewDraw, mode: Literal["mapped", "plain", "none"]
) -> int:
    """Return the label of a training view: that of the mirrored class if the view is flipped and flips are mapped."""
    return flips.get(label, label) if draw.is_flipped and mode == "mapped" else label


def _scaled(pictures: NDArray[np.uint8], short_side: int) -> Tensor:
    frames = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    return resize(frames, scaled_size(frames.shape[2], frames.shape[3], short_side))


def _cut(frames: Tensor, box: Box) -> Tensor:
    x1, y1, x2, y2 = box
    return frames[:, :, y1:y2, x1:x2]

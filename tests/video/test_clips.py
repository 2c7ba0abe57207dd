import colorsys
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.base.randomness import rng_of
from pipeline.video.clip_input import ClipInput
from pipeline.video.clips import (
    ClipDraw,
    draw_clip,
    inference_clip,
    normalises_itself,
    scaled_clip,
    send_pixels,
    stack_pixels,
    training_boxes,
    training_clip,
)
from pipeline.video.clips import changed_clip as pixels_of
from pipeline.video.size import clip_sizes

PIPELINE = Path(__file__).resolve().parent.parent / "fixtures" / "parity" / "mmaction2" / "data_pipeline.json"
UPSTREAM: dict[str, Any] = json.loads(PIPELINE.read_text())
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
PLAIN: dict[str, Any] = {"mean": (0, 0, 0), "std": (1, 1, 1)}
INPUT = ClipInput(frames=2, interval=1, short_side=32, **PLAIN)
STILL: dict[str, Any] = {"settings": INPUT, "crop": None, "flip": 0.0, "colour": 0.0}


def changed_clip(
    clip: np.ndarray, boxes: np.ndarray, settings: ClipInput, *, rng: np.random.Generator, **options: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """The clip and its boxes after changes that are drawn from `rng`."""
    draw = draw_clip(rng, **options)
    return training_clip(clip, settings, draw), torch.from_numpy(training_boxes(boxes, clip, draw))


def noise(frames: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (frames, height, width, 3), np.uint8)


@pytest.mark.parametrize("case", UPSTREAM["box_transforms"], ids=lambda case: "x".join(map(str, case["image_hw"])))
def test_boxes_are_those_of_upstream(case: dict[str, Any]) -> None:
    height, width = case["image_hw"]
    boxes = np.array(case["gt_normalised"] + case["proposals_normalised"])
    steps = {step["op"].split("(")[0].split(" ")[0]: step for step in case["steps"]}
    side = min(steps["Resize"]["img_shape"])
    clip = np.zeros((1, height, width, 3), np.uint8)
    scaled, pixels = inference_clip(clip, boxes, short_side=side, **PLAIN)
    assert list(scaled.shape) == [3, 1, *steps["Resize"]["img_shape"]]
    np.testing.assert_allclose(pixels, steps["Resize"]["gt"] + steps["Resize"]["proposals"], rtol=0, atol=0)
    if "Flip" not in steps:
        return
    crop = 256 if "RandomCrop" in steps else None
    x, y = steps["RandomCrop"]["crop_bbox"][:2] if crop else (0, 0)
    rng = _Draws(side, y, x, [each - (crop or 0) + 1 for each in scaled.shape[2:]])
    for flip, step in ((0.0, "RandomCrop" if crop else "Resize"), (1.0, "Flip")):
        changed, pixels = changed_clip(
            clip, boxes, INPUT, rng=rng, short_side=(side, side), crop=crop, flip=flip, colour=0.0
        )
        assert list(changed.shape[2:]) == ([256, 256] if crop else steps["Resize"]["img_shape"])
        np.testing.assert_allclose(pixels, steps[step]["gt"] + steps[step]["proposals"], rtol=0, atol=0)
        assert pixels.dtype == torch.float32


class _Draws(np.random.Generator):
    """A generator that draws a given short side and crop."""

    def __init__(self, side: int, y: int, x: int, places: list[int]) -> None:
        super().__init__(np.random.PCG64(0))
        self.side, self.draws = side, [(y + 0.5) / places[0], (x + 0.5) / places[1], 0.5]

    def integers(self, *_: Any, **__: Any) -> Any:
        return self.side

    def random(self, *_: Any, **__: Any) -> Any:
        return np.array(self.draws)


def test_normalisation() -> None:
    clip = noise(2, 32, 48)
    out, boxes = inference_clip(clip, np.zeros((0, 4)), short_side=32, mean=MEAN, std=STD)
    mean, std = (np.array(each, np.float32).reshape(3, 1, 1, 1) for each in (MEAN, STD))
    expected = (clip.transpose(3, 0, 1, 2).astype(np.float32) - mean) / std
    assert out.is_contiguous()
    assert np.array_equal(out.numpy(), expected)
    assert boxes.shape == (0, 4)


@pytest.mark.parametrize(("short_side", "size"), [(24, (24, 36)), (16, (16, 24)), (50, (50, 75)), (33, (33, 50))])
def test_scaling_is_bilinear(short_side: int, size: tuple[int, int]) -> None:
    clip = noise(3, 32, 48)
    out, _ = inference_clip(clip, np.zeros((1, 4)), short_side=short_side, **PLAIN)
    assert out.shape == (3, 3, *size)
    # The same by the definition of cv2.INTER_LINEAR, in float64.
    expected = clip.astype(np.float64)
    for axis, (old, new) in enumerate(zip((32, 48), size, strict=True), start=1):
        places = ((np.arange(new) + 0.5) * old / new - 0.5).clip(0, old - 1)
        low = np.floor(places).astype(int)
        share = (places - low).reshape([-1 if each == axis else 1 for each in range(4)])
        high = np.minimum(low + 1, old - 1)
        expected = expected.take(low, axis) * (1 - share) + expected.take(high, axis) * share
    assert np.abs(out.numpy() - expected.transpose(3, 0, 1, 2)).max() < 1.01


def test_a_crop_shows_what_its_boxes_say() -> None:
    clip = np.zeros((2, 40, 60, 3), np.uint8)
    clip[:, 20:24, 30:36] = 255
    box = np.array([[30 / 60, 20 / 40, 36 / 60, 24 / 40]])
    seen = set()
    for seed in range(60):
        out, boxes = changed_clip(
            clip, box, rng=rng_of(seed), short_side=(40, 40), **{**STILL, "crop": 32, "flip": 0.5}
        )
        assert out.shape == (3, 2, 32, 32)
        _, _, ys, xs = torch.nonzero(out, as_tuple=True)
        if len(xs):
            shown = [xs.min().item(), ys.min().item(), xs.max().item() + 1, ys.max().item() + 1]
            assert np.abs(np.array(shown) - boxes[0].numpy()).max() <= 1
        seen.add(tuple(boxes[0].tolist()))
    assert len(seen) > 40


def test_what_is_switched_off_changes_nothing_else() -> None:
    clip, boxes = noise(2, 64, 80), np.array([[0.1, 0.2, 0.8, 0.9]])
    draw: dict[str, Any] = {**STILL, "short_side": (48, 96), "crop": 40}
    plain, plain_boxes = changed_clip(clip, boxes, rng=rng_of(3), **draw)
    bright, bright_boxes = changed_clip(clip, boxes, rng=rng_of(3), **{**draw, "colour": 0.3})
    flipped, flipped_boxes = changed_clip(clip, boxes, rng=rng_of(3), **{**draw, "flip": 1.0})
    assert torch.equal(flipped, plain.flip(3))
    assert torch.equal(bright_boxes, plain_boxes)
    assert flipped_boxes[0, 0] == 40 - plain_boxes[0, 2]
    assert not torch.equal(bright, plain)
    assert torch.corrcoef(torch.stack([bright.flatten(), plain.flatten()]))[0, 1] > 0.9


def test_colour_changes_brightness_and_contrast_within_bounds() -> None:
    clip = noise(2, 32, 32) // 4 + 96
    means, spreads = [], []
    for seed in range(80):
        out, _ = changed_clip(clip, np.zeros((0, 4)), rng=rng_of(seed), short_side=(32, 32), **{**STILL, "colour": 0.2})
        assert 0 <= out.min() <= out.max() <= 255
        means.append(out.mean().item() / clip.mean())
        spreads.append(out.std().item() / clip.std())
    assert 0.8 <= min(means) < 0.85
    assert 1.15 < max(means) <= 1.2
    assert 0.63 < min(spreads) < 0.75
    assert 1.25 < max(spreads) < 1.45


def test_every_short_side_is_drawn() -> None:
    clip = noise(1, 32, 32)
    sides = {
        changed_clip(clip, np.zeros((0, 4)), rng=rng_of(seed), short_side=(30, 33), **STILL)[0].shape[2]
        for seed in range(60)
    }
    assert sides == {30, 31, 32, 33}


def test_a_crop_larger_than_the_frame_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a crop of 26 from a short side of 24$"):
        changed_clip(noise(1, 32, 32), np.zeros((0, 4)), rng=rng_of(0), short_side=(24, 30), **{**STILL, "crop": 26})


def test_a_long_side_is_limited_in_training_and_inference() -> None:
    clip, box = noise(1, 36, 86), np.array([[0.0, 0.5, 1.0, 1.0]])
    trained, boxes = changed_clip(
        clip, box, INPUT, rng=rng_of(0), short_side=(26, 26), crop=None, flip=0.0, colour=0.0, long_side=46
    )
    shown, pixels = inference_clip(clip, box, short_side=26, long_side=46, **PLAIN)
    assert trained.shape == shown.shape == (3, 1, 19, 45)
    assert torch.equal(trained, shown)
    assert boxes.tolist() == pixels.tolist() == [[0, 9.5, 45, 19]]


def test_a_square_shows_the_whole_frame_in_training_and_inference() -> None:
    clip, box = noise(1, 36, 72), np.array([[0.0, 0.5, 0.25, 1.0]])
    still = {"short_side": (24, 24), "crop": None, "flip": 0.0, "colour": 0.0}
    trained, boxes = changed_clip(clip, box, INPUT, rng=rng_of(0), shape="square", **still)
    shown, pixels = inference_clip(clip, box, short_side=24, shape="square", **PLAIN)
    assert trained.shape == shown.shape == (3, 1, 24, 24)
    assert torch.equal(trained, shown)
    assert boxes.tolist() == pixels.tolist() == [[0, 12, 6, 24]]
    assert clip_sizes({"a": (36, 72), "b": (72, 36)}, 24, None, "square") == {(24, 24): ["a", "b"]}


def test_hue_saturation_and_value_move_within_bounds_and_move_nothing_else() -> None:
    clip = np.broadcast_to(np.array([150, 90, 60], np.uint8), (1, 32, 32, 3)).copy()
    box = np.array([[0.1, 0.2, 0.8, 0.9]])
    seen = []
    for seed in range(80):
        draw: dict[str, Any] = {**STILL, "short_side": (32, 32), "flip": 0.5}
        plain, boxes = changed_clip(clip, box, rng=rng_of(seed), **draw)
        out, same = changed_clip(clip, box, rng=rng_of(seed), **{**draw, "colour": (20.0, 0.1, 0.2)})
        still, _ = changed_clip(clip, box, rng=rng_of(seed), **{**draw, "colour": (0.0, 0.0, 0.0)})
        assert torch.equal(boxes, same)
        assert torch.equal(still, plain)
        assert (out == out[:, :1, :1, :1]).all()
        seen.append(colorsys.rgb_to_hsv(*(out[:, 0, 0, 0] / 255).tolist()))
    low, high = np.min(seen, axis=0), np.max(seen, axis=0)
    np.testing.assert_allclose(low, [20 / 360 - 20 / 360, 0.6 - 0.1, 150 / 255 - 0.2], atol=0.02)
    np.testing.assert_allclose(high, [40 / 360, 0.6 + 0.1, 150 / 255 + 0.2], atol=0.02)


@pytest.mark.parametrize("long_side", [None, 40])
def test_pixels_that_are_normalised_on_their_device_have_the_same_bits(long_side: int | None) -> None:
    clip, boxes = noise(3, 40, 56), np.array([[0.1, 0.2, 0.5, 0.9]])
    expected, at = inference_clip(clip, boxes, short_side=32, long_side=long_side, mean=MEAN, std=STD)
    pixels, same = scaled_clip(clip, boxes, short_side=32, long_side=long_side)
    assert pixels.dtype == torch.uint8
    found = send_pixels(stack_pixels([pixels] * 2), torch.device("cpu"), MEAN, STD)
    assert found.is_contiguous()
    assert torch.equal(found, torch.stack([expected] * 2))
    assert torch.equal(at, same)


@pytest.mark.parametrize("colour", [{}, {"brightness": 1.2, "contrast": 0.8}, {"shift": (20.0, 0.1, -0.1)}])
def test_changed_pixels_that_are_normalised_on_their_device_have_the_same_bits(colour: dict[str, Any]) -> None:
    clip = noise(2, 40, 56)
    given: dict[str, Any] = {"brightness": 1.0, "contrast": 1.0, **colour}
    draw = ClipDraw(32, 24, 0.3, 0.6, is_flipped=True, **given)
    settings = ClipInput(frames=2, interval=1, short_side=32, mean=MEAN, std=STD)
    found = send_pixels(pixels_of(clip, draw)[None], torch.device("cpu"), MEAN, STD)
    assert torch.equal(found[0], training_clip(clip, settings, draw))


def test_a_gpu_gets_pixels() -> None:
    assert [normalises_itself(torch.device(each)) for each in ("cpu", "cuda", "cuda:1")] == [False, True, True]

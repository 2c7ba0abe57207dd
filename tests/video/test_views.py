"""Views; their numbers are compared with MMAction2's in tests/interop/test_trn_pipeline.py."""

import numpy as np
import pytest
import torch

from pipeline.video import views
from pipeline.video.settings import Views
from pipeline.video.view_input import ViewInput
from pipeline.video.views import ViewDraw, draw_view, flipped_label, scale_pairs, training_pixels, training_view

INPUT = ViewInput(short_side=32, crop=24, mean=(10, 20, 30), std=(2, 4, 5))
SETTINGS = Views(sampling="whole", scales=(1, 0.75), scales_apart=1, flip="mapped", flip_probability=0.5)
WHOLE = ViewDraw(1, 1, 4, False)


def made(frames: int = 4, height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), np.uint8)


def test_a_training_view_is_cropped_flipped_and_normalised() -> None:
    pixels = training_pixels(made(), INPUT, WHOLE)
    assert (pixels.dtype, tuple(pixels.shape)) == (torch.uint8, (4, 3, 24, 24))
    view = training_view(made(), INPUT, WHOLE)
    assert view.is_contiguous()
    assert view[1, 2, 3, 4] == (pixels[1, 2, 3, 4].float() - 30) / 5
    flipped = training_pixels(made(), INPUT, ViewDraw(1, 1, 4, True))
    assert torch.equal(flipped.flip(3), pixels)


def test_views_of_a_test_are_crops_outside_and_samplings_inside() -> None:
    pictures = made(6)
    three = views.test_pixels(pictures, INPUT, segments=3, crops="three")
    assert tuple(three.shape) == (6, 3, 3, 32, 32)
    alone = [views.test_pixels(pictures[part], INPUT, segments=3, crops="three") for part in np.split(np.arange(6), 2)]
    for crop in range(3):
        for sampling in range(2):
            assert torch.equal(three[2 * crop + sampling], alone[sampling][crop])
    centre = views.test_views(pictures, INPUT, segments=3, crops="centre")
    assert (tuple(centre.shape), centre.dtype) == ((2, 3, 3, 24, 24), torch.float32)


def test_draws_of_one_option_do_not_change_the_others() -> None:
    plain = SETTINGS.model_copy(update={"flip": "none"})
    one, other = (draw_view(np.random.default_rng(0), each) for each in (SETTINGS, plain))
    assert one.is_flipped
    assert not draw_view(np.random.default_rng(0), SETTINGS, one_sided=True).is_flipped
    assert other == ViewDraw(one.width_scale, one.height_scale, one.place, False)


def test_every_size_and_place_is_drawn() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_view(rng, SETTINGS) for _ in range(1000)]
    assert {(each.width_scale, each.height_scale) for each in drawn} == set(scale_pairs((1, 0.75), 1))
    assert {each.place for each in drawn} == set(range(views.PLACES))
    assert sum(each.is_flipped for each in drawn) == pytest.approx(500, abs=60)


def test_scales_apart() -> None:
    assert scale_pairs((1, 0.75, 0.5), 0) == [(1, 1), (0.75, 0.75), (0.5, 0.5)]
    assert scale_pairs((1, 0.75, 0.5), 1) == [
        (1, 1), (0.75, 1), (1, 0.75), (0.75, 0.75), (0.5, 0.75), (0.75, 0.5), (0.5, 0.5)
    ]  # fmt: skip


def test_a_flip_maps_the_label_only_where_it_is_asked_to() -> None:
    flips = {2: 4, 4: 2}
    flipped = ViewDraw(1, 1, 0, True)
    assert [flipped_label(each, flips, flipped, "mapped") for each in (2, 3, 4)] == [4, 3, 2]
    assert flipped_label(2, flips, flipped, "plain") == 2
    assert flipped_label(2, flips, WHOLE, "mapped") == 2

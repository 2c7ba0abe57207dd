import numpy as np

from pipeline.playground.backdrop import draw_backdrop, value_noise
from pipeline.playground.chance import stream


def test_a_texture_repeats_without_a_seam() -> None:
    noise = value_noise(np.random.default_rng(0), 30, 96, cell=12)
    assert noise.shape == (30, 96)
    assert noise.min() >= 0
    assert noise.max() <= 1
    assert np.abs(noise[:, 0] - noise[:, -1]).max() < 0.2
    backdrop = draw_backdrop(stream("a"), width=160, height=120)
    assert backdrop.picture.shape == (3, 120, backdrop.period + 160)
    assert np.array_equal(backdrop.picture[..., :160], backdrop.picture[..., backdrop.period :])
    assert backdrop.picture.std() > 5

"""Fields that sidecars leave out where they have their default; old and new sidecars come back as they were."""

from dataclasses import fields, replace

from pipeline.base.omitted_fields import is_left_out
from pipeline.checkpoint.sidecars import plain, read_settings
from pipeline.models.settings import RoiSettings
from pipeline.video.clip_input import ClipInput
from tests.checkpoint.sidecars import BASELINE, INPUT, checkpoint


def test_a_field_is_left_out_where_it_has_its_default() -> None:
    (pool,) = (each for each in fields(RoiSettings) if each.name == "pool")
    (size,) = (each for each in fields(RoiSettings) if each.name == "output_size")
    assert is_left_out(pool, "max")
    assert not is_left_out(pool, "mean")
    assert not is_left_out(size, 8)
    assert "pool" not in plain(RoiSettings())
    assert plain(RoiSettings(pool="mean"))["pool"] == "mean"


def test_what_is_left_out_is_read_as_its_default_and_a_sidecar_comes_back_as_it_was() -> None:
    clip = read_settings(ClipInput, INPUT, "input")
    assert clip.shape == "film"
    assert "shape" not in plain(clip)
    assert read_settings(ClipInput, plain(replace(clip, shape="square")), "input").shape == "square"
    assert checkpoint(BASELINE).to_json() == BASELINE
    other = {**BASELINE, "roi": {**BASELINE["roi"], "pool": "attentive"}}
    assert checkpoint(other).detector().roi.pool == "attentive"
    assert checkpoint(other).to_json() == other

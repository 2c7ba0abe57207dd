from pipeline.checkpoint.sidecars import plain, read_settings
from pipeline.params import parse_params
from pipeline.predict.settings import PredictSettings, settings_of, usual_settings
from pipeline.project.compose import compose_params
from pipeline.tables.select_boxes import BoxRule
from pipeline.video.clip_input import ClipInput
from pipeline.video.extract import FrameSettings
from tests.recipes import CONF

CLIP = ClipInput(frames=8, interval=8, short_side=256, mean=(0, 0, 0), std=(1, 1, 1))


def test_a_project_gives_what_its_stages_use() -> None:
    params = parse_params(compose_params(["evaluation.lower_threshold=true"], CONF), "conf")
    found = settings_of(params)
    assert found.frames == FrameSettings(15, 96, 90)
    assert found.rule == BoxRule(0.9, lower=True)
    assert (found.min_score, found.action_threshold, found.decode) == (0.05, 0.002, "all")
    assert plain(found.bank) == {key: plain(params.bank)[key] for key in plain(found.bank)}
    assert read_settings(PredictSettings, plain(found), "x") == found


def test_published_models_have_avas_grid_and_frames_of_their_clips() -> None:
    found = usual_settings(CLIP, decode="argmax")
    assert found.frames == FrameSettings(30.0, 256, 95)
    assert (found.rule, found.decode) == (BoxRule(0.9), "argmax")


def test_one_threshold_holds_for_scored_boxes_and_windows() -> None:
    found = usual_settings(CLIP, decode="all").at_threshold(0.02)
    assert (found.box_threshold, found.bank.box_threshold, found.min_score) == (0.02, 0.02, 0.02)
    assert usual_settings(CLIP, decode="all").at_threshold(0.5).min_score == 0.05

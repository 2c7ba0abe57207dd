"""The settings that a model is predicted with: those that it was trained and evaluated with."""

from dataclasses import dataclass, fields, replace
from typing import ClassVar, Literal

from pipeline.bank.settings import BankSettings
from pipeline.params import Params
from pipeline.tables.select_boxes import BoxRule
from pipeline.video.clip_input import ClipInput
from pipeline.video.extract import FrameSettings, frame_settings

USUAL_FPS = 30.0
"The grid of published models, whose clips AVA's 30 frames per second count."
USUAL_SCORE = 0.9


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """What a prediction depends on besides the weights, the film and its boxes."""

    __pydantic_config__: ClassVar = {"extra": "forbid", "allow_inf_nan": False}

    fps: float
    "Frames per second of the grid that clips are counted on."
    short_side: int | None
    "Of the stored frames, in pixels; None keeps the film's size."
    quality: int
    "Of the stored JPEGs."
    min_score: float
    "Boxes below it are not read."
    bank: BankSettings
    "How the rows of windows, or those that a head scores, are made."
    box_threshold: float
    "Boxes with at least this score are scored."
    lower_threshold: bool
    action_threshold: float
    "Scores at or below it are no detections."
    decode: Literal["all", "argmax"]
    compute_dtype: Literal["fp32", "tf32", "bf16"]

    @property
    def rule(self) -> BoxRule:
        """Return the rule for which boxes are scored."""
        return BoxRule(self.box_threshold, self.lower_threshold)

    @property
    def frames(self) -> FrameSettings:
        """Return the settings of the stored frames."""
        return FrameSettings(self.fps, self.short_side, self.quality)

    def at_threshold(self, score: float) -> "PredictSettings":
        """Return these settings with one threshold for the boxes that are scored and those that windows hold."""
        bank = replace(self.bank, box_threshold=score)
        return replace(self, box_threshold=score, bank=bank, min_score=min(self.min_score, score))


def settings_of(params: Params) -> PredictSettings:
    """Return the settings of a project."""
    stored, scored = frame_settings(params.frames), params.evaluation
    bank = BankSettings(**{each.name: getattr(params.bank, each.name) for each in fields(BankSettings)})
    return PredictSettings(
        fps=stored.fps,
        short_side=stored.short_side,
        quality=stored.quality,
        min_score=params.boxes.min_score,
        bank=bank,
        box_threshold=scored.box_threshold,
        lower_threshold=scored.lower_threshold,
        action_threshold=scored.action_threshold,
        decode=scored.decode,
        compute_dtype=scored.compute_dtype,
    )


def usual_settings(clip: ClipInput, *, decode: Literal["all", "argmax"]) -> PredictSettings:
    """Return the settings of a checkpoint without a project: AVA's grid, frames of the clip's size, boxes from 0.9 on.

    Args:
        clip: the clip that the model expects.
        decode: see `PredictSettings`.
    """
    bank = BankSettings(
        box_threshold=USUAL_SCORE,
        seconds="grid",
        dtype="fp32",
        codec="none",
        compute_dtype="fp32",
        lower_threshold=False,
        full_frame_box=False,
    )
    return PredictSettings(
        fps=USUAL_FPS,
        short_side=clip.short_side,
        quality=95,
        min_score=0.05,
        bank=bank,
        box_threshold=USUAL_SCORE,
        lower_threshold=False,
        action_threshold=0.002,
        decode=decode,
        compute_dtype="fp32",
    )

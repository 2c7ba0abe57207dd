"""A trained checkpoint that scores persons, from rows of a bank or from frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.base.hardware import Hardware
from pipeline.base.numerics import set_numerics
from pipeline.checkpoint.build_scope import build_scope_head, scored_detector
from pipeline.checkpoint.sidecars import Checkpoint, HandedOn
from pipeline.checkpoint.specs import HeadSpec
from pipeline.checkpoint.weights import load_into
from pipeline.features.film_clips import FORWARD_KEYFRAMES
from pipeline.models.context import WindowOf
from pipeline.models.detector import Detector
from pipeline.models.heads.head import Head
from pipeline.models.standardise import StandardisedHead
from pipeline.scoring.detections import ScoredKeyframe
from pipeline.scoring.keyframe_rows import SCORING_BATCH, KeyframeRows, score_rows
from pipeline.scoring.score_films import score_films
from pipeline.scoring.settings import ScoreSettings, score_settings
from pipeline.tables.keyframes import KeyframeBoxes
from pipeline.video.store import FrameStore


@dataclass(frozen=True)
class Predictor:
    """Computes scores of actions, [n, classes] for the n boxes of each keyframe.

    A checkpoint of scope head scores rows of a bank (`score_rows`); one of scope all scores clips (`score_films`). If
    the head reads the bank, both need windows.
    """

    spec: HeadSpec | HandedOn
    model: Head | StandardisedHead | Detector
    "In evaluation mode, on the device of `hardware`."
    hardware: Hardware
    compute_dtype: str
    "fp32, tf32 or bf16."
    one_by_one: bool = False
    "Whether each keyframe is forwarded alone; a matrix product of several rounds differently."

    def score_rows(self, rows: KeyframeRows, window_of: WindowOf | None = None) -> list[ScoredKeyframe]:
        """See `pipeline.scoring.keyframe_rows.score_rows`."""
        many = 1 if self.one_by_one else SCORING_BATCH
        return score_rows(self.model, rows, self._settings(window_of), at_a_time=many)

    def score_films(
        self, store: FrameStore, keyframes: Sequence[KeyframeBoxes], window_of: WindowOf | None = None
    ) -> dict[str, list[ScoredKeyframe]]:
        """See `pipeline.scoring.score_films.score_films`."""
        assert isinstance(self.model, Detector)
        settings = self._settings(window_of)
        return score_films(
            self.model, store, keyframes, settings, clip=self.spec.clip, batch=self.hardware.batch,
            at_a_time=self.keyframes,
        )  # fmt: skip

    @property
    def keyframes(self) -> int:
        """Return how many clips one forward pass has."""
        return 1 if self.one_by_one else FORWARD_KEYFRAMES

    def _settings(self, window_of: WindowOf | None) -> ScoreSettings:
        return score_settings(self.spec.labels, self.hardware.device, self.compute_dtype, window_of)


def make_predictor(
    tensors: dict[str, torch.Tensor], checkpoint: Checkpoint, hardware: Hardware, *, compute_dtype: str
) -> Predictor:
    """Build a predictor from loaded weights; sets the precision and CPU threads of this process.

    Raises:
        InputError: it is another kind of checkpoint, or the weights do not fit it.
    """
    spec = checkpoint.scored()
    set_numerics(compute_dtype=compute_dtype, deterministic=False, threads=spec.threads)
    model: Head | StandardisedHead | Detector
    where = checkpoint.where.removesuffix(".json") + ".safetensors"
    if isinstance(spec, HeadSpec) and spec.scope == "head":
        model = build_scope_head(spec)
    else:
        model = scored_detector(spec, Path(where))
    load_into(model, tensors, where)
    model.eval().to(hardware.device)
    return Predictor(spec, model, hardware, compute_dtype)

"""Settings that a bank's bytes depend on, besides the model and the films; `params.yaml` holds them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge

from pipeline.tables.select_boxes import BoxRule


@dataclass(frozen=True, kw_only=True)
class BankSettings:
    """How the rows of a bank are chosen, computed and stored."""

    __pydantic_config__: ClassVar = {"extra": "forbid", "allow_inf_nan": False}

    box_threshold: float
    "Detected boxes with at least this score are stored; a window may ask for a higher score, never for a lower one."
    seconds: Literal["grid", "annotated"]
    "grid: every second of the film; annotated: only annotated keyframes, as upstream does."
    dtype: Literal["fp16", "fp32"]
    codec: Literal["none", "zstd", "lz4"]
    compute_dtype: Literal["fp32", "tf32", "bf16"]
    objects: Annotated[int, Ge(0)] = 5
    "Rows of objects that are stored of each second, the best by score; 0 for none."
    lower_threshold: bool
    "As upstream: if no box of a second reaches the threshold, take its best ones."
    full_frame_box: bool
    "As upstream: a second without any proposal gets one box that covers the whole frame."

    @property
    def rule(self) -> BoxRule:
        """The rule that selects the detected boxes to store."""
        return BoxRule(self.box_threshold, self.lower_threshold, self.full_frame_box)

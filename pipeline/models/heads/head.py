"""What every head is: an optional shared part, dropout, pooling and a classifier.

A head gets the RoI features of persons and a context with what else it may ask for. A head is a function
(`linear`, `lfb_nl`, ...) that returns a `Head`; the table of them is `pipeline/models/heads/table.py`.

Shape suffixes of names: R persons (RoIs), B clips (keyframes), L slots of a bank window, C channels.
"""

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn

from pipeline.models.roi import pool_roi

Mask = Literal["none", "valid"]
Span = Literal["past", "centred", "future"]


@dataclass(frozen=True)
class HeadContext:
    """What a head may ask for beside the RoI features of the persons.

    All persons of a keyframe share its window, which is held once, unless each was given its own (`window_index`).
    """

    clip_index: Tensor
    "[R], integer: the clip of each person."
    window: Tensor | None = None
    "[B, L, C_bank]: rows of the bank around each keyframe, in order of time; empty slots hold zeros."
    window_mask: Tensor | None = None
    "[B, L], bool: True where a slot holds a row."
    window_index: Tensor | None = None
    "[R], integer: the window of each person; None: that of its clip. `read_window` gives it."
    feature_map: Tensor | None = None
    "[B, C_map, h, w]: the backbone's map of each clip, pooled over time (`pool_time`)."


@dataclass(frozen=True, kw_only=True)
class HeadSettings:
    """What every head is told; its own options are arguments of its function."""

    roi_channels: int
    "Channels of a person's feature (C_roi)."
    bank_channels: int
    "Channels of a bank row (C_bank), which may come from another model; 0 where no bank is read."
    classes: int
    "Columns of the logits, with that of the background where there is one."
    map_channels: int = 0
    "Channels of the feature map (C_map); 0 where there is none, as in training on stored features."
    dropout: float = 0.5
    "Before the classifier; on RoI maps it acts before they are pooled, as upstream."
    feature_dropout: float = 0.0
    "On what the head reads: the persons' features and the rows of the window, channel by channel."
    mask: Mask = "valid"
    "none: empty slots are zeros that take part, as published; valid: they are ignored."
    mlp: bool = False
    "A hidden layer of the same width, with ReLU, before the classifier (MMAction2 `mlp_head`)."
    window_seconds: int = 0
    "Length of the window; 0 where no bank is read."
    span: Span = "centred"
    "The keyframe's own second is the last of the window (past), the first (future), or number window_seconds // 2."
    per_second: int = 0
    "Slots of each second of the window."


class Head(nn.Module):
    """Logits of persons (MMAction2 `BBoxHeadAVA`, behind a `shared_head` where there is one).

    Attributes:
        needs: fields of `HeadContext` that must be there.
        scopes: "head" where it can train on pooled rows, "all" where it can train with the detector.
    """

    needs: frozenset[str]
    scopes: frozenset[str]
    classifier: nn.Linear | nn.Sequential

    def __init__(
        self,
        shared: nn.Module | None,
        settings: HeadSettings,
        *,
        channels: int,
        needs: frozenset[str] = frozenset(),
        scopes: frozenset[str] = frozenset({"head", "all"}),
    ) -> None:
        """Put the parts together.

        Args:
            shared: `shared(roi, context)` returns rows [R, channels] or maps [R, channels, T, h, w]; None
                hands the RoI features on.
            settings: see `HeadSettings`.
            channels: what enters the classifier.
            needs: fields of `HeadContext` that `shared` reads.
            scopes: see the class.
        """
        super().__init__()
        self.shared = shared
        self.feature_dropout = nn.Dropout(settings.feature_dropout)
        self.dropout = nn.Dropout(settings.dropout)
        last = nn.Linear(channels, settings.classes)
        self.classifier = (
            nn.Sequential(nn.Linear(channels, channels), nn.ReLU(inplace=True), last) if settings.mlp else last
        )
        self.needs = needs
        self.scopes = scopes
        for module in self.classifier.modules():
            if isinstance(module, nn.Linear):
                if not module.weight.is_meta:  # see `_conv3d`
                    nn.init.xavier_normal_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, roi: Tensor, context: HeadContext) -> Tensor:
        """Logits [R, classes].

        Args:
            roi: RoI maps [R, C_roi, 1, h, w], or rows that are already pooled, [R, C_roi].
            context: see `HeadContext`.

        Raises:
            ValueError: the context lacks what the head needs.
        """
        for name in sorted(self.needs):
            if getattr(context, name) is None:
                raise ValueError(f"this head needs {name}, the context has none")
        if self.feature_dropout.p:
            roi = self.feature_dropout(roi)
            if context.window is not None:
                context = replace(context, window=self.feature_dropout(context.window))
        features = roi if self.shared is None else self.shared(roi, context)
        logits: Tensor = self.classifier(pool_persons(self.dropout(features)))
        return logits


def pool_persons(roi: Tensor) -> Tensor:
    """Rows [R, C] of RoI maps [R, C, T, h, w]; rows are handed on."""
    return pool_roi(roi) if roi.dim() == 5 else roi


def read_window(context: HeadContext, mask: Mask, like: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
    """The windows in the type of `like`, the mask that counts (None where `mask` is none), and each person's window.

    Raises:
        ValueError: there is no window, or mask is valid and no window_mask fits the window.
    """
    window = context.window
    if window is None:
        raise ValueError("this head needs window, the context has none")
    index = context.clip_index if context.window_index is None else context.window_index
    if mask == "none":
        return window.to(like.dtype), None, index
    valid = context.window_mask
    if valid is None or valid.shape != window.shape[:2]:
        found = "none" if valid is None else f"one of {tuple(valid.shape)}"
        raise ValueError(f"mask valid needs a window_mask of {tuple(window.shape[:2])}, the context has {found}")
    return window.to(like.dtype), valid, index

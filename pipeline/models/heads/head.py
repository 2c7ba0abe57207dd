"""The form of every head: an optional shared part, dropout, pooling and a classifier.

A head gets the RoI features of persons, and a context with everything else that it may read. A head is a function
(`linear`, `lfb_nl`, ...) that returns a `Head`; `pipeline/models/heads/table.py` lists them.

Shape suffixes of names: R persons (RoIs), C channels; for those of a context see `pipeline/models/context.py`.
"""

from dataclasses import dataclass, replace

from torch import Tensor, nn

from pipeline.models.context import BankWindow, Context, drop_values
from pipeline.models.roi import pool_roi
from pipeline.models.settings import Mask, WindowSettings
from pipeline.tables.window_span import Span


@dataclass(frozen=True, kw_only=True)
class HeadSettings:
    """The settings that every head gets; a head's own options are arguments of its function."""

    roi_channels: int
    "Channels of a person's feature (C_roi)."
    bank_channels: int
    "Channels of a bank row (C_bank), which may come from another model; 0 where no bank is read."
    classes: int
    "Columns of the logits, including the background column if there is one."
    map_channels: int = 0
    "Channels of the feature map (C_map); 0 where there is none, as in training on stored features."
    dropout: float = 0.5
    "Dropout before the classifier; on RoI maps it acts before they are pooled, as upstream."
    feature_dropout: float = 0.0
    "Dropout of the head's inputs: the features of persons and objects and the rows of the window, per element."
    mask: Mask = "valid"
    "none: empty slots are zeros that take part, as published; valid: empty slots are ignored."
    mlp: bool = False
    "A hidden layer of the same width, with ReLU, before the classifier (MMAction2 `mlp_head`)."
    window_seconds: int = 0
    "Length of the window; 0 where no bank is read."
    span: Span = WindowSettings.span
    "The keyframe's own second is the last of the window (past), the first (future), or number window_seconds // 2."
    per_second: int = 0
    "Slots of each second of the window."
    exclude_keyframe: bool = False
    "The slots of the keyframe's own second stay empty."
    objects: int = 0
    "Places for the objects of a keyframe; 0 where none are read."


class Head(nn.Module):
    """Computes logits of persons (MMAction2 `BBoxHeadAVA`, after a `shared_head` if there is one).

    Attributes:
        needs: fields of `Context` that must not be None.
        scopes: contains "head" if it can train on pooled rows, "all" if it can train with the detector.
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
        bias: bool = True,
    ) -> None:
        """Put the parts together.

        Args:
            shared: `shared(roi, context)` returns rows [R, channels] or maps [R, channels, T, h, w]; None
                passes the RoI features on unchanged.
            settings: see `HeadSettings`.
            channels: channels of the classifier's input.
            needs: fields of `Context` that `shared` reads.
            scopes: see the class.
            bias: of the classifier's last layer.
        """
        super().__init__()
        self.shared = shared
        self.feature_dropout = nn.Dropout(settings.feature_dropout)
        self.dropout = nn.Dropout(settings.dropout)
        last = nn.Linear(channels, settings.classes, bias=bias)
        self.classifier = (
            nn.Sequential(nn.Linear(channels, channels), nn.ReLU(inplace=True), last) if settings.mlp else last
        )
        self.needs = needs
        self.scopes = scopes
        for module in self.classifier.modules():
            if isinstance(module, nn.Linear):
                if not module.weight.is_meta:  # see `_conv3d`
                    nn.init.xavier_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, roi: Tensor, context: Context) -> Tensor:
        """Compute logits [R, classes].

        Args:
            roi: RoI maps [R, C_roi, 1, h, w], or rows that are already pooled, [R, C_roi].
            context: see `Context`.

        Raises:
            ValueError: the context lacks what the head needs.
        """
        for name in sorted(self.needs):
            if getattr(context, name) is None:
                raise ValueError(f"this head needs {name}, the context has none")
        if self.feature_dropout.p and self.training:
            roi = self.feature_dropout(roi)
            if context.window is not None:
                context = replace(context, window=drop_values(context.window, self.feature_dropout.p))
            if context.objects is not None:
                rows = self.feature_dropout(context.objects.rows)
                context = replace(context, objects=replace(context.objects, rows=rows))
        features = roi if self.shared is None else self.shared(roi, context)
        logits: Tensor = self.classifier(pool_persons(self.dropout(features)))
        return logits


def pool_persons(roi: Tensor) -> Tensor:
    """Pool RoI maps [R, C, T, h, w] into rows [R, C]; rows are returned unchanged."""
    return pool_roi(roi) if roi.dim() == 5 else roi


def context_window(context: Context) -> BankWindow:
    """Return the windows of a context.

    Raises:
        ValueError: there are none.
    """
    if context.window is None:
        raise ValueError("this head needs window, the context has none")
    return context.window


def read_window(context: Context, mask: Mask, like: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
    """Return the windows in the type of `like`, their mask (None if `mask` is none), and the window of each person.

    Returns:
        Rows [W, L, C_bank], mask bool [W, L], and window of each person, int64 [R].

    Raises:
        ValueError: there is no window.
    """
    window = context_window(context)
    return window.whole(like.dtype), None if mask == "none" else window.mask, window.owner

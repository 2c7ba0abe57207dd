"""Foreign checkpoints into ours: backbones to start from, and detectors that the stages take as they are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.interop.conversion import Background, ConversionReport, fit_state
from pipeline.interop.frameworks import Foreign
from pipeline.interop.match import MatchedBackbone, MatchedHead, match_backbone, match_head, unseen
from pipeline.models.detector import Detector
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.models.roi import RoiSettings, roi_channels

# MMAction2's and Wu et al.'s on AVA: from 30 s before the keyframe, empty slots take part as zeros.
PUBLISHED_WINDOW = {"seconds": 60, "per_second": 5, "mask": "none", "score": 0.9}


@dataclass(frozen=True)
class DetectorSettings:
    """What weights do not tell of a detector: from a recipe, or the defaults of its backbone."""

    input: Mapping[str, Any]
    "What the backbone sees: frames, interval, short_side, offset_frames, mean, std."
    roi: RoiSettings
    labels: str
    "multi or single."
    background_column: bool
    "Single: column 0 is of no action and takes part in the softmax."
    dropout: float
    heads: tuple[str, ...] = ()
    "The heads that the user names, if any: the weights must be of one; lfb_max and lfb_avg leave no other trace."
    classes: int | None = None
    "Actions that the recipe's data set has."
    window: Mapping[str, Any] | None = None
    "Of a head that reads a bank; None takes the published one."
    threads: int = 1


@dataclass(frozen=True)
class Converted:
    """A checkpoint of ours."""

    tensors: dict[str, Tensor]
    sidecar: dict[str, Any]
    report: ConversionReport
    notes: list[str]


def split_weights(foreign: Foreign, drop_heads: Sequence[str]) -> tuple[dict[str, Tensor], set[str]]:
    """The weights under our names, and the keys of the source that are left out.

    Args:
        foreign: what was recognised.
        drop_heads: prefixes of keys to leave out; a classifier's own head is left out anyhow.

    Raises:
        InputError: a prefix fits no key, or takes the backbone.
    """
    prefixes = [*drop_heads, *([foreign.head] if foreign.kind == "classifier" else [])]
    dropped = set()
    for prefix in prefixes:
        keys = {key for key in foreign.tensors if key.startswith(prefix)}
        if not keys:
            raise InputError(f"--drop-head {prefix}: no key of the checkpoint begins so")
        if any((foreign.rename(key) or "").startswith("backbone.") for key in keys):
            raise InputError(f"--drop-head {prefix}: that is the backbone, not a head")
        dropped |= keys
    ours = {foreign.rename(key): value for key, value in foreign.tensors.items() if key not in dropped}
    return {key: value for key, value in ours.items() if key is not None}, dropped


def convert(
    foreign: Foreign,
    settings_for: Callable[[str], DetectorSettings],
    *,
    backbone: str | None = None,
    drop_heads: Sequence[str] = (),
    background: Background | None = None,
) -> Converted:
    """Convert what was recognised.

    A file with a head that scores persons becomes a detector, any other a backbone (keys without `backbone.`).

    Args:
        foreign: what was recognised.
        settings_for: what a detector's weights do not tell, by the name of its backbone; asked for detectors only.
        backbone: the backbone to expect; None tells it by keys and shapes.
        drop_heads: see `split_weights`.
        background: what happens to row 0 of the classifier; None drops it from MMAction2's multi-label models, where
            it is of no class, and keeps every other.

    Raises:
        InputError: the weights fit no network or not the expected one, or keys are left over.
    """
    ours, dropped = split_weights(foreign, drop_heads)
    matched = match_backbone(
        {key: value for key, value in ours.items() if key.startswith("backbone.")},
        family="pyslowfast" if foreign.framework == "pyslowfast" else "",
        name=backbone or foreign.sidecar.get("backbone"),
    )
    head_weights = {key: value for key, value in ours.items() if key.startswith("head.")}
    if head_weights:
        return _detector(foreign, matched, head_weights, settings_for(matched.name), dropped, background)
    expected = {f"backbone.{key}": value for key, value in matched.network.state_dict().items()}
    state, report = _fit(foreign, expected, dropped, "keep")
    tensors = {key.removeprefix("backbone."): value for key, value in state.items()}
    sidecar = {"kind": "backbone", "backbone": matched.name, "width": matched.width}
    return Converted(tensors, sidecar, report, [*foreign.notes, *unseen(matched)])


def _fit(
    foreign: Foreign, expected: Mapping[str, Tensor], dropped: set[str], background: Background
) -> tuple[dict[str, Tensor], ConversionReport]:
    try:
        state, report = fit_state(foreign.tensors, expected, foreign.rename, background=background, drop=dropped)
    except InputError as error:
        raise InputError(f"{error}; --drop-head PREFIX leaves a head out and writes a backbone") from None
    return state, ConversionReport(**{**asdict(report), "dropped": (*report.dropped, *foreign.no_weights)})


def _detector(
    foreign: Foreign,
    backbone: MatchedBackbone,
    weights: Mapping[str, Tensor],
    settings: DetectorSettings,
    dropped: set[str],
    background: Background | None,
) -> Converted:
    multi = settings.labels == "multi"
    if background is None:
        background = "drop" if foreign.framework == "mmaction2" and multi else "keep"
    head = match_head(weights, backbone.network, settings.roi, told=settings.heads)
    if settings.heads and head.name not in settings.heads:
        raise InputError(f"the weights are of head {head.name}, expected {' or '.join(settings.heads)}")
    columns = head.columns - (background == "drop")
    classes = columns - (settings.background_column and not multi)
    if settings.classes is not None and classes != settings.classes:
        raise InputError(
            f"the classifier has {head.columns} rows, so {classes} classes, expected {settings.classes}; see "
            "--background and --set labels.background"
        )
    channels = roi_channels(backbone.network.out_channels, settings.roi)
    with torch.device("meta"):
        built = build_head(
            head.name,
            HeadSettings(
                roi_channels=channels,
                bank_channels=head.bank_channels,
                map_channels=backbone.network.out_channels,
                classes=columns,
                mlp=head.mlp,
            ),
            head.options,
        )
    detector = Detector(backbone.network, built, roi=settings.roi)
    state, report = _fit(foreign, detector.state_dict(), dropped, background)
    notes = [*foreign.notes, *unseen(backbone)]
    notes.append(f"{classes} classes, {settings.labels}-label" + _background_note(foreign, background, multi))
    notes.append(
        f"RoIAlign {settings.roi.output_size}x{settings.roi.output_size}, aligned {settings.roi.aligned}, "
        f"temporal {settings.roi.temporal}, context {settings.roi.context}"
    )
    sidecar: dict[str, Any] = {
        "kind": "detector",
        "backbone": backbone.name,
        "width": backbone.width,
        "roi": asdict(settings.roi),
        "head": {"name": head.name, "mlp": head.mlp, "options": head.options},
        "columns": columns,
        "classes": classes,
        "labels": {"kind": settings.labels, "background": settings.background_column},
        "channels": channels,
        "input": dict(settings.input),
        "dropout": settings.dropout,
        "background_row": _background_row(foreign, background, multi),
    }
    if head.bank_channels:
        sidecar |= _bank_reader(settings, head, channels)
        window = sidecar["head"]["window"]
        notes.append(
            f"window {window['seconds']} s, {window['per_second']} rows per second of score {window['score']}, "
            f"mask {window['mask']}"
        )
        notes.append("the bank it was trained with is not known: evaluate it with bank.allow_mixed=true")
    return Converted(state, sidecar, report, notes)


def _background_row(foreign: Foreign, background: Background, multi: bool) -> str:
    """dropped, kept (a column of ours) or none; `export` makes the way back of it."""
    if foreign.framework == "ours":
        return str(foreign.sidecar.get("background_row", "none"))
    if background == "drop":
        return "dropped"
    return "kept" if foreign.framework == "mmaction2" and multi else "none"


def _background_note(foreign: Foreign, background: Background, multi: bool) -> str:
    if background == "drop":
        return "; row 0 of the classifier, the background, is dropped"
    return "; row 0 of the classifier is kept" if foreign.framework == "mmaction2" and multi else ""


def _bank_reader(settings: DetectorSettings, head: MatchedHead, channels: int) -> dict[str, Any]:
    """What the sidecar of a trained head in scope all has beside a baseline's."""
    return {
        "scope": "all",
        "head": {
            "name": head.name,
            "mlp": head.mlp,
            "options": head.options,
            "reads": "bank",
            "window": dict(settings.window or PUBLISHED_WINDOW),
            "standardise": "none",
        },
        "roi_channels": channels,
        "bank_channels": head.bank_channels,
        "feature_dropout": 0.0,
        "threads": settings.threads,
        "producer": None,
        "baseline": None,
        "banks": {},
        "mixed_banks": {},
    }

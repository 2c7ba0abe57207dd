"""Convert foreign checkpoints to ours: backbones to start from, and detectors that the stages take unchanged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.checkpoint.sidecars import Checkpoint, Record
from pipeline.checkpoint.specs import BackboneSpec, DetectorSpec, FeatureSource, HeadSpec, head_spec
from pipeline.interop.conversion import ConversionReport, fit_state
from pipeline.interop.exchange_options import Background
from pipeline.interop.foreign_checkpoint import Foreign
from pipeline.interop.match import FAMILIES, MatchedBackbone, MatchedHead, match_backbone, match_head, unseen
from pipeline.models.build import BASELINE_HEADS
from pipeline.models.detector import Detector
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.models.roi import roi_channels
from pipeline.models.settings import BaselineHead, Labels, LongTermHead, ObjectSettings, RoiSettings, WindowSettings
from pipeline.video.clip_input import ClipInput

# The window of MMAction2 and Wu et al. on AVA: it starts 30 s before the keyframe; empty slots take part as zeros.
PUBLISHED_WINDOW = WindowSettings(seconds=60, per_second=5, mask="none", score=0.9)
# AlphAction's: 30 s before and behind the keyframe's, persons of at least this score, and the five best objects.
AIA_WINDOW = WindowSettings(seconds=61, per_second=5, mask="none", score=0.8)
AIA_OBJECTS = ObjectSettings(per_keyframe=5, score=0.0)
# Settings that the sidecar leaves out: those that only a training needs, and window defaults that no source states.
NOT_TOLD = frozenset({"labels.several", "labels.unlabelled"})
NOT_TOLD_OF_HEAD = frozenset({"head.banks"})
NOT_TOLD_OF_WINDOW = frozenset({"head.window.span", "head.window.exclude_keyframe", "head.window.draw"})


@dataclass(frozen=True)
class DetectorSettings:
    """Settings of a detector that its weights do not show: from a recipe, or the defaults of its backbone."""

    input: ClipInput
    roi: RoiSettings
    labels: Labels
    dropout: float
    heads: tuple[str, ...] = ()
    "The heads that the user names, if any: the weights must fit one. Weights do not tell lfb_max from lfb_avg."
    classes: int | None = None
    "Number of actions in the recipe's data set."
    window: WindowSettings | None = None
    "The window of a head that reads a bank; None takes the published one."
    objects: ObjectSettings | None = None
    "The objects of a head that reads them; None takes the published ones."
    threads: int = 1


@dataclass(frozen=True)
class Converted:
    """A converted checkpoint in our form."""

    tensors: dict[str, Tensor]
    checkpoint: Checkpoint
    report: ConversionReport
    notes: list[str]


def split_weights(foreign: Foreign, drop_heads: Sequence[str]) -> tuple[dict[str, Tensor], set[str]]:
    """Return the weights under our names, and the keys of the source that are left out.

    Args:
        foreign: the recognised checkpoint.
        drop_heads: prefixes of keys to leave out; a classifier's own head is always left out.

    Raises:
        InputError: a prefix matches no key, or matches the backbone.
    """
    prefixes = [*drop_heads, *([foreign.head] if foreign.head and foreign.kind in ("classifier", "frames") else [])]
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
    """Convert a recognised checkpoint.

    A file with a head that scores persons becomes a detector, any other file a backbone (keys without `backbone.`).

    Args:
        foreign: the recognised checkpoint.
        settings_for: returns the settings that a detector's weights do not show, by the name of its backbone; called
            for detectors only.
        backbone: the expected backbone; None finds it by keys and shapes.
        drop_heads: see `split_weights`.
        background: drop or keep row 0 of the classifier; None drops it from MMAction2's multi-label models, where it
            belongs to no class, and keeps it in all others.

    Raises:
        InputError: the weights fit no network, or not the expected one; or keys are left over.
    """
    ours, dropped = split_weights(foreign, drop_heads)
    matched = match_backbone(
        {key: value for key, value in ours.items() if key.startswith("backbone.")},
        family=foreign.framework if foreign.framework in FAMILIES else "",
        name=backbone or _known_backbone(foreign),
    )
    head_weights = {key: value for key, value in ours.items() if key.startswith("head.")}
    if head_weights:
        return _detector(foreign, matched, head_weights, settings_for(matched.name), dropped, background)
    expected = {f"backbone.{key}": value for key, value in matched.network.state_dict().items()}
    state, report = _fit(foreign, expected, dropped, "keep")
    tensors = {key.removeprefix("backbone."): value for key, value in state.items()}
    checkpoint = Checkpoint(spec=BackboneSpec(backbone=matched.name, width=matched.width))
    return Converted(tensors, checkpoint, report, [*foreign.notes, *unseen(matched)])


def _known_backbone(foreign: Foreign) -> str | None:
    spec = foreign.checkpoint.spec if foreign.checkpoint else None
    return spec.backbone if isinstance(spec, BackboneSpec | DetectorSpec | HeadSpec) else None


def _fit(
    foreign: Foreign, expected: Mapping[str, Tensor], dropped: set[str], background: Background
) -> tuple[dict[str, Tensor], ConversionReport]:
    try:
        state, report = fit_state(foreign.tensors, expected, foreign.rename, background=background, drop=dropped)
    except InputError as error:
        raise InputError(f"{error}; --drop-head PREFIX leaves a head out and writes a backbone") from None
    made = tuple(foreign.rename(key) or key for key in foreign.made)
    changed = {
        "loaded": tuple(key for key in report.loaded if key not in foreign.made),
        "dropped": (*report.dropped, *foreign.no_weights),
        "made": (*report.made, *made),
    }
    return state, replace(report, **changed)


def _built_head(head: MatchedHead, backbone: MatchedBackbone, channels: int, columns: int) -> Head:
    """Build the head on the meta device, as only the keys and shapes of its weights are needed."""
    with torch.device("meta"):
        return build_head(
            head.name,
            HeadSettings(
                roi_channels=channels,
                bank_channels=head.bank_channels,
                map_channels=backbone.network.out_channels,
                classes=columns,
                mlp=head.mlp,
                window_seconds=head.window_seconds,
                per_second=AIA_WINDOW.per_second if head.window_seconds else 0,
                objects=AIA_OBJECTS.per_keyframe if head.objects else 0,
            ),
            head.options,
        )


def _not_told(labels: Labels) -> frozenset[str]:
    """Return the keys that a sidecar leaves out, whatever its head."""
    return NOT_TOLD if labels.groups else NOT_TOLD | {"labels.groups"}


def _detector(
    foreign: Foreign,
    backbone: MatchedBackbone,
    weights: Mapping[str, Tensor],
    settings: DetectorSettings,
    dropped: set[str],
    background: Background | None,
) -> Converted:
    multi = settings.labels.kind != "single"
    if background is None:
        background = "drop" if foreign.framework == "mmaction2" and multi else "keep"
    head = match_head(weights, backbone.network, settings.roi, told=settings.heads)
    if settings.heads and head.name not in settings.heads:
        raise InputError(f"the weights are of head {head.name}, expected {' or '.join(settings.heads)}")
    columns = head.columns - (background == "drop")
    classes = columns - (settings.labels.background and not multi)
    if settings.classes is not None and classes != settings.classes:
        raise InputError(
            f"the classifier has {head.columns} rows, so {classes} classes, expected {settings.classes}; see "
            "--background and --set labels.background"
        )
    channels = roi_channels(backbone.network.out_channels, settings.roi)
    detector = Detector(backbone.network, _built_head(head, backbone, channels, columns), roi=settings.roi)
    state, report = _fit(foreign, detector.state_dict(), dropped, background)
    notes = [*foreign.notes, *unseen(backbone)]
    notes.append(f"{classes} classes, {settings.labels.kind}-label" + _background_note(foreign, background, multi))
    notes.append(
        f"RoIAlign {settings.roi.output_size}x{settings.roi.output_size}, aligned {settings.roi.aligned}, "
        f"temporal {settings.roi.temporal}, context {settings.roi.context}"
        + (f", boxes extended by {settings.roi.extend_x} and {settings.roi.extend_y}" if settings.roi.extend_x else "")
    )
    record: Record = {"channels": channels, "background_row": _background_row(foreign, background, multi)}
    spec = DetectorSpec(
        backbone=backbone.name,
        width=backbone.width,
        input=settings.input,
        roi=settings.roi,
        head=BaselineHead(name=head.name, mlp=head.mlp, options=head.options),
        labels=settings.labels,
        columns=columns,
        classes=classes,
        dropout=settings.dropout,
    )
    if head.name in BASELINE_HEADS:
        return Converted(state, Checkpoint(spec=spec, record=record, absent=_not_told(settings.labels)), report, notes)
    absent = _not_told(settings.labels) | NOT_TOLD_OF_HEAD
    window = _window(head, settings)
    if window:
        absent |= frozenset() if settings.window else NOT_TOLD_OF_WINDOW
    objects = settings.objects or AIA_OBJECTS if head.objects else None
    notes += _reads(head, window, objects)
    record |= {"producer": None, "baseline": None, "banks": {}, "mixed_banks": {}}
    reader = _long_term(spec, head, channels, window=window, objects=objects, threads=settings.threads)
    return Converted(state, Checkpoint(spec=reader, record=record, absent=absent), report, notes)


def _window(head: MatchedHead, settings: DetectorSettings) -> WindowSettings | None:
    """Return the window of the head; None if it reads none.

    Raises:
        InputError: the weights show another length than the settings say.
    """
    if not head.bank_channels:
        return None
    window = settings.window or (AIA_WINDOW if head.window_seconds else PUBLISHED_WINDOW)
    if not head.window_seconds or head.window_seconds == window.seconds:
        return window
    if settings.window:
        raise InputError(
            f"the weights have codes of {head.window_seconds} seconds, expected those of the window's {window.seconds}"
        )
    return replace(window, seconds=head.window_seconds)


def _reads(head: MatchedHead, window: WindowSettings | None, objects: ObjectSettings | None) -> list[str]:
    """Return lines on what the head reads, and what is assumed of it."""
    lines = []
    if "order" in head.options:
        lines.append(f"blocks {head.options['order']}, in the order of their keys")
    if objects:
        lines.append(f"the {objects.per_keyframe} best objects of a keyframe, of score {objects.score}")
    if window:
        lines.append(
            f"window {window.seconds} s, {window.per_second} rows per second of score {window.score}, "
            f"mask {window.mask}"
        )
        lines.append("the bank it was trained with is not known: evaluate it with bank.allow_mixed=true")
    return lines


def _background_row(foreign: Foreign, background: Background, multi: bool) -> Literal["dropped", "kept", "none"]:
    """Return dropped, kept (row 0 is a column of ours) or none; `export` uses it for the way back."""
    if foreign.framework == "ours":
        return foreign.checkpoint.record.get("background_row", "none") if foreign.checkpoint else "none"
    if background == "drop":
        return "dropped"
    return "kept" if foreign.framework == "mmaction2" and multi else "none"


def _background_note(foreign: Foreign, background: Background, multi: bool) -> str:
    if background == "drop":
        return "; row 0 of the classifier, the background, is dropped"
    return "; row 0 of the classifier is kept" if foreign.framework == "mmaction2" and multi else ""


def _long_term(
    spec: DetectorSpec,
    matched: MatchedHead,
    channels: int,
    *,
    window: WindowSettings | None,
    objects: ObjectSettings | None,
    threads: int,
) -> HeadSpec:
    """Return the spec of a trained head in scope all; another model may have made the bank."""
    told = {**vars(spec.head)}
    if not window:
        told["options"] = {**matched.options, "mask": "none"}  # otherwise the window says it
    head = LongTermHead(
        **told,
        reads="bank" if window else "features",
        window=window,
        objects=objects,
        standardise="none",
    )
    made_by = FeatureSource(
        backbone=spec.backbone, width=spec.width, input=spec.input, roi=spec.roi, channels=channels, sha256=None
    )
    trained = head_spec(
        head,
        made_by,
        scope="all",
        labels=spec.labels,
        classes=spec.classes,
        dropout=spec.dropout,
        feature_dropout=0.0,
        threads=threads,
    )
    return replace(trained, bank_channels=matched.bank_channels)

"""Convert foreign recognizers of single frames, and backbones for them, to ours."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.checkpoint.build_recognizer import build_recognizer
from pipeline.checkpoint.sidecars import Checkpoint
from pipeline.checkpoint.specs import BackboneSpec, RecognizerSpec
from pipeline.interop.conversion import ConversionReport, fit_state
from pipeline.interop.convert_checkpoint import Converted, split_weights
from pipeline.interop.foreign_checkpoint import Foreign
from pipeline.models.recognition_settings import RecognitionHead
from pipeline.models.recognizer import build_recognizer_backbone
from pipeline.video.view_input import ViewInput

STEM = "backbone.conv1.conv.weight"
_BY_KERNEL = {7: ("resnet50", 64), 5: ("resnet_tiny", 16)}
"The backbone, and its usual width, by the side of its first kernel."

PUBLISHED_INPUT = ViewInput(short_side=256, crop=224, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """Settings of a recognizer that its weights do not show; the defaults are those published with TRN."""

    input: ViewInput = PUBLISHED_INPUT
    dropout: float = 0.8
    segments: int = 8
    "Of a tsn; the weights of a relation show them."
    head: RecognitionHead | None = None
    "The head that the user names, if any: the weights must fit it."
    classes: int | None = None
    "Number of classes of the data set that the user names, if any."


def convert_recognizer(
    foreign: Foreign, settings: ViewSettings, *, drop_heads: Sequence[str] = (), classes: Sequence[int] | None = None
) -> Converted:
    """Convert a recognised checkpoint: a whole recognizer, or without its head a backbone (keys without `backbone.`).

    Args:
        foreign: the recognised checkpoint, of kind recognizer or frames.
        settings: what its weights do not show.
        drop_heads: see `split_weights`.
        classes: for each class of ours the source's row of the classifiers; None where both have one order.

    Raises:
        InputError: the weights fit no network of ours, keys are left over, or `classes` is not a permutation of them.
    """
    ours, dropped = split_weights(foreign, drop_heads)
    name, width = _backbone(ours.get(STEM))
    if not any(key.startswith("head.") for key in ours):
        with torch.device("meta"):
            network = build_recognizer_backbone(name, width=width)
        expected = {f"backbone.{key}": value for key, value in network.state_dict().items()}
        state, report = fit_state(foreign.tensors, expected, foreign.rename, drop=dropped)
        tensors = {key.removeprefix("backbone."): value for key, value in state.items()}
        checkpoint = Checkpoint(spec=BackboneSpec(backbone=name, width=width))
        return Converted(
            tensors, checkpoint, _with_rest(report, foreign), [*foreign.notes, "a backbone for single frames"]
        )
    spec = _spec(foreign, settings, name, width)
    with torch.device("meta"):
        recognizer = build_recognizer(spec)
    state, report = fit_state(foreign.tensors, recognizer.state_dict(), foreign.rename, drop=dropped)
    notes = [*foreign.notes, *_notes(spec)]
    if classes is not None:
        state = reorder_classes(state, classes, spec.classes)
        moved = sum(ours != theirs for ours, theirs in enumerate(classes))
        notes.append(f"{moved} classes get the ids of the given list, as the source numbers its names in their order")
    return Converted(state, Checkpoint(spec=spec), _with_rest(report, foreign), notes)


def _backbone(stem: Tensor | None) -> tuple[str, int | None]:
    """Return the backbone that a first kernel is of, and its width, None for the usual one."""
    side = stem.shape[-1] if stem is not None and stem.dim() == 4 else 0
    if stem is None or side not in _BY_KERNEL:
        found = "none" if stem is None else f"one of shape {tuple(stem.shape)}"
        raise InputError(f"{STEM}: {found}, expected a kernel of 7 x 7 (resnet50) or 5 x 5 (resnet_tiny)")
    name, usual = _BY_KERNEL[side]
    return name, len(stem) if len(stem) != usual else None


def _with_rest(report: ConversionReport, foreign: Foreign) -> ConversionReport:
    return ConversionReport(**{**asdict(report), "dropped": (*report.dropped, *foreign.no_weights)})


def _spec(foreign: Foreign, settings: ViewSettings, backbone: str, width: int | None) -> RecognizerSpec:
    """Return the spec of a recognizer: our own sidecar's, or what the weights show, completed by the settings."""
    if foreign.checkpoint and isinstance(foreign.checkpoint.spec, RecognizerSpec):
        return foreign.checkpoint.spec
    assert foreign.recognizer is not None  # set for every other recognizer
    shape = foreign.recognizer
    head = RecognitionHead(name=shape.head, dropout=settings.dropout, channels=shape.channels, hidden=shape.hidden)
    told = settings.head or head
    if (told.name, told.channels, told.hidden) != (head.name, head.channels, head.hidden):
        raise InputError(f"the weights are of {_words(head)}, expected {_words(told)}")
    if settings.classes not in (None, shape.classes):
        raise InputError(f"the classifier has {shape.classes} classes, expected {settings.classes}")
    return RecognizerSpec(
        backbone=backbone,
        width=width,
        input=settings.input,
        head=told,
        segments=shape.segments or settings.segments,
        classes=shape.classes,
    )


def _words(head: RecognitionHead) -> str:
    return f"head {head.name}" + (f" of {head.channels} channels and {head.hidden} hidden" if head.channels else "")


def _notes(spec: RecognizerSpec) -> list[str]:
    """Return lines on what the recognizer is, and what is assumed of it."""
    shown = spec.input
    lines = [f"{spec.classes} classes, {spec.segments} segments"]
    lines.append(f"frames of short side {shown.short_side}, crops of {shown.crop}, dropout {spec.head.dropout:g}")
    if spec.head.name == "trn_multiscale":
        lines.append(
            f"in testing the {spec.head.per_scale} relations of each scale are fixed, not drawn anew as published "
            "(head.test_relations)"
        )
    return lines


def reorder_classes(state: dict[str, Tensor], classes: Sequence[int], count: int) -> dict[str, Tensor]:
    """Return the weights with the rows of the classifiers in another order.

    Args:
        state: weights of a recognizer under our names.
        classes: for each class of ours, the row that is its.
        count: number of classes.

    Raises:
        InputError: `classes` is not a permutation of them.
    """
    if sorted(classes) != list(range(count)):
        raise InputError(f"the list has {len(classes)} classes, expected the {count} of the classifier, each once")
    order = torch.tensor(classes)
    return {key: value[order].contiguous() if ".classifier." in key else value for key, value in state.items()}


def ids_of_sorted(names: Sequence[str]) -> list[int]:
    """Return for each name its place among the sorted names, by which the original TRN numbers classes.

    Raises:
        InputError: a name occurs twice.
    """
    places = {name: place for place, name in enumerate(sorted(names))}
    if len(places) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"the class {twice!r} is listed twice")
    return [places[name] for name in names]

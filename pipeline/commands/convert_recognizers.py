"""What `actionbank convert` does with checkpoints of networks for single frames: recognizers and their backbones."""

from pathlib import Path
from typing import Any

from pipeline.base.errors import InputError
from pipeline.checkpoint.sidecars import read_settings
from pipeline.interop.convert_checkpoint import Converted
from pipeline.interop.convert_recognizer import ViewSettings, convert_recognizer, ids_of_sorted
from pipeline.interop.exchange_options import NO_FRAMES
from pipeline.interop.foreign_checkpoint import Foreign
from pipeline.models.recognition_settings import RecognitionHead
from pipeline.project.compose import compose_params
from pipeline.video.view_input import ViewInput


def is_for_frames(foreign: Foreign, overrides: list[str]) -> bool:
    """Return whether a checkpoint becomes a network for single frames; a backbone for clips, if named, inflates it."""
    named = any(each.split("=")[0] in ("backbone", "backbone.name") for each in overrides)
    return foreign.kind in ("recognizer", "frames") and not named


def converted_recognizer(
    foreign: Foreign,
    source: Path,
    recipe: str | None,
    overrides: list[str],
    drop_heads: list[str],
    sorted_classes: Path | None,
) -> Converted:
    """Convert a checkpoint for single frames; see `convert`.

    Args:
        foreign: the recognised checkpoint.
        source: its file, for messages.
        recipe: a row of conf/experiment.
        overrides: as after -S.
        drop_heads: see `split_weights`.
        sorted_classes: a file of the names of classes in our order, where the source has sorted them.

    Raises:
        InputError: the checkpoint is no network for single frames, or its weights do not fit.
    """
    if not is_for_frames(foreign, overrides):
        raise InputError("--sorted-classes: only the classes of a recognizer are renumbered")
    names = _listed_names(sorted_classes) if sorted_classes else None
    given = [*([f"+experiment={recipe}"] if recipe else []), *overrides]
    settings = view_settings(compose_params([*NO_FRAMES, *given])) if given else ViewSettings()
    try:
        classes = ids_of_sorted(names) if names else None
        return convert_recognizer(foreign, settings, drop_heads=drop_heads, classes=classes)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def view_settings(composed: dict[str, Any]) -> ViewSettings:
    """Return the settings of the block `recognition` of composed parameters.

    Raises:
        InputError: the block is not a recognizer's.
    """
    block = composed.get("recognition")
    if not block:
        raise InputError("the parameters have no block recognition, which a recognizer's settings come from")
    head = read_settings(RecognitionHead, block["head"], "recognition.head")
    return ViewSettings(
        input=read_settings(ViewInput, block["backbone"]["input"], "recognition.backbone.input"),
        dropout=head.dropout,
        segments=block["backbone"]["segments"],
        head=head,
        classes=block["dataset"]["classes"],
    )


def _listed_names(path: Path) -> list[str]:
    """Read the names of classes, one a line.

    Raises:
        InputError: the file cannot be read as text, or has no name.
    """
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"--sorted-classes {path}: cannot be read: {reason}") from None
    if not names:
        raise InputError(f"--sorted-classes {path}: has no names, expected one a line")
    return names

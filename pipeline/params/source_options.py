"""Derive the options of `import_annotations` from the typed parameters; the doctor uses the same options."""

from pathlib import Path

from pipeline import params as parameters
from pipeline.annotations.sources import SourceOptions


def source_options(dataset: parameters.Dataset) -> SourceOptions:
    """Return how a data set's annotations are read."""
    return SourceOptions(
        classes=dataset.classes,
        first_id=None if dataset.first_id == "auto" else dataset.first_id,
        timestamps=dataset.timestamps,
        split_number=dataset.split_number,
        class_map=None if dataset.class_map == "none" else dataset.class_map,
        action_attribute=dataset.action_attribute,
        keyframe_seconds=dataset.keyframe_seconds,
        val_fraction=dataset.val_fraction,
        split_by=dataset.split_by,
        split_gap_seconds=dataset.split_gap_seconds,
        evaluate=dataset.evaluate,
        clips=Path(dataset.clips),
    )

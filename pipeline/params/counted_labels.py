"""Derive how labels are scored and trained from the typed parameters and, where groups are named, the label map."""

from pathlib import Path

from pipeline.models.label_groups import count_groups
from pipeline.models.settings import Labels
from pipeline.params import Params
from pipeline.tables.label_map import read_labels


def counted_labels(params: Params) -> Labels:
    """Return the labels, with the classes of every group counted.

    Raises:
        InputError: the groups do not have all classes between them; or they are named, and the label map that
            `import_annotations` wrote is missing or has others.
    """
    listed = read_labels(Path("data", params.dataset.name, "annotations/labels.json")) if params.labels.names else []
    return count_groups(params.labels, listed, classes=params.dataset.classes)

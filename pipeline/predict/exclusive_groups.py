"""Groups of classes of which a model gives a person one: its softmaxes, by the names of the label map's groups."""

from collections.abc import Sequence

from pipeline.models.settings import Labels
from pipeline.tables.label_map import Label


def exclusive_groups(labels: Labels, listed: Sequence[Label]) -> list[str]:
    """Return the groups of at least two classes that all are in one softmax of the model, in order of id.

    Args:
        labels: of the model; the classes of its groups are counted.
        listed: the classes of the label map.
    """
    spans = [(1, max((label.id for label in listed), default=1))] if labels.kind == "single" else labels.softmax_ids
    found = []
    for group in dict.fromkeys(label.group for label in listed):
        ids = [label.id for label in listed if label.group == group]
        if len(ids) > 1 and any(first <= min(ids) and max(ids) <= last for first, last in spans):
            found.append(group)
    return found

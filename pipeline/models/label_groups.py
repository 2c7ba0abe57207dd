"""Labels in groups: count the classes of groups that are named after those of a label map."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from pipeline.base.errors import InputError
from pipeline.models.settings import Labels
from pipeline.tables.label_map import Label


def count_groups(labels: Labels, listed: Iterable[Label], *, classes: int) -> Labels:
    """Replace the names of groups by numbers of classes, and check that the groups have all classes between them.

    An id that the label map does not list belongs to the group of the listed ids around it. So AVA's map of the 60
    evaluated classes gives the groups of all 80.

    Args:
        labels: as in the parameters; other kinds than `grouped` are returned unchanged.
        listed: the classes of the label map.
        classes: number of classes; ids run from 1 to this.

    Raises:
        InputError: the groups are not those of the label map in order of id, unlisted ids lie between two groups, an id
            is above `classes`, or the numbers do not add up.
    """
    if labels.names:
        runs = list(_runs(listed))
        found = ", ".join(map(str, runs))
        if runs and runs[-1].last > classes:
            raise InputError(f"labels.groups: the label map has {found}, expected ids up to dataset.classes {classes}")
        if [run.group for run in runs] != labels.names:
            raise InputError(
                f"labels.groups: found {', '.join(labels.names)}, expected those of the label map in order of id, each "
                f"in one piece; it has {found}"
            )
        for run, following in pairwise(runs):
            if following.first != run.last + 1:
                raise InputError(
                    f"labels.groups: ids {run.last + 1} to {following.first - 1} are in no group: the label map, which "
                    f"has {found}, lists none of them; give numbers of classes instead of names"
                )
        ends = [0, *(run.last for run in runs[:-1]), classes]
        sizes = [end - start for start, end in pairwise(ends)]
        groups = zip(labels.groups, sizes, strict=True)
        labels = replace(labels, groups=tuple(replace(group, classes=size) for group, size in groups))
    elif wrong := wrong_sum(labels, classes=classes):
        raise InputError(wrong)
    return labels


def wrong_sum(labels: Labels, *, classes: int) -> str:
    """Return what is wrong with the groups' numbers of classes; empty if they are named, or add up to `classes`."""
    if not labels.sizes or sum(labels.sizes) == classes:
        return ""
    sizes = " + ".join(map(str, labels.sizes))
    return f"labels.groups: {sizes} are {sum(labels.sizes)} classes, expected the {classes} of dataset.classes"


@dataclass(frozen=True)
class _Run:
    """Listed ids that follow each other and are of one group."""

    group: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.group} {self.first}" + (f"-{self.last}" if self.last > self.first else "")


def _runs(listed: Iterable[Label]) -> Iterator[_Run]:
    run = None
    for each in sorted(listed, key=lambda label: label.id):
        if run is not None and run.group == each.group:
            run = replace(run, last=each.id)
            continue
        if run is not None:
            yield run
        run = _Run(each.group, each.id, each.id)
    if run is not None:
        yield run

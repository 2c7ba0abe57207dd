"""Check classes: ids without a name, label maps that are off by one, and classes without examples."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pipeline.annotations.assemble import AvaImport
from pipeline.annotations.class_ids import spelt
from pipeline.annotations.time_split import more_of
from pipeline.base.problems import Problem
from pipeline.doctor.finding import Finding, findings_of
from pipeline.tables.keyframes import group_keyframes
from pipeline.tables.label_map import AVA_EVALUATED, Label
from pipeline.tables.select_boxes import ANY_SCORE

# A label map with at least this many of AVA's names counts as AVA's.
AVA_NAMES = 20
FILE = "annotations"


def check_labels(
    imported: AvaImport, counts: Mapping[str, Sequence[int]], *, classes: int, scored: str, first_id: int = 1
) -> list[Finding]:
    """Find what is wrong with the ids and names of classes.

    Args:
        imported: the annotations.
        counts: `label_counts`.
        classes: width of the classifier (`dataset.classes`).
        scored: `evaluation.classes`: labelmap or all.
        first_id: the first id of the source, 0 or 1.
    """
    return [
        *_shifted_rows(imported, first_id),
        *_names_of_ava(imported.labels),
        *_unnamed(imported, counts),
        *_without_examples(imported, counts, classes=classes, scored=scored),
    ]


def label_counts(imported: AvaImport, classes: int) -> dict[str, list[int]]:
    """Count the persons of each class, [classes] by split, in the keyframes that are not excluded."""
    splits = sorted({name for each in imported.timelines["split"].to_pylist() for name in each.split("+")})
    return {
        split: group_keyframes(
            imported.annotations, imported.keyframes, None, split=split, classes=classes, rule=ANY_SCORE
        ).labels.sum(axis=0, dtype=np.int64).tolist()
        for split in splits
    }  # fmt: skip


def _shifted_rows(imported: AvaImport, first_id: int) -> list[Finding]:
    """Report ids that are one too high: one is above the last class, and none is the first."""
    used = set(imported.annotations["action_id"].unique().to_pylist())
    findings = []
    for file, (known, found) in imported.other_ids.items():
        above = known.stop
        if found == {above} and 1 not in used:
            told = Problem(
                file,
                "action ids",
                f"ids up to {above}, and none of {first_id}",
                f"ids from {known[0]} to {known[-1]}",
            )
            findings += findings_of(
                "ids-shifted", "error", "file whose action ids are all off by one", [told],
                "Subtract 1 from the ids, or mend the label map: every class has its neighbour's name.",
            )  # fmt: skip
    return findings


def _names_of_ava(labels: Sequence[Label]) -> list[Finding]:
    official = {spelt(label.name): label for label in AVA_EVALUATED}
    named = [(label, official[spelt(label.name)]) for label in labels if spelt(label.name) in official]
    if len(named) < AVA_NAMES:
        return []
    wrong = [
        Problem("label map", f"class {label.id}", f"{label.name!r}", f"id {right.id}, as AVA has it")
        for label, right in named
        if label.id != right.id
    ]
    steps = Counter(label.id - right.id for label, right in named if label.id != right.id)
    step, many = next(iter(steps.most_common(1)), (0, 0))
    how = f" {many} of them by {step:+d}." if many > 1 else ""
    ids = {right.id for _, right in named}
    extra = [label for label in labels if label.id not in {each.id for each in AVA_EVALUATED}]
    more = [
        Problem(
            "label map", f"class {label.id} {label.name}", "a class that AVA does not evaluate", "the 60 that it does"
        )
        for label in extra
        if len(ids) == len(AVA_EVALUATED)
    ]
    return [
        *findings_of("label-names-shifted", "error", "names of the label map stand at other ids than AVA's", wrong,
                     f"Take AVA's own label map for ActivityNet.{how} Every row of them gets another class's name."),
        *findings_of("label-map-of-80", "warning", "classes of the label map are left out by AVA's evaluation", more,
                     "Put ava_action_list_v2.1_for_activitynet_2018.pbtxt (2.2: _2019) beside it: the mAP is the mean "
                     "over 60 classes, and the others, rare or without ground truth in val, pull it down."),
    ]  # fmt: skip


def _unnamed(imported: AvaImport, counts: Mapping[str, Sequence[int]]) -> list[Finding]:
    names = {label.id for label in imported.labels}
    used = Counter(imported.annotations["action_id"].to_pylist())
    is_ava = names <= {label.id for label in AVA_EVALUATED} and len(names) == len(AVA_EVALUATED)
    problems = [
        Problem(FILE, f"action id {each}", f"{used[each]} rows", "an id of the label map")
        for each in sorted(used.keys() - names)
    ]
    return findings_of(
        "ids-not-in-label-map", "note" if is_ava else "warning", "action ids are not in the label map", problems,
        "Nothing: AVA trains 80 classes and evaluates the 60 of its label map." if is_ava else
        "Add them to the label map, or choose classes with dataset.class_map: now they are trained and not evaluated.",
    )  # fmt: skip


def after_overlap(findings: list[Finding]) -> list[Finding]:
    """Adapt the advice on missing labels if films are in two splits: that fault must be fixed first."""
    return [
        replace(each, remedy="Mend split-overlap first: its films are taken for another split here, and this may go "
                             "with it; else give the split films of its own.")
        if each.code in ("no-train-labels", "no-val-labels") else each
        for each in findings
    ]  # fmt: skip


def _without_examples(
    imported: AvaImport, counts: Mapping[str, Sequence[int]], *, classes: int, scored: str
) -> list[Finding]:
    names = {label.id: label.name for label in imported.labels}
    ids = sorted(names) if scored == "labelmap" else list(range(1, classes + 1))
    findings: list[Finding] = []
    for split in ("train", "val"):
        get_labels, get_class = more_of(split, imported)
        found = counts.get(split)
        if found is None or not sum(found):
            nothing = Problem(FILE, split, "no label", "labelled persons")
            what = "nothing could be trained" if split == "train" else "the mAP would be NaN"
            findings += findings_of(
                f"no-{split}-labels", "error", f"split without a single label: {split}", [nothing],
                f"{get_labels} (docs/datasets.md#splits): {what}.",
            )  # fmt: skip
            continue
        problems = [
            Problem(
                FILE, f"class {each} {names.get(each, '(not in the label map)')}", f"0 labels in {split}", "1 or more"
            )
            for each in ids
            if each > len(found) or not found[each - 1]
        ]
        remedy = f"{get_class}, or drop the classes with dataset.class_map: "
        remedy += "they cannot be learnt." if split == "train" else (
            "they have no AP (null in metrics.json) and are no part of the mAP"
            + (", and evaluation.classes: labelmap leaves out those without a name." if scored == "all" else ".")
        )  # fmt: skip
        findings += findings_of(
            f"class-without-{split}", "warning", f"scored classes have no example in {split}", problems, remedy
        )
    return findings

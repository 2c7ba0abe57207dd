"""Sort the rows that the importers left out by what is wrong with them."""

from collections.abc import Sequence
from dataclasses import replace

from pipeline.annotations.assemble import AvaImport
from pipeline.base.problems import Problem, ProblemKind
from pipeline.doctor.finding import Finding, Severity, findings_of

# kind -> severity, title, remedy.
KINDS: dict[ProblemKind, tuple[Severity, str, str]] = {
    "box-in-pixels": (
        "error", "boxes are in pixels, where shares of the frame are expected",
        "Divide x by the width and y by the height of the film, or bring them in a format that says its pixels "
        "(COCO-like JSON, CVAT: docs/datasets.md).",
    ),
    "box-outside": (
        "warning", "boxes reach outside the frame",
        "Cut them to the frame at their source; the rows are left out.",
    ),
    "box-inverted": (
        "warning", "boxes are inverted",
        "Boxes are x1, y1, x2, y2 of two corners: look whether these are x, y, width, height. The rows are left out.",
    ),
    "box-zero-area": ("warning", "boxes have no area", "Remove them or mend them; the rows are left out."),
    "repeated": ("warning", "rows repeat another one", "Nothing must be done: each counts once."),
    "conflicting": (
        "warning", "rows contradict another one",
        "Decide which is right; the later row is left out.",
    ),
    "before-film": (
        "warning", "rows lie before their film begins",
        "Set first_timestamp in videos.csv (columns video_id,first_timestamp; docs/data-layout.md): without it a film "
        "begins at 900, as AVA's do. Where seconds are counted from the start of the film it is 0.",
    ),
    "video-id": ("warning", "rows have an id that cannot be a file's name", "Rename the film and its rows."),
    "unknown-action": (
        "error", "rows have an action id out of the range of classes",
        "Raise dataset.classes and add the class to the label map, choose classes with dataset.class_map, or remove "
        "the rows. An id 0 beside the others is no background: it is not needed.",
    ),
    "unknown-film": (
        "warning", "films of the boxes are in no annotations",
        "Their boxes are left out. Look whether the ids are written as in the annotations, or list the films in "
        "videos.csv.",
    ),
    "in-two-files": (
        "warning", "files hold boxes that another file has too",
        "Keep one of the files; each box counts once, with its better score.",
    ),
    "shape-not-read": (
        "warning", "persons are drawn with shapes that tell no box",
        "Draw a box, a polygon, an ellipse or a mask around the person; the rows are left out, and a keyframe that has "
        "nothing else is none.",
    ),
    "unreadable": ("warning", "rows cannot be read", "Mend the rows; they are left out."),
}  # fmt: skip


def sort_problems(problems: Sequence[Problem], prefix: str) -> list[Finding]:
    """Return one finding for each kind of fault; its code is `<prefix>-<kind>`."""
    kinds: dict[ProblemKind, list[Problem]] = {kind: [] for kind in KINDS}
    for problem in problems:
        kinds[problem.kind].append(problem)
    findings = []
    for kind, (severity, title, remedy) in KINDS.items():
        findings += findings_of(f"{prefix}-{kind}", severity, title, kinds[kind], remedy)
    return findings


def nothing_left(imported: AvaImport) -> list[Finding]:
    """Explain why a data set has no labelled row: the faults of its rows, or that there are none yet."""
    if imported.problems:
        found = [replace(each, severity="error") for each in sort_problems(imported.problems, "annotation")]
        total = f"of {imported.rows} rows, none of which is left"
        return [replace(each, title=f"{each.title}, {total}") for each in found]
    empty = [Problem("annotations", "the rows", "no labelled row", "rows of train and of val")]
    return findings_of(
        "no-train-labels", "error", "folder of annotations without a single label: nothing could be trained", empty,
        "Annotate films of train and of val (docs/datasets.md has the formats).",
    )  # fmt: skip


def too_many_bad(
    problems: Sequence[Problem], bad: int, total: int, limit: float, *, prefix: str, stage: str, key: str
) -> list[Finding]:
    """Return an error if a stage would stop because of the share of bad rows."""
    if not total or bad / total <= limit:
        return []
    share = Problem(problems[0].file, "all rows", f"{bad} of {total} bad", f"at most {limit:g} ({key})")
    return findings_of(
        f"{prefix}-too-many-bad", "error", f"bad rows, at which {stage} ends", [share],
        f"Mend them (they are listed here by kind), or raise {key}.", count=bad,
    )  # fmt: skip

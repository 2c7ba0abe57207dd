"""Read the annotations as `import_annotations` does, but go on after faults that would stop it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.annotations.assemble import AvaImport
from pipeline.annotations.ava import annotation_files
from pipeline.annotations.ava_columns import read_ava_csv
from pipeline.annotations.class_ids import ClassNamesError, ShiftedIdsError, TooManyClassesError
from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.annotations.unread import BOXES, NothingReadError, may_hold_annotations, reasons, unread_problems
from pipeline.base.errors import InputError
from pipeline.base.problems import Problem
from pipeline.doctor.finding import EXAMPLES, Finding, findings_of, problem_of
from pipeline.tables.film_ids import film_of
from pipeline.tables.timelines import TwoSplitsError


@dataclass(frozen=True)
class Annotations:
    """The annotations; `imported` is None if nothing could be read."""

    imported: AvaImport | None
    options: SourceOptions
    "The options with which reading succeeded."
    findings: list[Finding]


def read_annotations(folder: Path, options: SourceOptions, *, holds_boxes: bool = False) -> Annotations:
    """Read a folder of annotations; a fault that stops `import_annotations` is a finding here, and reading goes on.

    Args:
        folder: the annotation folder.
        options: how it is read.
        holds_boxes: whether the boxes are read from the same folder, so that box files there are no fault.
    """
    if not folder.is_dir():
        missing = Problem(str(folder), "dataset.annotations", "no such folder", "a folder of annotations")
        remedy = "Put the annotations there (docs/datasets.md), or set dataset.annotations."
        return Annotations(
            None,
            options,
            findings_of("annotations-missing", "error", "folder of annotations is missing", [missing], remedy),
        )
    overlap = _overlap(folder)
    problems = [
        Problem(path.name, video_id, f"rows of a film of {other}", f"films of {path.stem} alone")
        for path, others in overlap.items()
        for video_id, other in others.items()
    ]
    overlaps = findings_of(
        "split-overlap", "error", "films are in two splits", problems,
        "Remove their rows from one of the files: import_annotations stops at them, and what is trained on must not "
        "be measured. Below they count for the first of the two.",
    )  # fmt: skip
    findings: list[Finding] = []
    with _without(folder, overlap) as source:
        for _ in range(4):
            try:
                imported = import_source(source, options)
                return Annotations(imported, options, overlaps + findings + _unread(source, imported, holds_boxes))
            except NothingReadError as error:
                return Annotations(None, options, _nothing_read(folder, source, error))
            except InputError as error:
                message = str(error).replace(str(source), str(folder))
                finding, mended = _refused(folder, error, message, options)
            if mended is None:  # this fault ends reading: report it before those that were passed
                return Annotations(None, options, overlaps + finding + findings)
            findings += finding
            options = mended
    return Annotations(None, options, overlaps + findings)


def _nothing_read(folder: Path, source: Path, error: NothingReadError) -> list[Finding]:
    """Report the files of a folder in which nothing is read as annotations."""
    problems = unread_problems(source, error.unread)
    if not problems:
        nothing = [Problem(str(folder), "dataset.annotations", "no annotations", "a file of docs/datasets.md")]
        return findings_of("annotations-missing", "error", "folder of annotations holds none", nothing,
                           "Put the annotations there (docs/datasets.md), or set dataset.annotations.")  # fmt: skip
    return findings_of(
        "annotations-not-recognised", "error", "files, of which none is read as annotations", problems,
        "Export or convert them to one of the formats of docs/datasets.md."
        + (f" All of them: {'; '.join(reasons(source, error.unread))}." if len(problems) > EXAMPLES else ""),
    )  # fmt: skip


def _unread(source: Path, imported: AvaImport, holds_boxes: bool) -> list[Finding]:
    """Report the files beside those that were read."""
    lost = [each for each in imported.unread if may_hold_annotations(*each)]
    other = [each for each in imported.unread if each not in lost and not (holds_boxes and each[1] == BOXES)]
    return [
        *findings_of("annotation-file-not-read", "warning", "files of the folder of annotations are not read",
                     unread_problems(source, lost),
                     "If they hold labels, export them to a format of docs/datasets.md; else take them out of the "
                     "folder."),
        *findings_of("file-beside-annotations", "note", "files in the folder of annotations hold none",
                     unread_problems(source, other), "Nothing: they are passed over."),
    ]  # fmt: skip


def _refused(
    folder: Path, error: InputError, message: str, options: SourceOptions
) -> tuple[list[Finding], SourceOptions | None]:
    """Return the finding of an error, and the options with which to go on; None if nothing helps.

    Args:
        folder: the annotation folder.
        error: the error.
        message: its message, with the name of the user's folder.
        options: the options with which it was raised.
    """
    file, _, rest = message.removeprefix(f"{folder}/").partition(": ")
    if isinstance(error, ShiftedIdsError) and options.first_id is None:
        counted = 0 if error.found[0] == 0 else 1
        found, expected = (f"ids from {first} to {last}" for first, last in (error.found, error.expected))
        problem = Problem(file, "action ids", found, expected)
        return findings_of(
            "ids-shifted", "error", "file whose action ids are all off by one", [problem],
            f"Set dataset.first_id: {counted} if the ids count from {counted}; else mend the label map or the ids. "
            f"Below they are read from {counted}.",
        ), replace(options, first_id=counted)  # fmt: skip
    if isinstance(error, TooManyClassesError):
        problem = Problem(
            str(folder), "classes", f"ids up to {error.largest}", f"at most {options.classes} (dataset.classes)"
        )
        return findings_of(
            "classes-too-few", "error", "class ids are above dataset.classes", [problem],
            f"Set dataset.classes: {error.largest}, or choose classes with dataset.class_map.",
            count=error.largest - options.classes,
        ), replace(options, classes=error.largest)  # fmt: skip
    if isinstance(error, TwoSplitsError):
        problem = Problem(file, "films", rest, "one split for each film")
        return findings_of(
            "split-overlap", "error", "films are in two splits", [problem],
            "Give each film one split: what is trained on must not be measured.",
        ), None  # fmt: skip
    if isinstance(error, ClassNamesError):
        return findings_of(
            "label-names-disagree", "error", "label map whose names are not those of the annotations",
            [Problem(file, "classes", rest, "the same names for the same ids")],
            "Mend the label map, or remove it: the annotations name their classes themselves.",
        ), None  # fmt: skip
    return findings_of(
        "annotations-refused", "error", "reason for which the annotations cannot be read",
        [problem_of(rest or message, file, "the file", "what docs/datasets.md describes")],
        "Mend this first: without annotations most checks cannot be made.",
    ), None  # fmt: skip


def _overlap(folder: Path) -> dict[Path, dict[str, str]]:
    """Return, for each split's file, the films that an earlier split's file names too, with that split."""
    try:
        files = annotation_files(folder)
        named = {split: set(map(film_of, read_ava_csv(path).column(0).to_pylist())) for split, path in files.items()}
    except InputError:
        return {}  # import_annotations reports the error
    seen: dict[str, str] = {}
    overlap: dict[Path, dict[str, str]] = {}
    for split, path in files.items():
        both = sorted(named[split] & seen.keys())
        if both:
            overlap[path] = {each: seen[each] for each in both}
        seen = dict.fromkeys(named[split], split) | seen
    return overlap


@contextmanager
def _without(folder: Path, overlap: dict[Path, dict[str, str]]) -> Iterator[Path]:
    """Yield a copy of a folder without the rows of some films; line numbers stay."""
    if not overlap:
        yield folder
        return
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made)
        for path in folder.iterdir():
            if path not in overlap:
                (copy / path.name).symlink_to(path.absolute())
                continue
            lines = path.read_text("utf-8-sig").split("\n")
            kept = ["" if film_of(line.partition(",")[0].strip()) in overlap[path] else line for line in lines]
            (copy / path.name).write_text("\n".join(kept))
        yield copy

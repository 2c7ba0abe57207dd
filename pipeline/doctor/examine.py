"""Examine a whole data set, from its sources and from the outs that exist."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.annotations.assemble import AvaImport
from pipeline.annotations.coco import FORMAT as COCO
from pipeline.annotations.listed import Listed, read_listed
from pipeline.base.errors import InputError
from pipeline.base.problems import Problem
from pipeline.boxes.folders import folder_of_objects
from pipeline.boxes.yolo import find_yolo
from pipeline.doctor.classes import after_overlap, check_labels, label_counts
from pipeline.doctor.film_shapes import check_shapes
from pipeline.doctor.finding import Examination, Finding, findings_of, in_order
from pipeline.doctor.left_out import nothing_left, sort_problems, too_many_bad
from pipeline.doctor.person_boxes import Thresholds, check_boxes, describe_recall, read_boxes
from pipeline.doctor.picture_colours import check_picture_colours
from pipeline.doctor.picture_numbers import check_picture_numbers
from pipeline.doctor.probe_films import ProbedFilm, probe_films
from pipeline.doctor.read_annotations import Annotations, read_annotations
from pipeline.doctor.space import BankRowCounts, check_space, count_rows, estimate_space
from pipeline.doctor.stored_frames import check_frames
from pipeline.doctor.times import check_assumed_rates, check_lists, check_times
from pipeline.doctor.tools import check_frame_times, check_sizes, sort_notices
from pipeline.doctor.videos import (
    Files,
    check_copies,
    check_films,
    check_presence,
    describe_films,
    find_files,
    without_found,
)
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.params import BankParams, Params, Training
from pipeline.params.source_options import source_options
from pipeline.video.extract import frame_settings


def examine(
    params: Params, *, workers: int, decode: bool = False, silence_seconds: float = 60.0, is_current: bool = True
) -> Examination:
    """Check the sources that the parameters name; a fault in them is reported and does not stop the examination.

    Args:
        params: the parameters.
        workers: number of processes that read videos.
        decode: decode every frame of every film.
        silence_seconds: a process that makes no progress for this long is killed, and its film is reported.
        is_current: whether params.yaml selects this data set, so that `dvc repro` runs on it.
    """
    dataset = params.dataset
    not_made = _not_generated(params)
    if not_made:
        return Examination(dataset.name, findings=_commands(not_made, dataset.name, is_current=is_current))
    facts: dict[str, str] = {"videos": dataset.videos, "annotations": dataset.annotations, "boxes": params.boxes.source}
    unchecked: list[str] = []
    limit = params.frames.max_bad_fraction
    rate = None if dataset.frame_rate == "none" else dataset.frame_rate
    files = find_files(Path(dataset.videos), frame_rate=rate, limit=limit)
    films = probe_films(files.paths, workers=workers, decode=decode, silence_seconds=silence_seconds, rates=files.rates)
    facts["films"] = describe_films(films)
    findings = [*files.findings, *check_films(files, films, limit=limit), *check_picture_colours(files, films)]
    annotated, timelines, rows = _annotations(params, files, films, facts, unchecked)
    findings += annotated
    space = estimate_space(params, files.paths, films, rows)
    facts["space"] = str(space)
    findings += check_space(space)
    findings += check_copies(files, timelines)
    findings += check_frames(
        Path("data", dataset.name, "frames"),
        frame_settings(params.frames),
        without_found(films),
        timelines,
    )
    if not decode:
        unchecked.append("frames were not decoded; --decode does")
    return Examination(
        dataset.name, facts, in_order(_commands(findings, dataset.name, is_current=is_current)), unchecked
    )


def _commands(findings: Sequence[Finding], name: str, *, is_current: bool) -> list[Finding]:
    """Return the findings with the commands in their remedies adapted to this data set."""
    if is_current:
        return list(findings)
    command = f"dvc exp run -S dataset={name}"
    return [replace(each, remedy=each.remedy.replace("dvc repro", command)) for each in findings]


def _not_generated(params: Params) -> list[Finding]:
    folders = [params.dataset.videos, params.dataset.annotations]
    if not params.dataset.generate or any(Path(each).exists() for each in folders):
        return []
    problems = [Problem(each, "the folder", "nothing yet", "what make_videos renders") for each in folders]
    return findings_of(
        "not-generated",
        "note",
        "folders of a data set that make_videos renders",
        problems,
        "Nothing: dvc repro makes them.",
    )


def _annotations(
    params: Params, files: Files, films: Mapping[str, ProbedFilm], facts: dict[str, str], unchecked: list[str]
) -> tuple[list[Finding], pa.Table | None, BankRowCounts | None]:
    """Return the findings on annotations, classes, times and boxes, the timelines, and the counts for a bank's size."""
    folder = Path(params.dataset.annotations)
    holds_boxes = Path(params.boxes.source).resolve() == folder.resolve()
    read = read_annotations(folder, source_options(params.dataset), holds_boxes=holds_boxes)
    imported = read.imported
    if imported is None:
        unchecked.append("classes, times and boxes: the annotations cannot be read")
        return read.findings, None, None
    if not imported.annotations.num_rows:
        unchecked.append("classes, times and boxes: there is no labelled row")
        findings = [*read.findings, *nothing_left(imported)]
        if files.paths and imported.problems:
            findings += check_presence(imported.timelines, films, files, limit=params.frames.max_bad_fraction)
        return findings, imported.timelines, None
    good = without_found(films)
    labelled, counts = _labels(params, read, imported)
    findings = [*read.findings, *labelled]
    if files.paths:
        findings += check_presence(imported.timelines, films, files, limit=params.frames.max_bad_fraction)
    findings += _times(params, imported, files, good)
    facts["labels"] = (
        f"{imported.annotations.num_rows} labels of {len(imported.labels)} classes in {imported.keyframes.num_rows} "
        f"keyframes of {imported.timelines.num_rows} films; "
        + ", ".join(f"{split} {sum(each)}" for split, each in counts.items())
    )
    boxes, found = _boxes(params, imported, good, facts, unchecked, classes=read.options.classes)
    findings += found
    # Boxes may come from pictures cut at another rate: if the boxes fit, the rate in their list is right.
    is_off = any(each.code.startswith(("proposal-recall", "proposal-times", "keyframe-without")) for each in findings)
    findings += check_lists(good, _lists(folder, Path(params.boxes.source) if is_off else None, imported))
    rows = count_rows(imported, boxes, params.bank.box_threshold, params.bank.objects)
    return findings, imported.timelines, rows


def _labels(params: Params, read: Annotations, imported: AvaImport) -> tuple[list[Finding], dict[str, list[int]]]:
    """Return the findings on rows and classes, and the number of persons of each class by split."""
    findings = sort_problems(imported.problems, "annotation")
    findings += too_many_bad(
        imported.problems, len(imported.problems), imported.rows, params.dataset.max_bad_fraction,
        prefix="annotation", stage="import_annotations", key="dataset.max_bad_fraction",
    )  # fmt: skip
    findings += findings_of(
        "clip-missing", "warning", "videos of AVA-Kinetics have no clip with their keyframes", imported.missing,
        "Every copy of Kinetics lacks some: their rows are left out. Fetch the clips if you need them.",
    )  # fmt: skip
    classes, first_id = read.options.classes, read.options.first_id or 1
    counts = label_counts(imported, classes)
    of_labels = check_labels(imported, counts, classes=classes, scored=params.evaluation.classes, first_id=first_id)
    overlaps = any(each.code == "split-overlap" for each in read.findings)
    return findings + (after_overlap(of_labels) if overlaps else of_labels), counts


def _times(params: Params, imported: AvaImport, files: Files, films: Mapping[str, ProbedFilm]) -> list[Finding]:
    """Return the findings on times and sizes; `films` are the readable ones."""
    folder = Path(params.dataset.annotations)
    return [
        *check_picture_numbers(folder, imported, files),
        *sort_notices(imported.notices),
        *check_sizes(imported, films),
        *check_shapes(params, films, _trained(imported)),
        *check_frame_times(imported, films, _listed(folder)),
        *check_times(imported.keyframes, imported.timelines, films, limit=params.dataset.max_bad_fraction),
        *check_assumed_rates(imported.assumed_fps, films),
    ]


def _boxes(
    params: Params,
    imported: AvaImport,
    films: Mapping[str, ProbedFilm],
    facts: dict[str, str],
    unchecked: list[str],
    *,
    classes: int,
) -> tuple[pa.Table | None, list[Finding]]:
    """Return the boxes, if they can be read, and the findings on them; `films` are the readable ones."""
    thresholds = _thresholds(params)
    found, findings = read_boxes(
        Path(params.boxes.source),
        imported,
        min_score=params.boxes.min_score,
        detector="" if params.boxes.detector == "none" else params.boxes.detector,
        limit=params.boxes.max_bad_fraction,
        person_class=params.boxes.person_class,
        annotations=Path(params.dataset.annotations),
        objects=folder_of_objects(params.dataset.objects, Path(params.boxes.source)),
    )
    if found is None:
        unchecked.append("recall of the boxes: there are none that can be read")
        return None, findings
    facts |= describe_recall(imported, found.boxes, classes=classes, thresholds=thresholds)
    return found.boxes, findings + check_boxes(imported, found.boxes, films, classes=classes, thresholds=thresholds)


def _trained(imported: AvaImport) -> list[str]:
    """Return the films of train that have labels."""
    mine = pc.equal(imported.keyframes["split"], "train"), pc.equal(imported.keyframes["status"], "annotated")
    found: list[str] = pc.unique(imported.keyframes.filter(pc.and_(*mine))["video_id"]).to_pylist()
    return found


def _thresholds(params: Params) -> Thresholds:
    """Return the score thresholds of each split's boxes by key; with `lower_threshold` a threshold counts as 0."""

    def used(block: Training | BankParams | EvaluationSettings) -> float:
        return 0.0 if block.lower_threshold else block.box_threshold

    bank = {"bank.box_threshold": used(params.bank)} if params.bank.make else {}
    train = {"baseline.box_threshold": used(params.baseline), "head_train.box_threshold": used(params.head_train)}
    return {"train": train | bank, "val": {"evaluation.box_threshold": used(params.evaluation)} | bank}


def _lists(folder: Path, boxes: Path | None, imported: AvaImport) -> dict[str, dict[str, Listed]]:
    """Return the values that are used from each videos.csv, by its path."""
    formats = {*imported.summary.get("formats", ())} - {"AVA CSV"}  # it needs neither rates nor sizes
    lists: dict[Path, dict[str, Listed]] = {}
    if formats:
        lists[folder] = _listed(folder)
    if formats == {COCO}:  # only sizes are used
        lists[folder] = {name: replace(each, fps=None) for name, each in lists[folder].items()}
    if boxes and find_yolo(boxes):  # frames are counted, so rates matter; boxes are fractions, so sizes do not
        keep_sizes = boxes in lists
        rates = _listed(boxes)
        lists[boxes] = rates if keep_sizes else {name: replace(each, width=None) for name, each in rates.items()}
    return {(path / "videos.csv").as_posix(): listed for path, listed in lists.items()}


def _listed(folder: Path) -> dict[str, Listed]:
    try:
        return read_listed(folder)
    except InputError:  # import_annotations reports the error
        return {}

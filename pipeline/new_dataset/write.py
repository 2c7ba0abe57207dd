"""Make a data set from a folder of videos: its lists, its copied files and `conf/dataset/NAME.yaml`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base.errors import counted
from pipeline.base.files import write_text
from pipeline.doctor.probe_films import ProbedFilm, probe_films
from pipeline.new_dataset.config import (
    Annotated,
    check_name,
    check_source,
    config_text,
    grid_fps,
    in_place,
    own_folder,
    rate_lines,
    read_classes,
    split_gap,
    write_box_rates,
    write_frame_times,
    write_videos_csv,
)
from pipeline.new_dataset.proposed import Thresholds, propose_thresholds, proposed_lines
from pipeline.new_dataset.versioned import ignore_words, path_for_experiments
from pipeline.new_dataset.written_lists import lists_in, note_lines, remove_written
from pipeline.project.compose import compose_params
from pipeline.video.folder import find_videos


@dataclass(frozen=True)
class Given:
    """The options that the user gives; None for an option that is not given."""

    name: str
    videos: Path
    annotations: Path | None
    boxes: Path | None
    fps: float | None
    frame_rate: float | None
    force: bool


def write_dataset(given: Given, conf: Path, *, workers: int) -> list[str]:
    """Probe the films, copy the sources to the paths in the parameters, and write the parameters.

    Args:
        given: the options.
        conf: the folder `conf`.
        workers: number of processes that read videos.

    Returns:
        Lines for the user.

    Raises:
        InputError: the name or a path cannot be used, or the parameters do not compose.
    """
    path = check_name(given.name, conf, force=given.force)
    for each, option in ((given.videos, "--videos"), (given.annotations, "--annotations"), (given.boxes, "--boxes")):
        check_source(given.name, each, option)
    videos = path_for_experiments(in_place(given.videos, "--videos"))
    found = find_videos(given.videos, frame_rate=given.frame_rate)
    films = probe_films(found.paths, workers=workers, rates=found.rates)
    source = Path("data", given.name, "source")
    folder = Path(own_folder(given.annotations, source / "annotations", "--annotations", force=given.force))
    boxes = Path(own_folder(given.boxes, source / "proposals", "--boxes", force=given.force)) if given.boxes else None
    beside = [folder, boxes] if boxes else [folder]
    if given.force:
        remove_written(beside, conf)
    before = lists_in(beside)
    told = [write_videos_csv(folder, films), write_frame_times(folder, films)]
    default = compose_params([], conf)
    annotated = _read_annotations(folder, default, grid_fps(films) if given.fps is None else given.fps)
    thresholds = Thresholds()
    if boxes:
        told.append(write_box_rates(boxes, films))
        thresholds = propose_thresholds(boxes, annotated.imported, folder)
        told.append(thresholds.told())
    proposals = path_for_experiments(boxes.as_posix()) if boxes else None
    more = proposed_lines(films, thresholds, motion=not boxes, least_score=default["boxes"]["min_score"])
    text = config_text(
        given.name,
        videos=videos,
        films=films,
        annotated=annotated,
        boxes=proposals,
        fps=given.fps,
        asked_side=_asked_side(default),
        more={"dataset": rate_lines(given.frame_rate), "blocks": more},
    )
    written = note_lines([each for each in lists_in(beside) if each not in before])
    write_text(path, text + "".join(f"{line}\n" for line in written))
    compose_params([f"dataset={given.name}"], conf)
    told.append(_summary(path, films, annotated, proposals))
    told.append(ignore_words(given.videos))
    return [line for line in [*told, *_told_of_splits(path, annotated)] if line]


def _read_annotations(folder: Path, default: Mapping[str, Any], fps: float) -> Annotated:
    shown = default["backbone"]["input"]
    gap_seconds = split_gap(shown["frames"] * shown["interval"], fps)
    return read_classes(folder, path_for_experiments(folder.as_posix()), gap_seconds=gap_seconds)


def _asked_side(default: Mapping[str, Any]) -> int:
    """Return the longest short side to which the default experiment scales a frame."""
    asked: list[int] = [default["backbone"]["input"]["short_side"]]
    asked += [max(default[block]["augmentation"]["short_side"]) for block in ("baseline", "head_train")]
    return max(asked)


def _summary(path: Path, films: Mapping[str, ProbedFilm], annotated: Annotated, proposals: str | None) -> str:
    classes = counted(annotated.classes, "class", "classes") if annotated.labels else "classes are to be set"
    by = f"from {proposals}" if proposals else "by motion"
    return f"{path}: written: {counted(len(films), 'film')}, {classes}, boxes {by}"


def _told_of_splits(path: Path, annotated: Annotated) -> Sequence[str]:
    if annotated.gap_seconds:
        return [f"{path}: one film is annotated, so it is split by time: its last fifth is val (dataset.split_by)"]
    return annotated.imported.told_of_splits if annotated.imported else ()

"""Decide for every film where its boxes and timestamps come from."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.errors import InputError, counted
from pipeline.base.files import digest_file
from pipeline.base.problems import print_first
from pipeline.predict.film_sources import FilmSource
from pipeline.predict.find_persons import Persons, TableOfBoxes, choose_persons, read_boxes
from pipeline.predict.load_model import Model
from pipeline.predict.predict_film import PLAIN
from pipeline.tables.schemas import BOXES, TIMELINES, VIDEOS, read_table
from pipeline.tables.timelines import Timeline, read_timelines

USUAL_DETECTOR = "fasterrcnn"


@dataclass(frozen=True)
class FilmPlan:
    """A film with what is needed to predict it."""

    film: FilmSource
    persons: Persons
    timeline: Timeline
    told: str
    "Where its boxes come from."


@dataclass(frozen=True, kw_only=True)
class UserChoice:
    """What a user says about boxes and times; None where nothing."""

    boxes: Path | None = None
    objects: Path | None = None
    detector: str | None = None
    times: Path | None = None
    "A videos.csv: the timestamps of the films."
    first_timestamp: float = 0.0
    "The timestamp of every film's first frame, without `times`."


def plan_films(films: Sequence[FilmSource], model: Model, chosen: UserChoice) -> list[FilmPlan]:
    """Return the plans of films, sorted by id.

    Without boxes, detector and times a film of the model's own project takes the boxes that the project has; every
    other film is searched with USUAL_DETECTOR.

    Raises:
        InputError: both boxes and a detector are given, or they are as `read_boxes` and `choose_persons` refuse them;
            or `times` lacks a film.
    """
    films = sorted(films, key=lambda film: film.video_id)
    if chosen.boxes and chosen.detector:
        raise InputError("--boxes and --detector: expected one of them")
    if chosen.objects and not chosen.boxes:
        raise InputError("--objects: expected beside --boxes; a detector finds its own")
    lines = _timelines(films, chosen)
    if chosen.boxes:
        table, problems = read_boxes(chosen.boxes, chosen.objects, lines, min_score=model.settings.min_score)
        print_first(problems)
        return [FilmPlan(film, table, lines[film.video_id], chosen.boxes.name) for film in films]
    told = chosen.detector or chosen.times or chosen.first_timestamp  # the project's boxes have the project's times
    own = {} if told else project_films(films, model)
    others = [film for film in films if film.video_id not in own]
    plans = list(own.values())
    if own:
        print(_own_told(len(own), len(films)), file=sys.stderr)
    if others:
        name, hardware = chosen.detector or USUAL_DETECTOR, model.predictor.hardware
        detector = choose_persons(
            name, min_score=model.settings.min_score, device=str(hardware.device), batch=hardware.batch
        )
        plans += [FilmPlan(film, detector, lines[film.video_id], name) for film in others]
    return sorted(plans, key=lambda plan: plan.film.video_id)


def _own_told(own: int, films: int) -> str:
    some = (
        f"{own} of {films} films are" if own != films else f"{counted(films, 'film')} {'is' if films == 1 else 'are'}"
    )
    return f"{some} the project's own: boxes and times are taken from the project"


def _timelines(films: Sequence[FilmSource], chosen: UserChoice) -> Mapping[str, Timeline]:
    if chosen.times is None:
        line = replace(PLAIN, first_timestamp=chosen.first_timestamp)
        return {film.video_id: line for film in films}
    lines = {name: replace(line, split=PLAIN.split) for name, line in read_timelines(chosen.times).items()}
    absent = [film.video_id for film in films if film.video_id not in lines]
    if absent:
        asked = "the film" if len(films) == 1 else f"each of {len(films)} films"
        raise InputError(f"{chosen.times}: has no row of film {absent[0]!r}, expected one of {asked}")
    return lines


def project_films(films: Sequence[FilmSource], model: Model) -> dict[str, FilmPlan]:
    """Return the plans of those films whose bytes the model's own project has extracted, with its boxes and times.

    Raises:
        InputError: a table of the project is damaged.
    """
    if model.project is None:
        return {}
    data = model.project / "data" / str(model.files.provenance["dataset"])
    paths = [data / name for name in ("frames/videos.parquet", "boxes/boxes.parquet", "annotations/timelines.parquet")]
    if not all(path.is_file() for path in paths):
        return {}
    videos, boxes, lines = (
        read_table(path, kind) for path, kind in zip(paths, (VIDEOS, BOXES, TIMELINES), strict=True)
    )
    by_digest = dict(zip(videos["sha256"].to_pylist(), videos["video_id"].to_pylist(), strict=True))
    known = {row["video_id"]: row for row in lines.to_pylist()}
    plans = {}
    for film in films:
        name = by_digest.get(digest_file(film.path)) if film.frame_rate is None else None
        if name not in known:
            continue
        table = boxes.filter(pc.equal(boxes["video_id"], name))
        ids = pa.array([film.video_id] * len(table), pa.string())
        table = table.set_column(0, BOXES.field("video_id"), ids)
        line = Timeline(PLAIN.split, known[name]["first_timestamp"], known[name]["offset_seconds"])
        plans[film.video_id] = FilmPlan(film, TableOfBoxes(table, str(paths[1])), line, "the project's")
    return plans

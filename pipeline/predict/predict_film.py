"""Predict one film: extract its frames, find its persons, make the rows that its windows read, and score.

Every step is the one that a stage takes (extract_frames, detect_boxes, infer_bank, evaluate), on a film that is a split
of its own, without annotations. So the same boxes of a validation film give the detections that `evaluate` wrote.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.bank.reader import Bank, open_parts
from pipeline.bank.windows.resident import ResidentWindows
from pipeline.bank.windows.slots import Windows
from pipeline.base.errors import InputError
from pipeline.base.files import digest_file, read_json
from pipeline.base.numerics import set_numerics
from pipeline.base.problems import Problem
from pipeline.boxes.detecting import SearchedFilm
from pipeline.boxes.person_tracks import with_tracks
from pipeline.features.film_objects import with_objects
from pipeline.features.film_parts import FilmModel, PartSettings, write_film_part
from pipeline.features.requests import FilmBoxes, films_of_split
from pipeline.features.split_parts import made_with
from pipeline.features.windows import WindowSource
from pipeline.models.attention import record_attention
from pipeline.models.detector import Detector
from pipeline.predict.attention_table import ATTENTION
from pipeline.predict.explain_rows import attention_table, check_attends
from pipeline.predict.film_sources import FilmSource
from pipeline.predict.film_times import FilmTimes, FramesOfTimes
from pipeline.predict.find_persons import FrameDetector, Persons
from pipeline.predict.load_model import Model
from pipeline.predict.past_windows import PastWindows
from pipeline.predict.scored_times import Floats, check_step, of_windows
from pipeline.predict.seen_places import object_boxes_seen, objects_seen, scene_of
from pipeline.predict.settings import PredictSettings
from pipeline.scoring.detections import ScoredKeyframe, detections_table
from pipeline.scoring.keyframe_rows import scoring_rows
from pipeline.scoring.settings import object_rule
from pipeline.tables.keyframes import KeyframeSet
from pipeline.tables.schemas import ANNOTATIONS, BOX_COLUMNS, BOXES, DETECTIONS, KEYFRAMES, VIDEOS, read_table
from pipeline.tables.split_tables import Tables, split_keyframes
from pipeline.tables.timelines import Timeline, timelines_table
from pipeline.tables.window_span import own_second
from pipeline.video.chosen_frames import Wanted
from pipeline.video.items import VideoItem, assemble_videos, write_item
from pipeline.video.manifest import write_manifest
from pipeline.video.pictures import digest_pictures
from pipeline.video.store import FrameStore

SPLIT = "val"
"A film is a split of its own for the steps that know splits."
PLAIN = Timeline(SPLIT, first_timestamp=0.0, offset_seconds=0.0)
"Timestamps are seconds from the film's start."
WHOLE_FRAME = "whole frame"
PART_TIMES = 512
"Scored times whose detections are in memory at a time."


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """What a user chooses for all films."""

    every: float = 1.0
    "Seconds between scored times."
    memory: Literal["full", "past"] = "full"
    "past: windows hold nothing after the keyframe's own second."
    at: pa.Table | None = None
    "Columns video_id and timestamp: score these times alone, of all films that it names."
    explain: int = 0
    "Of each person and layer of attention so many of the largest weights are told; 0 tells none."

    def check(self, model: Model) -> None:
        """Check that the options mean something for a model.

        Raises:
            InputError: one does not.
        """
        check_step(self.every)
        if self.explain:
            check_attends(model.predictor)
        if self.memory == "past" and model.spec.head.window is None:
            raise InputError(f"--memory past: head {model.spec.head.name} reads no window")


@dataclass(frozen=True)
class FilmResult:
    """What is known about a film afterwards."""

    scored: list[ScoredKeyframe]
    "Times with a person."
    settings: PredictSettings
    "Those of the model: which scores give a row of DETECTIONS."
    persons: pa.Table
    "BOXES of the scored boxes, in the order of `scored`."
    video: pa.Table
    "VIDEOS, one row."
    parts: dict[str, Path]
    "The rows that the windows read, a finished part of a bank; empty for a head without windows."
    provenance: dict[str, Any]
    "Of the parts."
    boxes: int
    "Number of persons' boxes that were found, of any score."
    objects: int
    "Number of objects that were found."
    attention: pa.Table
    "ATTENTION; empty unless asked for."

    @property
    def detections(self) -> pa.Table:
        """DETECTIONS, made anew."""
        return pa.concat_tables([DETECTIONS.empty_table(), *(part for _, part in self.parts_of_detections())])

    def parts_of_detections(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Yield (persons, their DETECTIONS) of PART_TIMES scored times each: all at once are many times the scores."""
        row = 0
        for first in range(0, len(self.scored), PART_TIMES):
            part = self.scored[first : first + PART_TIMES]
            count = sum(len(each.boxes_xyxy) for each in part)
            threshold, decode = self.settings.action_threshold, self.settings.decode
            yield self.persons.slice(row, count), detections_table(part, action_threshold=threshold, decode=decode)
            row += count


def extract_film(
    film: FilmSource, folder: Path, model: Model, stop: threading.Event, wanted: Wanted | None = None
) -> Problem | FrameStore:
    """Write a film's frames into a store of its own, or return what is wrong with the film.

    Args:
        film: the film.
        folder: an empty folder.
        model: says how frames are stored.
        stop: when set, the work ends at once.
        wanted: the frames that are needed, see `frames_of`; None stores all.

    Raises:
        InputError: the film could not be extracted for a reason that is not in it.
    """
    item, store = folder / "item", folder / "frames"
    item.mkdir(parents=True)
    store.mkdir()
    settings = model.settings.frames
    sha256 = digest_file(film.path) if film.frame_rate is None else digest_pictures(film.path)
    write_item(
        film.path, item, settings=settings, source_sha256=sha256, stop=stop, frame_rate=film.frame_rate, wanted=wanted
    )
    if (item / "problem.json").exists():
        return Problem(str(film.path), film.video_id, **read_json(item / "problem.json"))
    items, paths = {film.video_id: VideoItem(item, sha256, True)}, {film.video_id: film.path}
    records, _ = assemble_videos(items, paths, root=film.path.parent, folder=store)
    write_manifest(store, records, **asdict(settings), pack=None)
    return FrameStore(store)


def predict_film(
    model: Model,
    film: FilmSource,
    store: FrameStore,
    persons: Persons,
    *,
    timeline: Timeline = PLAIN,
    options: PredictOptions,
    folder: Path,
) -> FilmResult:
    """Score the persons of a film whose frames are stored.

    Args:
        model: see `Model`.
        film: the film.
        store: its frames, alone, as `extract_film` wrote them: all, or those that `frames_of` names.
        persons: where boxes come from.
        timeline: the film's timestamps, which boxes of a file have, and so results.
        options: see `PredictOptions`.
        folder: for the rows of windows; it must outlive the result's `parts`.
    """
    timeline = replace(timeline, split=SPLIT)
    if options.memory == "past" and model.predictor.hardware.device.type == "cpu":
        model, persons = model.one_by_one(), persons.one_by_one()
    times = times_of(model, film.video_id, persons, timeline, options)
    boxes, scored_at = _boxes(film.video_id, store, persons, times)
    windows_at = of_windows(_times(boxes))
    films = FilmSteps(film.video_id, store, timeline, folder)
    bank = films.bank(model, boxes, windows_at, "windows") if model.spec.head.window else None
    keyframes = films.keyframes(model, boxes, scored_at)
    source = _windows(model, bank, options) if bank is not None else None
    same = bank is not None and np.isin(scored_at, windows_at).all()
    rows = bank
    if not isinstance(model.predictor.model, Detector) and not same:
        rows = films.bank(model, boxes, scored_at, "rows")
    scored, attention = _score(model, store, keyframes, rows, source, options)
    scored = [each for each in scored if len(each.boxes_xyxy)]
    path = pa.array([str(film.path)], pa.string())
    return FilmResult(
        scored=scored,
        settings=model.settings,
        persons=scored_boxes(scored, boxes),
        video=read_table(store.folder / "videos.parquet", VIDEOS).set_column(1, VIDEOS.field("path"), path),
        parts={} if bank is None else {film.video_id: folder / "windows"},
        provenance={} if bank is None else dict(bank.provenance),
        boxes=boxes["label"].null_count,
        objects=len(boxes) - boxes["label"].null_count,
        attention=attention,
    )


def _score(
    model: Model,
    store: FrameStore,
    keyframes: KeyframeSet,
    rows: Bank | None,
    source: WindowSource | None,
    options: PredictOptions,
) -> tuple[list[ScoredKeyframe], pa.Table]:
    """Score keyframes, and tell what the head looked at if that is asked for (ATTENTION)."""
    window_of, objects = source.for_evaluation() if source else None, model.spec.head.objects
    with ExitStack() as stack:
        recorded = stack.enter_context(record_attention(model.predictor.model)) if options.explain else []
        if isinstance(model.predictor.model, Detector):
            scored = model.predictor.score_films(store, keyframes, window_of)["detected"]
        else:
            assert rows is not None  # a head scores rows
            found = scoring_rows(rows, keyframes, "detections", rule=model.settings.rule, objects=objects)
            scored = model.predictor.score_rows(found, window_of)
    if not options.explain:
        return scored, ATTENTION.empty_table()
    if isinstance(model.predictor.model, Detector):
        seen = object_boxes_seen(keyframes)
    else:
        assert rows is not None
        seen = objects_seen(rows, keyframes, objects) if objects else None
    return scored, attention_table(recorded, scene_of(scored, source, seen), top=options.explain)


@dataclass(frozen=True)
class FilmSteps:
    """A film as the stages see it: tables of one split."""

    video_id: str
    store: FrameStore
    timeline: Timeline
    folder: Path

    def bank(self, model: Model, boxes: pa.Table, stamps: Floats, name: str) -> Bank:
        """Compute the rows of the boxes at some times, and open them as a bank."""
        assert model.producer is not None
        settings = model.bank_settings
        table = boxes.filter(pc.is_in(boxes["timestamp"], pa.array(stamps, pa.float64())))
        (of_film,) = films_of_split(
            SPLIT,
            timelines=timelines_table({self.video_id: self.timeline}),
            videos=read_table(self.store.folder / "videos.parquet", VIDEOS),
            boxes=table,
            annotations=ANNOTATIONS.empty_table(),
            keyframes=KEYFRAMES.empty_table(),
            rule=settings.rule,
            seconds="grid",
        )
        (of_film,) = with_objects([of_film], table, settings.objects)
        return self.bank_of(model, of_film, name)

    def bank_of(self, model: Model, of_film: FilmBoxes, name: str) -> Bank:
        """Compute the rows of chosen boxes, and open them as a bank."""
        assert model.producer is not None
        producer, settings = model.producer, model.bank_settings
        shared = made_with(producer.checkpoint, settings)
        if of_film.objects is not None:
            shared["objects"] = settings.objects
        part = PartSettings(settings.dtype, settings.codec, settings.compute_dtype, shared)
        hardware = model.predictor.hardware
        film_model = FilmModel(
            producer.detector,
            producer.clip,
            self.store,
            part,
            hardware.device,
            hardware.batch,
            1 if hardware.device.type == "cuda" else hardware.workers,
            model.predictor.keyframes,
        )
        set_numerics(compute_dtype=settings.compute_dtype, deterministic=False, threads=1)  # as every film of a bank
        try:
            write_film_part(self.folder / name, film_model, of_film)
        finally:
            set_numerics(compute_dtype=model.settings.compute_dtype, deterministic=False, threads=model.spec.threads)
        return open_parts({self.video_id: self.folder / name}, shared, split=SPLIT)

    def keyframes(self, model: Model, boxes: pa.Table, stamps: Floats) -> KeyframeSet:
        """Return the times that are scored, with their boxes."""
        line = self.timeline
        count = len(stamps)
        table = pa.table(
            {
                "video_id": pa.array([self.video_id] * count, pa.string()),
                "timestamp": pa.array(stamps, pa.float64()),
                "time_seconds": pa.array(stamps - line.first_timestamp + line.offset_seconds, pa.float64()),
                "split": pa.array([SPLIT] * count, pa.string()),
                "status": pa.array(["annotated"] * count, pa.string()),
            }
        ).cast(KEYFRAMES)
        tables = Tables(ANNOTATIONS.empty_table(), table, list(model.labels), boxes)
        return split_keyframes(
            tables,
            SPLIT,
            classes=model.spec.classes,
            rule=model.settings.rule,
            with_empty=True,
            objects=object_rule(model.spec.head),
        )


def times_of(model: Model, video_id: str, persons: Persons, timeline: Timeline, options: PredictOptions) -> FilmTimes:
    """Return which times of a film are looked at; arguments are those of `predict_film`."""
    return FilmTimes(
        timeline=replace(timeline, split=SPLIT),
        every=options.every,
        asked=None if options.at is None else _asked(options.at, video_id),
        boxed=None if isinstance(persons, FrameDetector) else persons.times(video_id),
        with_window=model.spec.head.window is not None,
        with_whole_frames=model.bank_settings.full_frame_box and model.producer is not None,
    )


def frames_of(
    model: Model, video_id: str, persons: Persons, timeline: Timeline, options: PredictOptions
) -> FramesOfTimes:
    """Return which frames of a film `predict_film` reads; arguments are those that it gets."""
    clips = [model.spec.clip, *([model.producer.clip] if model.producer else [])]
    times = times_of(model, video_id, persons, timeline, options)
    return FramesOfTimes(times, tuple(clips), model.settings.frames.fps)


def _boxes(video_id: str, store: FrameStore, persons: Persons, times: FilmTimes) -> tuple[pa.Table, Floats]:
    """Return the boxes of a film at the times that are scored or fill windows, with track ids; and the scored times."""
    length = store.duration_seconds(video_id)
    stamps = times.taken(length)
    if isinstance(persons, FrameDetector):
        searched = SearchedFilm(video_id, times.shift_seconds, stamps)
        boxes = persons.boxes(searched, store, times.timeline)
    else:
        boxes = persons.boxes(video_id, stamps)
    return with_tracks(boxes), times.scored(length)


def _asked(at: pa.Table, video_id: str) -> Floats:
    names = at["video_id"].cast(pa.string())
    stamps: Floats = at.filter(pc.equal(names, video_id))["timestamp"].to_numpy()
    return np.unique(stamps)


def _times(boxes: pa.Table) -> Floats:
    stamps: Floats = np.unique(boxes["timestamp"].to_numpy())
    return stamps


def _windows(model: Model, bank: Bank, options: PredictOptions) -> WindowSource:
    """Return the windows of a film's own rows."""
    window = model.window
    assert window is not None  # the head reads a bank
    windows: Windows = ResidentWindows([bank], min_score=window.score, device=model.predictor.hardware.device)
    if options.memory == "past":
        windows = PastWindows(windows, own_second(window.seconds, window.span))
    return WindowSource(windows, window, banks=(bank,))


def scored_boxes(scored: Sequence[ScoredKeyframe], boxes: pa.Table) -> pa.Table:
    """Return the rows of BOXES that were scored, in the order of the scores; a whole frame has score 1."""
    persons = boxes.filter(pc.is_null(boxes["label"]))
    columns = [persons[name].to_pylist() for name in ("timestamp", *BOX_COLUMNS)]
    places = {key: row for row, key in reversed(list(enumerate(zip(*columns, strict=True))))}
    bare: list[dict[str, Any]] = []
    rows: list[int] = []
    for each in scored:
        for box in each.boxes_xyxy.tolist():
            at = places.get((each.keyframe.timestamp, *box))
            rows.append(len(persons) + len(bare) if at is None else at)
            if at is None:
                edges = dict(zip(BOX_COLUMNS, box, strict=True))
                bare.append({**asdict(each.keyframe), **edges, "score": 1.0, "source": WHOLE_FRAME})
    both = pa.concat_tables([persons.select(BOXES.names).cast(BOXES), pa.Table.from_pylist(bare, BOXES)])
    return both.take(pa.array(rows, pa.int64())).combine_chunks()

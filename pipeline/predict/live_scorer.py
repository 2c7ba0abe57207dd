"""Score a film that goes on, time by time, with the steps that `predict` takes for a whole film."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from pipeline.bank.reader import Bank
from pipeline.bank.windows.resident import ResidentWindows
from pipeline.base.progress import no_bars
from pipeline.boxes.detecting import SearchedFilm
from pipeline.boxes.film_frames import FilmFrames
from pipeline.boxes.motion import SCENE_FRAMES, empty_scene, motion_boxes, shrink_by_squares
from pipeline.boxes.person_tracks import Tracker
from pipeline.features.film_objects import best_rows
from pipeline.features.requests import FilmBoxes, choose_boxes, rows_by_video
from pipeline.features.windows import WindowSource
from pipeline.models.context import WindowOf
from pipeline.models.detector import Detector
from pipeline.predict.find_persons import FrameDetector, Persons
from pipeline.predict.load_model import Model
from pipeline.predict.predict_film import PLAIN, FilmSteps, scored_boxes
from pipeline.predict.recent_frames import Due, FrameTap, live_times
from pipeline.predict.recent_rows import RecentRows
from pipeline.predict.typed_results import Second, typed_seconds
from pipeline.scoring.detections import ScoredKeyframe, detections_table
from pipeline.scoring.keyframe_rows import scoring_rows
from pipeline.tables.csv_rows import Floats
from pipeline.tables.schemas import BOX_COLUMNS, BOXES, DETECTIONS


@dataclass(frozen=True)
class LiveStep:
    """What is known about one time."""

    second: Second
    "Without persons where nobody was scored."
    detections: pa.Table
    "DETECTIONS."
    persons: pa.Table
    "BOXES of the scored boxes."


class LiveScorer:
    """Scores the times of one film in their order; windows hold what came before.

    Args:
        model: see `Model`.
        persons: where boxes come from. The detector `motion` takes its empty scene from the past alone.
        video_id: names the film.
        on_step: gets every scored time with its tables.
    """

    def __init__(
        self, model: Model, persons: Persons, video_id: str, on_step: Callable[[LiveStep], None] = lambda _: None
    ) -> None:
        if isinstance(persons, FrameDetector) and persons.name == "motion":
            persons = replace(persons, loaded=[PastMotion()])
        self._model, self._persons, self._video_id, self._on_step = model, persons, video_id, on_step
        self._tracker = Tracker()
        self._filled = -1
        self._recent, self._window_of = _windows(model)

    def tap(self, every: float) -> FrameTap:
        """Return what finds the times that this scores, every so many seconds."""
        model = self._model
        clips = [model.spec.clip, *([model.producer.clip] if model.producer else [])]
        times = live_times(every, with_seconds=model.producer is not None)
        return FrameTap(self._video_id, model.settings.frames, clips, times)

    def step(self, due: Due) -> Second | None:
        """Score a time later than all before; None for one that only fills windows."""
        with TemporaryDirectory(prefix="actionbank-live-") as scratch, no_bars():
            return self._step(due, FilmSteps(self._video_id, due.frames, PLAIN, Path(scratch)))

    def _step(self, due: Due, film: FilmSteps) -> Second | None:
        model, stamps = self._model, np.array([due.seconds])
        boxes = self._boxes(due, stamps)
        in_rows = not isinstance(model.predictor.model, Detector)
        fills = self._recent is not None and self._fills(due.seconds, boxes)
        bank: Bank | None = None
        if fills or (in_rows and due.is_scored):
            bank = film.bank_of(model, self._film_boxes(due.seconds, boxes), "rows")
        if self._recent is not None and fills and bank is not None:
            rows_of = ResidentWindows([bank], min_score=self._recent.min_score, device=self._recent.like.device)
            self._recent.add(int(due.seconds), rows_of.features[1:])
            self._filled = int(due.seconds)
        if not due.is_scored:
            return None
        keyframes = film.keyframes(model, boxes, stamps)
        window_of = self._window_of
        if isinstance(model.predictor.model, Detector):
            scored = model.predictor.score_films(due.frames, keyframes, window_of)["detected"]
        else:
            assert bank is not None
            rows = scoring_rows(
                bank, keyframes, "detections", rule=model.settings.rule, objects=model.spec.head.objects
            )
            scored = model.predictor.score_rows(rows, window_of) if len(rows.boxes_xyxy) else []
        return self._result(due.seconds, [each for each in scored if len(each.boxes_xyxy)], boxes)

    def _result(self, seconds: float, scored: list[ScoredKeyframe], boxes: pa.Table) -> Second:
        model = self._model
        persons = scored_boxes(scored, boxes) if scored else BOXES.empty_table()
        found = list(typed_seconds(scored, persons, model.labels, model.thresholds))
        second = found[0] if found else Second(self._video_id, seconds, seconds, ())
        detections = (
            detections_table(scored, action_threshold=model.settings.action_threshold, decode=model.settings.decode)
            if scored
            else DETECTIONS.empty_table()
        )
        self._on_step(LiveStep(second, detections, persons))
        return second

    def _boxes(self, due: Due, stamps: Floats) -> pa.Table:
        """Return the BOXES at a time, with track ids."""
        if isinstance(self._persons, FrameDetector):
            table = self._persons.boxes(SearchedFilm(self._video_id, 0.0, stamps), due.frames, PLAIN)
        else:
            table = self._persons.boxes(self._video_id, stamps)
        persons = pc.is_null(table["label"]).to_numpy()
        boxes = np.stack([table[name].to_numpy() for name in BOX_COLUMNS], axis=1)[persons]
        found = np.full(len(table), -1)
        found[persons] = self._tracker.step(due.seconds, boxes, table["score"].to_numpy()[persons])
        ids = pa.array(found, pa.int64(), mask=found < 0)
        return table.set_column(table.schema.get_field_index("track_id"), BOXES.field("track_id"), ids)

    def _fills(self, seconds: float, boxes: pa.Table) -> bool:
        """Return whether the rows of a time fill the window: those of the first time of a second that has a box."""
        return int(seconds) > self._filled and len(boxes) > 0

    def _film_boxes(self, seconds: float, boxes: pa.Table) -> FilmBoxes:
        """Choose the boxes of a time that get rows, as `films_of_split` chooses those of a film."""
        settings, stamps = self._model.bank_settings, np.array([seconds])
        persons = boxes.filter(pc.is_null(boxes["label"]))
        rows = rows_by_video(persons, ["timestamp", *BOX_COLUMNS, "score", "track_id"])
        kept = choose_boxes(rows.get(self._video_id, np.empty((0, 7))), stamps, settings.rule)
        things = None
        labelled = boxes.filter(pc.is_valid(boxes["label"]))
        if settings.objects:
            of_film = rows_by_video(labelled, ["timestamp", *BOX_COLUMNS, "score"])
            things = best_rows(of_film.get(self._video_id, np.empty((0, 6))), stamps, settings.objects)
        return FilmBoxes(
            self._video_id, 0.0, seconds + 1, stamps,
            detected_timestamp=kept[:, 0], detected_xyxy=kept[:, 1:5], detected_score=kept[:, 5],
            annotated_timestamp=None, annotated_xyxy=None,
            detected_track=np.nan_to_num(kept[:, 6], nan=-1).astype(np.int64), objects=things,
        )  # fmt: skip


def _windows(model: Model) -> tuple[RecentRows | None, WindowOf | None]:
    """Return the rows of the past, still empty, and the windows of them; None for a head that reads none."""
    window = model.window
    if model.producer is None or window is None:
        return None, None
    dtype = {"fp16": torch.float16, "fp32": torch.float32}[model.bank_settings.dtype]
    device = model.predictor.hardware.device
    like = torch.empty((0, model.producer.detector.roi_channels), dtype=dtype, device=device)
    recent = RecentRows(window.seconds, window.score, like)
    return recent, WindowSource(recent, window).for_evaluation()


class PastMotion:
    """The detector `motion` for a camera: its empty scene is made of the latest times, not of the whole film."""

    def __init__(self) -> None:
        self._seen: list[np.ndarray] = []

    def __call__(self, frames: FilmFrames) -> list[Floats]:
        """Return the boxes of each frame, RGB uint8 [height, width, 3]; see `motion_boxes`."""
        found = []
        for frame in frames:
            small = shrink_by_squares(frame)
            self._seen = [*self._seen[1 - SCENE_FRAMES :], small]
            scene = empty_scene(np.stack(self._seen).astype(np.float32))
            found.append(motion_boxes(small.astype(np.float32), scene))
        return found

"""Predict several films one after the other; a film that cannot be read is listed, and the others go on."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from pipeline.bank.reader import read_manifest
from pipeline.bank.writer import assemble_bank
from pipeline.base.errors import InputError, counted
from pipeline.base.files import delete
from pipeline.base.problems import Problem
from pipeline.base.progress import whole_bar
from pipeline.checkpoint.sidecars import plain
from pipeline.predict import film_times
from pipeline.predict.attention_table import ATTENTION
from pipeline.predict.film_plans import FilmPlan
from pipeline.predict.find_persons import TableOfBoxes
from pipeline.predict.load_model import Model
from pipeline.predict.predict_film import SPLIT, FilmResult, PredictOptions, extract_film, frames_of, predict_film
from pipeline.predict.predicted import Predicted
from pipeline.predict.scored_seconds import ScoredSecond, scored_seconds
from pipeline.predict.typed_results import Second, typed_seconds
from pipeline.tables.schemas import BOXES, DETECTIONS, VIDEOS
from pipeline.video import extract
from pipeline.video.children import preload


@dataclass
class FilmsResult:
    """What was found in the films that were predicted as a whole."""

    results: list[FilmResult] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    "Films that cannot be read."
    without_person: list[str] = field(default_factory=list)
    "Films in which nobody was scored."
    interrupted: bool = False
    "Whether a Ctrl-C left films out."

    def attention(self) -> pa.Table:
        """Return what the head looked at in all films (ATTENTION)."""
        return pa.concat_tables([ATTENTION.empty_table(), *(each.attention for each in self.results)])

    def detections(self) -> Iterator[pa.Table]:
        """Yield DETECTIONS of all films, part by part."""
        return (part for each in self.results for _, part in each.parts_of_detections())

    def seconds(self, predicted: Predicted) -> Iterator[ScoredSecond]:
        """Yield what `scored_seconds` gives for all films, from their parts; `predicted` has labels and films."""
        for each in sorted(self.results, key=lambda each: str(each.video["video_id"][0])):
            for persons, part in each.parts_of_detections():
                yield from scored_seconds(replace(predicted, detections=part, persons=persons))

    def predicted(self, model: Model, *, whole: bool = True, **chosen: Any) -> Predicted:
        """Return the tables; without detections if not `whole`; `chosen` are further entries of `model.json`."""
        facts = {**model.facts(), "settings": plain(model.settings), **chosen}
        return Predicted(
            detections=_joined(list(self.detections()) if whole else [], DETECTIONS),
            persons=_joined([each.persons for each in self.results], BOXES),
            videos=_joined([each.video for each in self.results], VIDEOS),
            labels=model.labels,
            model=facts,
        )


def _joined(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables([schema.empty_table(), *tables]).combine_chunks()


def predict_films(
    model: Model,
    plans: Sequence[FilmPlan],
    options: PredictOptions,
    *,
    on_second: Callable[[Second], None] | None = None,
    keep_bank: Path | None = None,
) -> FilmsResult:
    """Predict films in the order of the plans, and say on stderr what each gave.

    A Ctrl-C ends the work: the films until then are in the result.

    Args:
        model: see `Model`.
        plans: the films.
        options: see `PredictOptions`.
        on_second: gets every scored time as soon as its film is done.
        keep_bank: where the rows of the windows of all films are written, as a bank; None keeps none.

    Raises:
        InputError: a film could not be extracted for a reason that is not in it, or no film can be read.
    """
    found, bad = FilmsResult(), 0
    preload(extract, film_times)  # each film is decoded in a child process
    with (
        TemporaryDirectory(prefix="actionbank-predict-") as scratch,
        whole_bar("predict", total=len(plans), done=0) as bar,
    ):
        try:
            for number, plan in enumerate(plans):
                _predict(model, plan, options, Path(scratch, str(number)), found, on_second, keep=keep_bank is not None)
                if len(found.problems) > bad and len(plans) > 1:  # the error below says that of a single film
                    print(found.problems[-1], file=sys.stderr)
                bad = len(found.problems)
                if bar is not None:
                    bar.update()
        except KeyboardInterrupt:
            found.interrupted = True
            print(f"interrupted: {len(found.results)} of {counted(len(plans), 'film')} are done", file=sys.stderr)
        if keep_bank is not None and found.results:
            parts = {name: path for each in found.results for name, path in each.parts.items()}
            assemble_bank(keep_bank, parts=parts, split=SPLIT, provenance=_shared(found.results))
    _say_without_objects(model, found)
    if found.problems and len(found.problems) == len(plans):
        # Several were printed as they came.
        told = str(found.problems[0]) if len(plans) == 1 else f"none of {len(plans)} films can be read"
        raise InputError(told)
    return found


def check_keep_bank(model: Model, path: Path | None, *, force: bool) -> None:
    """Check that a bank can be kept at a path.

    Raises:
        InputError: the head reads none, or something is there and `force` is not set, or it is no bank.
    """
    if path is None:
        return
    if model.spec.head.window is None:
        raise InputError(f"--keep-bank: head {model.spec.head.name} reads no window, so no bank is made")
    if path.exists() and not force:
        raise InputError(f"{path}: is there already; --force replaces it")
    if path.exists():
        read_manifest(path)


def _predict(
    model: Model,
    plan: FilmPlan,
    options: PredictOptions,
    folder: Path,
    found: FilmsResult,
    on_second: Callable[[Second], None] | None,
    *,
    keep: bool,
) -> None:
    try:
        result = _film_result(model, plan, options, folder)
    except InputError as error:  # of this film: its frames cannot be extracted, or a feature is too large for fp16
        result = Problem(str(plan.film.path), plan.film.video_id, str(error), "a film that can be predicted")
    if isinstance(result, Problem):
        found.problems.append(result)
        return
    delete(folder / "film" if keep else folder)
    found.results.append(result)
    if on_second is not None:
        for second in typed_seconds(result.scored, result.persons, model.labels, model.thresholds):
            on_second(second)
    print(_told(model, plan, result, found), file=sys.stderr)


def _film_result(model: Model, plan: FilmPlan, options: PredictOptions, folder: Path) -> FilmResult | Problem:
    stop = threading.Event()
    try:
        wanted = frames_of(model, plan.film.video_id, plan.persons, plan.timeline, options)
        store = extract_film(plan.film, folder / "film", model, stop, wanted)
    except BaseException:  # its child must stop too
        stop.set()
        raise
    if isinstance(store, Problem):
        return store
    return predict_film(model, plan.film, store, plan.persons, timeline=plan.timeline, options=options, folder=folder)


def _told(model: Model, plan: FilmPlan, result: FilmResult, found: FilmsResult) -> str:
    name = plan.film.video_id
    if result.scored:
        boxes, times = counted(len(result.persons), "person"), counted(len(result.scored), "time")
        return f"{name}: {boxes} at {times}, boxes: {plan.told}"
    found.without_person.append(name)
    least = model.settings.box_threshold
    elsewhere = plan.persons.times(name) if isinstance(plan.persons, TableOfBoxes) else None
    if not result.boxes and elsewhere is not None and len(elsewhere):
        return (
            f"{name}: no person: no box at its times; boxes are there from {elsewhere[0]:g} to {elsewhere[-1]:g} "
            f"(--first-timestamp says when the film begins), boxes: {plan.told}"
        )
    if not result.boxes:
        return f"{name}: no person: no box in it, boxes: {plan.told}"
    return (
        f"{name}: no person: none of {counted(result.boxes, 'box', 'boxes')} has a score of at least {least:g}, which "
        f"--box-threshold sets, boxes: {plan.told}"
    )


def _shared(results: Sequence[FilmResult]) -> dict[str, Any]:
    return results[0].provenance


def _say_without_objects(model: Model, found: FilmsResult) -> None:
    if model.spec.head.objects and found.results and not any(each.objects for each in found.results):
        print(
            f"head {model.spec.head.name} looks at objects, and no film has one (--objects, or a detector that finds "
            "them): it sees none",
            file=sys.stderr,
        )

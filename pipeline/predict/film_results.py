"""What is found in each of several films: one film after the other here, or all of them on a Ray cluster."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.base.errors import ClusterError, InputError
from pipeline.base.executors import item_executor, uses_ray
from pipeline.base.files import delete
from pipeline.base.hardware import Hardware
from pipeline.base.make_items import AHEAD, Job, Needs
from pipeline.base.problems import Problem
from pipeline.base.ray_device import device_here
from pipeline.base.ray_worker import Files, folder_bytes, load_here, write_folder
from pipeline.predict import film_times
from pipeline.predict.film_plans import FilmPlan
from pipeline.predict.find_persons import FrameDetector, TableOfBoxes
from pipeline.predict.load_model import Model, open_model
from pipeline.predict.model_files import ModelFiles
from pipeline.predict.predict_film import FilmResult, PredictOptions, extract_film, frames_of, predict_film
from pipeline.predict.settings import PredictSettings
from pipeline.video import extract
from pipeline.video.children import preload


def film_results(
    model: Model, plans: Sequence[FilmPlan], options: PredictOptions, folder: Path, *, keep: bool
) -> Iterator[FilmResult | Problem]:
    """Yield what is found in each film, in the order of the plans, or why it cannot be predicted.

    Several films go to a Ray cluster where items are made there (`uses_ray`).

    Args:
        model: see `Model`.
        plans: the films.
        options: see `PredictOptions`.
        folder: an empty one; with `keep` it gets the rows of windows, and must outlive their use.
        keep: whether these rows are kept.

    Raises:
        ClusterError: the cluster cannot be used.
    """
    if len(plans) > 1 and uses_ray():
        yield from _on_cluster(model, plans, options, folder, keep)
        return
    for number, plan in enumerate(plans):
        yield _predict(model, plan, options, folder / str(number), keep=keep)


def _predict(
    model: Model, plan: FilmPlan, options: PredictOptions, folder: Path, *, keep: bool
) -> FilmResult | Problem:
    try:
        result = _film_result(model, plan, options, folder)
    except InputError as error:  # of this film: its frames cannot be extracted, or a feature is too large for fp16
        return _problem(plan, error)
    if not isinstance(result, Problem):
        delete(folder / "film" if keep else folder)
    return result


def _problem(plan: FilmPlan, error: InputError) -> Problem:
    return Problem(str(plan.film.path), plan.film.video_id, str(error), "a film that can be predicted")


@dataclass
class FilmPredictor:
    """Predicts the plan of a job on a node of a Ray cluster, where the model is loaded from its files, once."""

    files: ModelFiles
    settings: PredictSettings
    hardware: Hardware
    options: PredictOptions
    detector: FrameDetector | None
    "What finds the persons of films that bring no table of boxes."
    keep: bool
    model: Model | None = None

    def __call__(self, job: Job) -> tuple[FilmResult | Problem, Files]:
        """Return what `predict_film` gives, and the files of the rows of its windows if they are kept."""
        if self.model is None:
            preload(extract, film_times)
            place = replace(self.hardware, device=device_here(self.hardware.device), workers=1)
            self.model = load_here(partial(open_model, self.files, self.settings, place))
        film, persons, timeline, told = job.given
        persons = persons or self.detector
        assert persons is not None
        plan = FilmPlan(film, persons, timeline, told)
        with TemporaryDirectory(prefix="actionbank-predict-") as folder:
            result = _predict(self.model, plan, self.options, Path(folder), keep=self.keep)
            if isinstance(result, Problem):
                return result, {}
            rows = [folder_bytes(path) for path in result.parts.values()] if self.keep else []
            return replace(result, parts={}), rows[0] if rows else {}


def _on_cluster(
    model: Model, plans: Sequence[FilmPlan], options: PredictOptions, folder: Path, keep: bool
) -> Iterator[FilmResult | Problem]:
    hardware = model.predictor.hardware
    needs = Needs(module=__name__, keeps_model=True, may_use_gpu=hardware.asked != "cpu")
    waiting: deque[tuple[FilmPlan, Future[tuple[FilmResult | Problem, Files]]]] = deque()
    detector = next((plan.persons for plan in plans if isinstance(plan.persons, FrameDetector)), None)
    make = FilmPredictor(model.files, model.settings, hardware, options, detector, keep)

    def next_one() -> FilmResult | Problem:
        plan, future = waiting.popleft()
        try:
            result, rows = future.result()
        except ClusterError:
            raise
        except InputError as error:  # its worker was lost
            return _problem(plan, error)
        if isinstance(result, Problem) or not rows:
            return result
        part = folder / plan.film.video_id
        part.mkdir()
        write_folder(part, rows)
        return replace(result, parts={plan.film.video_id: part})

    with item_executor(hardware.workers, needs) as executor:
        for plan in plans:
            if len(waiting) >= AHEAD:
                yield next_one()
            waiting.append((plan, executor.submit(make, _job_of(plan))))
        while waiting:
            yield next_one()


def _job_of(plan: FilmPlan) -> Job:
    name, persons = plan.film.video_id, plan.persons
    # A table has the boxes of all films; a detector goes with the predictor, once.
    table = persons.of_film(name) if isinstance(persons, TableOfBoxes) else None
    return Job(name, (plan.film, table, plan.timeline, plan.told))


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

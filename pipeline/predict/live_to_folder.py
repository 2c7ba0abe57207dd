"""The whole of live prediction: open the camera, score it, and write, print and serve what is found."""

import contextlib
import re
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import simplejpeg

from pipeline.base.errors import InputError
from pipeline.predict.camera import Camera, address_of, open_camera, shown_name
from pipeline.predict.film_plans import USUAL_DETECTOR, UserChoice
from pipeline.predict.find_persons import choose_persons
from pipeline.predict.live_folder import LiveFolder, check_live_out
from pipeline.predict.live_run import LiveCounts, run_live
from pipeline.predict.live_scorer import LiveScorer, LiveStep
from pipeline.predict.live_server import Hub
from pipeline.predict.load_model import Model
from pipeline.predict.scored_times import check_step
from pipeline.predict.typed_results import Second, json_line
from pipeline.predict.warm_up import warm_up
from pipeline.video.store import Row


@dataclass(frozen=True, kw_only=True)
class LiveOutputs:
    """Where live results go."""

    out: Path | None = None
    "A folder; None for none."
    force: bool = False
    echo: bool = False
    "Print the lines of JSON."
    hub: Hub | None = None
    "Viewers."


def live_to_folder(
    source: str,
    model: Model,
    chosen: UserChoice,
    every: float,
    outputs: LiveOutputs,
    *,
    open_source: Callable[[str], Camera] = open_camera,
) -> LiveCounts:
    """Score a camera or stream until it ends, or a Ctrl-C; windows hold the past alone.

    The model runs once before the source is opened, so that its first clips wait for nothing.

    Args:
        source: see `open_camera`.
        model: see `Model`.
        chosen: a detector; boxes and times do not go with a camera.
        every: seconds between scored times.
        outputs: see `LiveOutputs`.
        open_source: opens the camera.

    Raises:
        InputError: the source cannot be opened, or something does not fit; nothing is written then.
        CameraLost: the source vanished; all that was written is whole.
    """
    address_of(source)
    check_step(every)
    for option, given in (("--boxes", chosen.boxes), ("--objects", chosen.objects), ("--times", chosen.times)):
        if given is not None:
            raise InputError(f"{option}: does not go with {shown_name(source)}: persons are found by --detector")
    name, hardware = chosen.detector or USUAL_DETECTOR, model.predictor.hardware
    persons = choose_persons(
        name, min_score=model.settings.min_score, device=str(hardware.device), batch=hardware.batch
    )
    video_id = camera_id(source)
    told = {"every": every, "memory": "past", "boxes": [name]}
    with contextlib.ExitStack() as opened:
        if outputs.out is not None:
            check_live_out(outputs.out, force=outputs.force)
        warm_up(model, persons)
        camera = open_source(source)  # `run_live` closes it
        folder = None
        if outputs.out is not None:
            folder = LiveFolder(outputs.out, model, video_id, camera.name, told=told, force=outputs.force)
            opened.enter_context(folder)
        asked = opened.enter_context(stopped_by_signals())
        scorer = LiveScorer(model, persons, video_id, folder.add if folder else _ignore)
        sinks: list[Callable[[Second], None]] = []
        if outputs.echo:
            sinks.append(lambda second: print(json_line(second), end="", flush=True))
        if outputs.hub is not None:
            sinks.append(outputs.hub.put_second)
        on_frame = _frame_sink(folder, outputs.hub)
        counts = run_live(camera, scorer.tap(every), scorer, sinks=sinks, on_frame=on_frame, asked=asked)
    if outputs.hub is not None:
        outputs.hub.end(counts.outcome)
    if counts.lost is not None:
        raise counts.lost
    return counts


def camera_id(source: str) -> str:
    """Return the id of a camera as a film: its name, with `_` for what an id cannot hold."""
    return re.sub("[^A-Za-z0-9.-]+", "_", shown_name(source)).strip("_.")


def _ignore(step: LiveStep) -> None:
    """Take a step that nobody writes."""


def _frame_sink(folder: LiveFolder | None, hub: Hub | None) -> Callable[[Row], None]:
    def take(row: Row) -> None:
        if folder is not None:
            height, width, *_ = simplejpeg.decode_jpeg_header(row.jpeg)
            folder.see(row, (height, width))
        if hub is not None:
            hub.put_frame(row)

    return take


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Yield an event that a Ctrl-C, or the signal with which services are stopped, sets; a second one interrupts.

    So a time that is being scored and written is finished first. Only the main thread can take signals.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def stop(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""`actionbank doctor`: report what is wrong with a data set, before any training."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from pipeline.base.command import TrackOption, WorkersOption, worker_count
from pipeline.base.errors import InputError
from pipeline.base.files import check_own_file, json_text, write_text

if TYPE_CHECKING:
    from pipeline.doctor.finding import Examination

STATUS = {"note": 0, "warning": 1, "error": 2}


def doctor(
    dataset: Annotated[
        str | None, typer.Option(help="A file of conf/dataset; without it the data set of params.yaml.")
    ] = None,
    decode: Annotated[
        bool, typer.Option("--decode", help="Decode every frame of every film, as extract_frames will: hours on AVA.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Also write the report as one HTML file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    allow_warnings: Annotated[
        bool, typer.Option("--allow-warnings", help="Exit with 0 where there are warnings and no errors.")
    ] = False,
    silence: Annotated[
        float, typer.Option(min=1, help="Seconds after which a film whose reader makes no progress is given up.")
    ] = 60.0,
    workers: WorkersOption = 0,
    labels: Annotated[
        Path | None, typer.Option(help="A folder of labels of clips, for recognition; its films are in --videos.")
    ] = None,
    videos: Annotated[Path | None, typer.Option(help="The films of --labels.")] = None,
    frame_rate: Annotated[
        float | None, typer.Option(min=0.001, help="Pictures per second of folders of pictures in --videos.")
    ] = None,
    track: TrackOption = "detection",
) -> None:
    """Say what is wrong with a data set and what to do about it.

    Reads the videos' packets, the annotations, the boxes and the outs that there are; no stage need have run. Exits
    with 0 if there is nothing worse than notes, with 1 if there are warnings, with 2 if there are errors (a stage would
    end, or what it computes would be wrong).
    """
    # Imported here because they import pyarrow, PyAV and pydantic, which other light commands do not need.
    from pipeline.doctor.pages import as_html, as_text
    from pipeline.doctor.pages import as_json as report_values

    if html is not None:
        check_own_file(html, lambda data: b"<title>actionbank doctor: " in data)
    if (labels is None) != (videos is None):
        raise InputError("actionbank doctor: --labels and --videos belong together: labels of clips, and their films")
    watched = Watched(worker_count(workers), decode, silence)
    if labels is not None and videos is not None:
        examined = _examine_clips(labels, videos, frame_rate, watched)
    elif track == "recognition":
        if dataset is not None:
            raise InputError("actionbank doctor: --dataset is of detection; --track recognition reads params.yaml")
        examined = _examine_recognition(watched)
    else:
        examined = _examine_dataset(dataset, watched)
    if html is not None:
        write_text(html, as_html(examined))
    print(json_text(report_values(examined)) if as_json else as_text(examined) + "\n", end="")
    status = max((STATUS[each.severity] for each in examined.findings), default=0)
    if status and not (allow_warnings and status == STATUS["warning"]):
        raise typer.Exit(status)


class Watched(NamedTuple):
    """How films are read."""

    workers: int
    decode: bool
    silence_seconds: float


def _examine_clips(labels: Path, videos: Path, frame_rate: float | None, watched: Watched) -> "Examination":
    from pipeline.doctor.clip_folders import ClipFolders, examine_clips

    folders = ClipFolders(labels.absolute().parent.name, videos, labels, frame_rate)
    return examine_clips(folders, **watched._asdict())


def _examine_recognition(watched: Watched) -> "Examination":
    """Examine the data set of recognition in params.yaml."""
    from pipeline.doctor.clip_folders import ClipFolders, examine_clips
    from pipeline.params import load_track

    params = load_track("recognition")
    dataset = params.dataset
    folders = ClipFolders(
        dataset.name,
        Path(dataset.videos),
        Path(dataset.labels),
        None if dataset.frame_rate == "none" else dataset.frame_rate,
        params.backbone.segments,
        dataset.max_bad_fraction,
    )
    return examine_clips(folders, **watched._asdict())


def _examine_dataset(dataset: str | None, watched: Watched) -> "Examination":
    """Examine the data set of params.yaml, or another one of conf/dataset."""
    from pipeline.doctor.examine import examine
    from pipeline.params import load_params, parse_params
    from pipeline.project.compose import compose_params

    try:
        if dataset is None:
            params = load_params()
        else:
            params = parse_params(compose_params([f"dataset={dataset}"]), f"conf/ with dataset={dataset}")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(STATUS["error"]) from None
    is_current = dataset is None or _is_current(params.dataset.name)
    return examine(params, is_current=is_current, **watched._asdict())


def _is_current(name: str) -> bool:
    """Return whether params.yaml selects this data set."""
    from pipeline.params import load_params

    try:
        return load_params().dataset.name == name
    except InputError:
        return False

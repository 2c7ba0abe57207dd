"""`actionbank doctor`: report what is wrong with a data set, before any training."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.command import WorkersOption, worker_count
from pipeline.base.errors import InputError
from pipeline.base.files import check_own_file, json_text, write_text

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
) -> None:
    """Say what is wrong with a data set and what to do about it.

    Reads the videos' packets, the annotations, the boxes and the outs that there are; no stage need have run. Exits
    with 0 if there is nothing worse than notes, with 1 if there are warnings, with 2 if there are errors (a stage would
    end, or what it computes would be wrong).
    """
    # Imported here because they import pyarrow, PyAV and pydantic, which other light commands do not need.
    from pipeline.doctor.examine import examine
    from pipeline.doctor.pages import as_html, as_text
    from pipeline.doctor.pages import as_json as report_values
    from pipeline.params import load_params, parse_params
    from pipeline.project.compose import compose_params

    if html is not None:
        check_own_file(html, lambda data: b"<title>actionbank doctor: " in data)
    try:
        if dataset is None:
            params = load_params()
        else:
            params = parse_params(compose_params([f"dataset={dataset}"]), f"conf/ with dataset={dataset}")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(STATUS["error"]) from None
    examined = examine(
        params,
        workers=worker_count(workers),
        decode=decode,
        silence_seconds=silence,
        is_current=dataset is None or _is_current(params.dataset.name),
    )
    if html is not None:
        write_text(html, as_html(examined))
    print(json_text(report_values(examined)) if as_json else as_text(examined) + "\n", end="")
    status = max((STATUS[each.severity] for each in examined.findings), default=0)
    if status and not (allow_warnings and status == STATUS["warning"]):
        raise typer.Exit(status)


def _is_current(name: str) -> bool:
    """Return whether params.yaml selects this data set."""
    from pipeline.params import load_params

    try:
        return load_params().dataset.name == name
    except InputError:
        return False

"""What all commands share: the hardware options, and errors printed in one line."""

import atexit
import os
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from pipeline.base.faults import message_of
from pipeline.base.ranks import local_world_size

WorkersOption = Annotated[
    int, typer.Option(envvar="ACTIONBANK_WORKERS", min=0, help="Worker processes; 0 takes one per core.")
]
DeviceOption = Annotated[
    str,
    typer.Option(envvar="ACTIONBANK_DEVICE", help="cpu, cuda, cuda:1 ...; auto takes a GPU where there is one."),
]
BatchOption = Annotated[
    int,
    typer.Option(
        envvar="ACTIONBANK_BATCH",
        min=1,
        help="Keyframes that are read ahead of the network, which sees 8 at a time: the results do not depend on it.",
    ),
]
RecomputeOption = Annotated[
    bool,
    typer.Option(
        "--recompute/--keep-activations",
        envvar="ACTIONBANK_RECOMPUTE",
        help="Of a transformer: compute its blocks again in the backward pass, for less memory; changes no number.",
    ),
]
ProcessesOption = Annotated[
    int,
    typer.Option(
        envvar="ACTIONBANK_PROCESSES",
        min=1,
        help="Processes on this machine that share the work, each on its own GPU.",
    ),
]

RECOGNITION = Path("recognition/dvc.yaml")
"The second pipeline."
TrackOption = Annotated[
    Literal["detection", "recognition"],
    typer.Option(help="Which pipeline's parameters are read: dvc.yaml's or recognition/dvc.yaml's."),
]
WindowsOption = Annotated[
    Literal["resident", "streamed"],
    typer.Option(
        envvar="ACTIONBANK_WINDOWS",
        help="resident: the bank's rows in memory, once per machine, or on the GPU; streamed: a cache of videos.",
    ),
]
WindowCacheOption = Annotated[
    int, typer.Option(envvar="ACTIONBANK_WINDOW_CACHE", min=1, help="MiB of rows that streamed windows keep.")
]


def new_app(help_text: str | None = None) -> typer.Typer:
    """A typer app without shell completion and without tracebacks that show local variables."""
    return typer.Typer(
        help=help_text,
        add_completion=False,
        no_args_is_help=help_text is not None,
        pretty_exceptions_show_locals=False,
    )


def worker_count(workers: int) -> int:
    """Return `workers`; if it is 0, the number of cores of this process, divided among the processes of the stage."""
    return workers or max(1, len(os.sched_getaffinity(0)) // local_world_size())


def run(app: typer.Typer) -> NoReturn:
    """Run a typer app and end the process.

    An error that the user or the machine caused is printed in one line, with status 1; a bug shows its traceback.
    """
    try:
        app()
    except SystemExit as end:
        if end.code:
            raise
    except Exception as error:
        message = message_of(error)
        if message is None:
            raise
        if isinstance(error, OSError) and error.filename is None and (fault := _output_fault(b"\n")):
            _end_without_output(fault)
        print(f"error: {message}", file=sys.stderr)
        sys.exit(1)
    if fault := _output_fault():
        _end_without_output(fault)
    # Everything that a successful stage wrote is on disk. PyTorch's own shutdown takes a second or more and frees
    # nothing that the end of the process does not free.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _output_fault(more: bytes = b"") -> str | None:
    """Flush standard output, write `more`, and return the fault, if any (such as a full disk behind a redirection)."""
    try:
        if sys.stdout is not None:  # None: it is closed
            sys.stdout.flush()
        if more:
            os.write(1, more)
    except OSError as error:
        error.filename = "standard output"
        return message_of(error)
    return None


def _end_without_output(fault: str) -> NoReturn:
    """Print what is wrong and end with status 1; Python's own exit would write again and end with a traceback."""
    print(f"error: {fault}", file=sys.stderr)
    sys.stderr.flush()
    atexit._run_exitfuncs()
    os._exit(1)

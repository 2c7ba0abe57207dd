"""What runs on the nodes of a Ray cluster: the check of a node, and one job after the other.

A process is told once where it works (`Place`) and what it makes; both stay for its further jobs. Without a shared
folder its items are made in a folder of its own, and go back to the driver as bytes.
"""

import os
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from pipeline.base import work
from pipeline.base.code_version import code_record
from pipeline.base.errors import ClusterError, InputError
from pipeline.base.faults import message_of
from pipeline.base.files import files_below, write_bytes
from pipeline.base.make_items import Job
from pipeline.base.ranks import LAUNCHED

PATIENCE_SECONDS = 5.0
"A network file system may show a new file that late."
Loaded = TypeVar("Loaded")
Files = Mapping[str, bytes]
"The bytes of a folder's files, by path relative to it."


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the jobs of a run work, and what a node must have for them; plain values, so that any node can read it."""

    token: str
    "Of this run."
    project: str
    "The folder in which relative paths begin."
    root: str
    "The folder whose `.work` has the items."
    module: str
    "What is run."
    code: Mapping[str, str]
    "Versions of the files and libraries of `module`, by name (`code_of`)."
    device: Literal["cpu", "cuda"]
    probe: str | None
    "A file of the driver that holds `token`; None where no folder is shared."
    largest: int
    "Bytes of an item that go back to the driver."
    finished: Sequence[tuple[str, str]] = ()
    "(stage, key) of the items that the driver has, where no folder is shared."
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What came of a job."""

    kind: Literal["made", "refused", "fault", "bug", "unfit"]
    "An `InputError` refuses; a fault is the machine's; an unfit node can make no item."
    value: Any
    "What was returned, or the message."
    node: str
    "The id of the node."
    items: Sequence[tuple[str, str, Files]] = ()
    "(stage, key, files) of the items that were made where no folder is shared."


class _Here:
    """What this process was told."""

    place: Place | None = None
    make: Callable[[Job], Any] | None = None


def ray_device() -> str | None:
    """Return the device that Ray gave this process for its jobs; None in a process that is no worker of Ray."""
    return None if _Here.place is None else _Here.place.device


def code_of(module: str) -> dict[str, str]:
    """Return the versions of all that a module runs: sha256 of our files, versions of libraries and of Python."""
    record = code_record(module)
    return {**record["files"], **record["libraries"], "Python": record["python"]}


def fault_of_node(place: Place, *, answer: bool = False) -> str:
    """Return in words why this node cannot make items; empty if it can.

    Args:
        place: what is needed.
        answer: whether to write a file beside the probe, for the driver to read.
    """
    if not Path(place.project).is_dir():
        return f"has no folder {place.project}; expected the project there, as on the driver"
    if place.probe is not None:
        fault = _fault_of_folder(Path(place.probe), place.token, answer=answer)
        if fault:
            return fault
    mine = code_of(place.module)
    names = sorted(name for name in {*mine, *place.code} if mine.get(name) != place.code.get(name))
    if not names:
        return ""
    more = f", and {len(names) - 1} more differ" if len(names) > 1 else ""
    return f"has {_version(names[0], mine)}, the driver {_version(names[0], place.code)}{more}; expected the same code"


def _fault_of_folder(probe: Path, token: str, *, answer: bool) -> str:
    folder, remedy = probe.parent.parent, "share the project's folder with it, or set ACTIONBANK_SHARED=no"
    end = time.monotonic() + PATIENCE_SECONDS
    while not probe.is_file() and time.monotonic() < end:
        time.sleep(0.1)
    try:
        if probe.read_text() != token:
            return f"sees another file than the driver at {probe}; {remedy}"
        if answer:
            probe_answer(probe, node_id()).write_text(token)
    except FileNotFoundError:
        return f"does not see what the driver wrote in {folder}; {remedy}"
    except OSError as error:
        return f"cannot use {folder}: {message_of(error)}; {remedy}"
    return ""


def probe_answer(probe: Path, node: str) -> Path:
    """Return the path at which a node answers to a probe; `actionbank work gc` takes both after a killed driver."""
    return probe.with_name(f".{node}{probe.name}")


def _version(name: str, versions: Mapping[str, str]) -> str:
    found = versions.get(name)
    if found is None:
        return f"no {name}"
    return f"{name} of digest {found[:12]}" if "/" in name else f"{name} {found}"


def node_id() -> str:
    """Return the id of the node that this process runs on."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def begin(place: Place, make: Callable[[Job], Any]) -> None:
    """Prepare this process for jobs.

    Raises:
        ClusterError: this node cannot make items.
    """
    if fault := fault_of_node(place):
        raise ClusterError(fault)
    os.chdir(place.project)
    os.environ.update(place.environment)
    os.environ.pop(LAUNCHED, None)  # a cluster that a rank started: its workers are no ranks
    os.environ["DVC_ROOT"] = place.root
    work.ELSEWHERE.clear()
    work.ELSEWHERE.update(place.finished)
    _Here.place, _Here.make = place, make


def load_here(load: Callable[[], Loaded]) -> Loaded:
    """Load what makes items, in a process that makes them for another one.

    Raises:
        ClusterError: it cannot be loaded, a model whose file is damaged here say. That ends the work: it is no error of
            an item, and would be that of all of them.
    """
    try:
        return load()
    except InputError as error:
        raise ClusterError(str(error)) from None


def run_job(token: str, box: Sequence[Any], job: Job) -> Answer:
    """Do a job, and tell how it ended.

    Args:
        token: of the run.
        box: one reference to (Place, what makes an item of a job), which is fetched once in each process.
        job: what to make.
    """
    import ray

    node = node_id()
    try:
        if _Here.place is None or _Here.place.token != token:
            begin(*ray.get(box[0]))
        assert _Here.make is not None
        assert _Here.place is not None
        if _Here.place.probe is not None:
            return Answer("made", _Here.make(job), node)
        with tempfile.TemporaryDirectory(prefix="actionbank-items-") as root:
            os.environ["DVC_ROOT"] = root
            value = _Here.make(job)
            return Answer("made", value, node, made_here(job, _Here.place.largest))
    except ClusterError as error:
        return Answer("unfit", str(error), node)
    except InputError as error:
        return Answer("refused", str(error), node)
    except Exception as error:
        message = message_of(error)
        return Answer("fault", message, node) if message else Answer("bug", traceback.format_exc(), node)


def made_here(job: Job, largest: int) -> list[tuple[str, str, Files]]:
    """Return the items in this process's own `.work`.

    Raises:
        InputError: they have more bytes than may travel.
    """
    items = work.list_items()
    size = sum(each[2] for each in items)
    if size > largest:
        raise InputError(
            f"{job.name}: its item has {size / 2**20:.0f} MiB, more than the {largest / 2**20:.0f} MiB that go from "
            "node to driver where no folder is shared; share the project's folder"
        )
    return [(stage, key, folder_bytes(work.item_folder(stage, key))) for stage, key, _, _ in items]


def folder_bytes(folder: Path) -> dict[str, bytes]:
    """Return the bytes of a folder's files, without the record of an item, which is written anew."""
    return {
        name.as_posix(): (folder / name).read_bytes() for name in files_below(folder) if str(name) != work.ITEM_RECORD
    }


def write_folder(folder: Path, files: Files) -> None:
    """Write files into a folder that is there."""
    for name, data in files.items():
        write_bytes(folder / name, data)


class Keeper:
    """The actor: a process that keeps what it has loaded from one job to the next."""

    def ready(self) -> None:
        """Do nothing: the process runs."""

    def run(self, token: str, box: Sequence[Any], job: Job) -> Answer:
        """Do a job; see `run_job`."""
        return run_job(token, box, job)

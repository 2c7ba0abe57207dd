"""Kill a stage at each of its last calls that change a file, then run it again: the bytes must be the same.

    python -m tests.kills [--points N] [--last N] [STAGE...]

A process that has imported all stages forks a child for each kill. In the child an audit hook counts the calls that
make, rename, link or remove something in the project, and kills the child (SIGKILL) before the n-th call. After that no
process of the child may still run. The stage is run again in another fork: its outs must equal those of an undisturbed
run, and `actionbank work gc` must leave no unfinished file. Decoders are killed in the same way, in their processes.
"""

import argparse
import contextlib
import json
import mmap
import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline.bank.output import check_new_bank
from pipeline.bank.reader import open_bank
from pipeline.bank.subset import subset_bank
from pipeline.base.files import digest_tree
from pipeline.base.work import list_items, list_rests
from pipeline.checkpoint.import_network import import_network
from pipeline.commands.error_report import errors
from pipeline.commands.project import work_gc
from pipeline.project.compose import compose_params, params_text
from pipeline.video import items as video_items
from pipeline.video.clip_input import ClipInput
from pipeline.video.extract import extract_video
from stages.code import code
from stages.detect_boxes import detect_boxes
from stages.evaluate import evaluate
from stages.evaluate_recognizer import evaluate_recognizer
from stages.extract_frames import extract_frames
from stages.import_annotations import import_annotations
from stages.import_boxes import import_boxes
from stages.import_labels import import_labels
from stages.infer_bank import infer_bank
from stages.make_videos import make_videos
from stages.train_baseline import train_baseline
from stages.train_head import train_head
from stages.train_recognizer import train_recognizer
from tests.checkpoint.networks import make_folder

REPOSITORY = Path(__file__).resolve().parent.parent
TOKEN = "ACTIONBANK_KILLED"
NAME = "playground_mini"
CLIPS = "gestures_mini"
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.chmod", "os.symlink")
GC = "work gc"
CHILDREN = "decoders"


def _import_backbone() -> None:
    clip = ClipInput(frames=4, interval=2, short_side=32, mean=(127.5,) * 3, std=(127.5,) * 3)
    import_network(Path("network"), clip, Path("models/backbone.safetensors"))


def _subset() -> None:
    out = Path("data", NAME, "bank/some.zarr")
    check_new_bank(out, force=True)
    subset_bank(open_bank(Path("data", NAME, "bank/train.zarr")), out, ["train_000"])


# In the order in which they run: each begins with what those before it left.
STAGES: dict[str, Callable[[], None]] = {
    "code": code,
    "import_backbone": _import_backbone,
    "make_videos of clips": lambda: make_videos(CLIPS, workers=1, track="recognition"),
    "extract_frames of clips": lambda: extract_frames(workers=1, track="recognition"),
    "import_labels": import_labels,
    "train_recognizer": lambda: train_recognizer(workers=1, device="cpu", batch=8, processes=1),
    "evaluate_recognizer": lambda: evaluate_recognizer(workers=1, device="cpu", batch=8, processes=1),
    "make_videos": lambda: make_videos(NAME, workers=1),
    "extract_frames": lambda: extract_frames(workers=1),
    "import_annotations": import_annotations,
    "detect_boxes": lambda: detect_boxes("motion", workers=1, device="cpu", batch=8, processes=1),
    "import_boxes": import_boxes,
    "train_baseline": lambda: train_baseline(workers=1, device="cpu", batch=8, processes=1),
    "infer_bank train": lambda: infer_bank("train", workers=1, device="cpu", batch=8, processes=1),
    "infer_bank val": lambda: infer_bank("val", workers=1, device="cpu", batch=8, processes=1),
    "train_head": lambda: train_head(
        workers=1, device="cpu", batch=8, processes=1, windows="resident", window_cache=64
    ),
    "evaluate": lambda: evaluate(workers=1, device="cpu", batch=8, processes=1, windows="resident", window_cache=64),
    "errors": lambda: errors(split="val", boxes="detected", detections=None, out=Path("results/errors"), worst=2),
    "bank subset": _subset,
    GC: lambda: work_gc(days=0, dry_run=False),
}


@dataclass
class Report:
    """What came of the kills of one stage."""

    stage: str
    calls: int  # that change a file, in an undisturbed run
    kills: int = 0
    other_bytes: int = 0  # after the run that followed
    failed_again: int = 0  # runs that followed and ended with an error
    half_items: int = 0  # in .work after the kill, under the name of a whole one
    processes_left: int = 0
    rests_left: int = 0  # unfinished files after the run that followed and `work gc`

    def is_good(self) -> bool:
        """Whether nothing came of them."""
        wrong = (self.other_bytes, self.failed_again, self.half_items, self.processes_left, self.rests_left)
        return self.kills > 0 and not any(wrong)


def count_changes(root: Path, counter: Any, kill_at: int) -> None:
    """Count this process's calls that change a file below `root`, and die before number `kill_at` (0: never)."""
    mine, prefix = os.getpid(), f"{root.resolve()}{os.sep}"

    def hook(event: str, args: tuple[Any, ...]) -> None:
        changes = event in CHANGES or (event == "open" and isinstance(args[2], int) and args[2] & WRITES)
        if not changes or os.getpid() != mine or not isinstance(args[0], str | bytes | os.PathLike):
            return
        if not f"{Path.cwd() / os.fsdecode(args[0])}".startswith(prefix):
            return
        number = int.from_bytes(counter[:8], "little") + 1
        counter[:8] = number.to_bytes(8, "little")
        if number == kill_at:
            os.kill(mine, signal.SIGKILL)

    sys.addaudithook(hook)


def run_forked(work: Callable[[], None], project: Path, *, kill_at: int = 0) -> tuple[int, int]:
    """Run `work` in the project, in a fork; returns how it ended (0, 1 or minus the signal) and the calls counted."""
    counter = mmap.mmap(-1, 8)
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.chdir(project)
            os.environ["DVC_ROOT"] = str(project)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            if kill_at:
                os.dup2(nowhere, 2)
            count_changes(project, counter, kill_at)
            work()
            status = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    end = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return end, int.from_bytes(counter[:8], "little")


def ours_running(token: str) -> list[int]:
    """Processes that were started below a run with this token."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{TOKEN}={token}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def processes_left(token: str) -> int:
    """How many of them still run after some seconds; they are killed then."""
    deadline = time.monotonic() + 20
    while (left := ours_running(token)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(left)


def outs(project: Path) -> str:
    """Digest of all that stages and commands write, `.work` left out."""
    return " ".join(
        digest_tree(project / name) for name in (".code", "data", "models", "results") if (project / name).is_dir()
    )


def item_digests(project: Path) -> dict[tuple[str, str], str]:
    """Digests of the items in `.work`."""
    with in_project(project):
        return {(stage, key): digest_tree(Path(".work", stage, key)) for stage, key, _, _ in list_items()}


@contextlib.contextmanager
def in_project(project: Path) -> Iterator[None]:
    """Work in the project's folder."""
    os.environ["DVC_ROOT"] = str(project)
    with contextlib.chdir(project):
        yield


def new_project(folder: Path) -> Path:
    """The smallest data set, and boxes from its files."""
    shutil.copytree(REPOSITORY / "conf", folder / "conf")
    small = [f"dataset={NAME}", "dataset.playground.train_videos=2", "head_train.schedule.epochs=3"]
    small += [f"recognition/dataset={CLIPS}", "recognition.train.schedule.epochs=3"]
    small += ["recognition.dataset.playground.train_per_class=1", "recognition.dataset.playground.val_per_class=1"]
    make_folder(folder / "network", "videomae")
    values = compose_params(small, folder / "conf")
    (folder / "params.yaml").write_text(params_text(values))
    return folder


def chosen(calls: int, *, last: int, points: int) -> list[int]:
    """So many numbers, evenly spread over the last calls, the last call itself among them."""
    numbers = list(range(max(1, calls - last + 1), calls + 1))
    if not points:
        return []
    step = max(1, len(numbers) // points)
    return numbers[::-1][::step][:points]


def kill_stage(name: str, before: Path, scratch: Path, *, last: int, points: int) -> tuple[Report, Path]:
    """Kill a stage at its last calls; also returns the project after a run that nobody killed."""
    whole = Path(shutil.copytree(before, scratch / f"{len(list(scratch.iterdir()))}-{name.replace(' ', '_')}"))
    status, calls = run_forked(STAGES[name], whole)
    assert status == 0, f"{name} fails without a kill"
    expected, items = outs(whole), item_digests(before) | item_digests(whole)
    report = Report(name, calls)
    for number in chosen(calls, last=last, points=points):
        project = Path(shutil.copytree(before, scratch / "killed"))
        token = os.environ[TOKEN] = uuid.uuid4().hex
        status, _ = run_forked(STAGES[name], project, kill_at=number)
        if status == -signal.SIGKILL:  # with threads at work, the last calls may be fewer
            report.kills += 1
            report.processes_left += processes_left(token)
            report.half_items += _half_items(project, items)
            report.failed_again += run_forked(STAGES[name], project)[0] != 0
            report.other_bytes += outs(project) != expected
            with in_project(project), contextlib.redirect_stdout(None):
                work_gc(days=30, dry_run=False)
                report.rests_left += len(list(project.rglob(".*.partial")))
                assert len(list_rests()) <= report.rests_left
        shutil.rmtree(project)
    return report, whole


def _half_items(project: Path, items: dict[tuple[str, str], str]) -> int:
    """Items that are there and not as a run that nobody killed leaves them; states of a training may be any epoch's."""
    return sum(
        items.get(place) != digest
        for place, digest in item_digests(project).items()
        if not place[0].startswith("train_") and place in items
    )


def extract_and_die(*, folder: Path, **arguments: Any) -> None:
    """`extract_video` in a decoder's process, which dies before a call that the environment tells, once."""
    mark = Path(os.environ["DVC_ROOT"], "died")
    kill_at = 0 if mark.exists() else int(os.environ["ACTIONBANK_KILL_AT"])
    if kill_at:
        mark.touch()
    counter = mmap.mmap(-1, 8)
    count_changes(folder, counter, kill_at)
    extract_video(folder=folder, **arguments)
    Path(os.environ["DVC_ROOT"], "calls").write_text(str(int.from_bytes(counter[:8], "little")))


def kill_decoders(before: Path, scratch: Path) -> Report:
    """Kill the first decoder at each of its calls: extraction goes on by itself, to the same bytes."""

    def work(kill_at: int) -> None:
        os.environ["ACTIONBANK_KILL_AT"] = str(kill_at)
        # By its module's name: `__main__` is another module in the decoder's process.
        setattr(video_items, "extract_video", import_module("tests.kills").extract_and_die)  # noqa: B010
        extract_frames(workers=1)

    whole = Path(shutil.copytree(before, scratch / CHILDREN))
    assert run_forked(partial(work, 0), whole)[0] == 0
    report = Report(CHILDREN, int((whole / "calls").read_text()))
    for number in range(1, report.calls + 1):
        project = Path(shutil.copytree(before, scratch / "killed"))
        token = os.environ[TOKEN] = uuid.uuid4().hex
        report.failed_again += run_forked(partial(work, number), project)[0] != 0
        report.kills += (project / "died").exists()
        report.processes_left += processes_left(token)
        report.other_bytes += outs(project) != outs(whole)
        report.rests_left += len(list(project.rglob(".*.partial")))
        shutil.rmtree(project)
    return report


def main(words: Sequence[str] | None = None) -> list[Report]:
    """Run the stages asked for, print a line for each, and return what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join([*STAGES, CHILDREN]))
    parser.add_argument("--last", type=int, default=60, help="calls at the end of a stage, of which some are taken")
    parser.add_argument("--points", type=int, default=12, help="kills for each stage")
    parser.add_argument("--json", type=Path, help="also write the counts to this file")
    given = parser.parse_args(words)
    wanted = set(given.stages or [*STAGES, CHILDREN])
    reports = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        project = new_project(scratch / "begin")
        for name in STAGES:
            if name == "extract_frames" and CHILDREN in wanted:
                reports.append(kill_decoders(project, scratch))
                print(reports[-1], flush=True)
            if not wanted & set([*STAGES, ""][list(STAGES).index(name) :]):
                break
            points = given.points if name in wanted else 0
            report, project = kill_stage(name, project, scratch, last=given.last, points=points)
            if points:
                reports.append(report)
                print(report, flush=True)
    if given.json:
        given.json.write_text(json.dumps([asdict(report) for report in reports], indent=1))
    return reports


if __name__ == "__main__":
    sys.exit(not all(report.is_good() for report in main()))

"""Prove that a change of the code changes no byte of any out.

    python -m tests.same_bytes record before.json      # on the commit before the change
    python -m tests.same_bytes compare before.json     # on a commit after it; exits 1 where an out differs
    python -m tests.same_bytes compare before.json --only lfb_nl_head pack

Both run the scenarios one after the other in one fresh clone of HEAD, so that stages that scenarios share run once. A
record holds the md5 of every out in dvc.lock, and of each file of a folder. A second `record` adds its scenarios to the
file. `compare` runs the scenarios of the record. On two idle cores `playground` takes minutes, each of the others about
one. The bytes are the same only for one processor type and one set of libraries: `compare` says if these have changed.
"""

import argparse
import hashlib
import importlib.metadata
import json
import platform
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.end_to_end.harness import REPOSITORY, Project

HEADS = (
    *("baseline", "linear", "acrn", "acar", "acar_lfb", "lfb_avg", "lfb_max", "lfb_nl", "lfb_nl_split"),
    *("aia_parallel", "aia_serial", "aia_dense_serial", "aia_split"),
)
# The overrides of each, in the order in which they run.
SCENARIOS = {
    **{
        f"{head}_{scope}": ["dataset=playground_mini", f"head={head}", f"scope={scope}"]
        for scope in ("head", "all")
        for head in HEADS
        if scope == "all" or head not in ("acrn", "acar", "acar_lfb")  # which need the feature map
    },
    "memory": ["dataset=playground_mini", "head=aia_dense_serial", "scope=all", "head.memory=asynchronous"],
    "single_label": ["dataset=playground_mini", "labels.kind=single", "labels.several=soft"],
    "slowfast": ["dataset=playground_mini", "backbone=slowfast_tiny"],
    "motion": ["dataset=playground_mini", "boxes.detector=motion", "boxes.tracks=iou"],
    "pack": ["dataset=playground_mini", "dataset.pack=2"],
    "two_processes": ["dataset=playground_mini", "baseline.bn_batch=8", "head_train.bn_batch=8"],
    "playground": [],
}
PROCESSES = {"two_processes": "2"}
# Its outs are digests of the code itself.
OF_THE_CODE = "code"


def machine() -> dict[str, str]:
    """What the bytes may depend on beside the code."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
        "cpu": cpu[1] if cpu else platform.machine(),
    }


def clone_of_head(folder: Path) -> Project:
    """A clone of this checkout, with an empty cache and no work directory; it must have no edit that HEAD lacks."""
    checkout = Project(REPOSITORY)
    edited = checkout.git("status", "--porcelain", "--untracked-files=no")
    if edited:
        sys.exit(f"commit first, what runs is HEAD:\n{edited.rstrip()}")
    return checkout.clone(folder)


def run_scenario(project: Project, name: str) -> dict[str, Any]:
    """Reproduce a scenario; returns what `outs_of` does."""
    # By itself `actionbank` takes its modules from the checkout that was installed, not from the clone.
    environment = {"PYTHONPATH": str(project.folder), "ACTIONBANK_PROCESSES": PROCESSES.get(name, "1")}
    project.run("actionbank", "compose", *SCENARIOS[name], environment=environment)
    project.run("dvc", "repro", environment=environment, timeout_seconds=None)
    return outs_of(project)


def outs_of(project: Project) -> dict[str, Any]:
    """The md5 of each out, metrics and plots included, and of the files in it, by path.

    The lock also keeps stages that other scenarios have and this one lacks: they are left out.
    """
    lock = yaml.safe_load((project.folder / "dvc.lock").read_text())["stages"]
    stages = project.dvc("stage", "list", "--name-only").split()
    return {
        out["path"]: {"md5": out["md5"], "files": digests(project.folder / out["path"])}
        for stage in stages
        if stage.split("@")[0] != OF_THE_CODE
        for out in lock[stage].get("outs", [])
    }


def digests(folder: Path) -> dict[str, str]:
    """The md5 of each file within a folder by its path there; empty for a file."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "md5").hexdigest()
    return found


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """The names that are not equal in both: missing, new, or differs."""
    words = {}
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            words[name] = "missing"
        elif name not in before:
            words[name] = "new"
        elif before[name] != now[name]:
            words[name] = "differs"
    return words


def compare_outs(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """A line for each out that is not the same, and below it one for each such file in it."""
    for out, word in differing(before, now).items():
        yield f"{out}: {word}"
        if word == "differs":
            for file, of_file in differing(before[out]["files"], now[out]["files"]).items():
                yield f"  {file}: {of_file}"


def record(path: Path, names: list[str], project: Project) -> None:
    """Run scenarios and write each into the record at `path` as it is made."""
    made = {"commit": project.git("rev-parse", "HEAD").strip(), **machine()}
    known = json.loads(path.read_text()) if path.is_file() else {}
    for name in names:
        known[name] = {**made, "outs": run_scenario(project, name)}
        path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
        print(f"{name}: {len(known[name]['outs'])} outs", flush=True)


def compare(known: Mapping[str, Any], names: list[str], project: Project) -> bool:
    """Run scenarios and print what is not as in the record; returns whether all is the same."""
    here, same = machine(), True
    for name in names:
        before, now = known[name], run_scenario(project, name)
        lines = list(compare_outs(before["outs"], now))
        print(f"{name}: differs" if lines else f"{name}: same, {len(now)} outs")
        lines += [f"{what}: {before[what]} then, {here[what]} now" for what in here if before[what] != here[what]]
        print("".join(f"  {line}\n" for line in lines), end="", flush=True)
        same = same and before["outs"] == now
    return same


def main() -> None:
    """Record or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["record", "compare"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(SCENARIOS), metavar="NAME", help=f"of {', '.join(SCENARIOS)}")
    given = parser.parse_args()
    known = json.loads(given.file.read_text()) if given.what == "compare" else SCENARIOS
    names = [name for name in SCENARIOS if name in (given.only or known)]
    if absent := [name for name in names if name not in known]:
        sys.exit(f"{given.file}: has no {', '.join(absent)}")
    with tempfile.TemporaryDirectory() as folder:
        project = clone_of_head(Path(folder) / "project")
        if given.what == "record":
            record(given.file, names, project)
        elif not compare(known, names, project):
            sys.exit(1)


if __name__ == "__main__":
    main()

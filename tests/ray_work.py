"""Items that a Ray cluster makes in tests, and a driver for them.

    python -m tests.ray_work tasks|actors SECONDS NAME...

Makes items of these names below DVC_ROOT, each of SECONDS. A name tells what else happens while an item is made: `dies`
ends its process hard each time, `dies-once` the first time; `hungry` takes 1.6 GB and waits to be ended each time,
`hungry-once` the first time; `large` meets a limit of the system in the middle of its file; `refused` is an InputError.
`made.log` beside `.work` has a line for each time that an item was begun and that it was finished.
"""

import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from pipeline.base.errors import InputError
from pipeline.base.executors import item_executor
from pipeline.base.make_items import Needs
from pipeline.base.shared_items import Make, share_items

LOG = "made.log"
STAGE = "ray_work"


def note(root: str, word: str, name: str) -> None:
    with Path(root, LOG).open("a") as log:
        log.write(f"{word} {name}\n")


def load(root: str, seconds: float) -> Make:
    def write(name: str, folder: Path) -> None:
        note(root, "begun", name)
        (folder / "part").mkdir()
        (folder / "part" / "data.bin").write_bytes(name.encode() * 1000)
        time.sleep(seconds)
        mark = Path(root, f"{name}.died")
        if name.startswith("refused"):
            raise InputError(f"{name}: cannot be made")
        if name.startswith("large"):
            write_too_much(folder / "part" / "data.bin")
        if name.startswith(("dies", "hungry")) and not ("-once" in name and mark.exists()):
            mark.touch()
            if name.startswith("hungry"):
                eat()
            os.kill(os.getpid(), signal.SIGKILL)
        note(root, "finished", name)

    return write


def write_too_much(path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**22, hard))
    try:
        path.write_bytes(bytes(2**23))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def eat() -> None:
    """Take 1.6 GB in small steps, so that a look every tenth of a second sees it grow, and hold it for a while."""
    held = []
    for _ in range(50):
        held.append(b"1" * 2**25)
        time.sleep(0.05)
    time.sleep(20)


def make_all(names: list[str], *, actors: bool, seconds: float) -> Mapping[str, Path]:
    root = os.environ["DVC_ROOT"]
    keys = {name: f"key-{name}" for name in names}
    needs = Needs(module="tests.ray_work", keeps_model=actors)
    with item_executor(2, needs) as executor:
        maker = Loader(root, seconds)
        return share_items(STAGE, keys, {name: name for name in names}, maker, executor=executor, what="x", unit="item")


class Loader:
    def __init__(self, root: str, seconds: float) -> None:
        self.root, self.seconds = root, seconds

    def __call__(self) -> Make:
        note(self.root, "loaded", str(os.getpid()))
        return load(self.root, self.seconds)


def main() -> None:
    kind, seconds, *names = sys.argv[1:]
    try:
        made = make_all(names, actors=kind == "actors", seconds=float(seconds))
    except InputError as error:
        sys.exit(f"error: {error}")
    print(len(made))


if __name__ == "__main__":
    main()

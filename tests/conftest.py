"""Fixtures that every test may use."""

import atexit
import copy
import functools
import gc
import importlib
import os
import pickle
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# Before decord: a process that loads decord first cannot encode VP8 and VP9 with PyAV (findings/decord-before-pyav.sh).
import av  # noqa: F401
import pytest

# Before PyTorch is imported: two workers with two threads each on two cores are many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where a test has two threads after all, the one that waits must not take the other worker's core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# As in `./run`: what is imported, here and by the programs that tests start, is compiled once.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Thousands of tests stay in memory: to look through them again and again costs a twentieth of the time. The stages set
# a threshold of their own.
importlib.import_module("stages")
gc.set_threshold(200_000, 50, 1000)

REPOSITORY = Path(__file__).resolve().parent.parent
MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 * 2**30  # several times what all tests leave behind
# The longest files first, so that no worker ends long before the others. The first of them makes the finished project,
# which many tests copy, while the other workers do something else.
FIRST = (
    "tests/end_to_end/test_experiments.py", "tests/stages/test_zoo.py", "tests/stages/test_gap.py",
    "tests/commands/test_new_dataset.py", "tests/commands/test_models.py", "tests/interop/test_convert_checkpoint.py",
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Put temporary folders into memory where there is room.

    Much of what the tests do is to write small files that a disk must have before the next step, as a kill at any
    moment demands; that alone would be a sixth of their time.
    """
    if config.option.basetemp is not None or hasattr(config, "workerinput") or not _has_room(MEMORY):
        return
    folder = MEMORY / f"actionbank-tests-{os.getpid()}"
    for left in MEMORY.glob("actionbank-tests-*"):
        if not Path("/proc", left.name.rpartition("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)  # of a run that was killed
    config.option.basetemp = str(folder)
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def _has_room(folder: Path) -> bool:
    """Whether a folder is there, has room, and programs in it can run."""
    if not Path("/proc/self").exists() or not os.access(folder, os.W_OK):
        return False
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >= ROOM_BYTES and not found.f_flag & os.ST_NOEXEC


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of `FIRST` before all others."""
    items.sort(key=lambda item: next((at for at, name in enumerate(FIRST) if item.nodeid.startswith(name)), len(FIRST)))


def pytest_collection_finish() -> None:
    """Leave what is there now out of all later collections of garbage, the two of pytest's end included."""
    gc.freeze()
    atexit.register(gc.unfreeze)  # libraries that count their objects at the very end would miss the frozen ones


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Begin with one thread: what trains or predicts sets a number for the whole process, and leaves it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture
def fixtures() -> Path:
    """Numeric fixtures that are part of the repository."""
    return REPOSITORY / "tests" / "fixtures"


@pytest.fixture
def real() -> Path:
    """Real sample videos, CSVs and pickles; they lie beside the repository and are not part of it."""
    folder = REPOSITORY.parent / "shared" / "real"
    if not folder.is_dir():
        pytest.skip("the real sample files (shared/real beside the repository) are not there")
    return folder


@pytest.fixture(scope="module")
def scratch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the module's own, for property tests: `tmp_path` is one per test, not one per example."""
    return tmp_path_factory.mktemp(request.module.__name__.replace(".", "_"))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the session's own that its workers share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def zoo_data(shared: Path) -> Path:
    """The data set of `tests.stages.zoo.make_data`, made once for all workers. Tests link to it and change nothing."""
    from filelock import FileLock

    from tests.stages.zoo import make_data

    made, making = shared / "zoo", shared / "zoo.making"
    with FileLock(f"{made}.lock"):
        if not made.exists():
            making.mkdir()
            make_data(making)
            making.rename(made)
    return made


@pytest.fixture(scope="session", autouse=True)
def _composed_once(shared: Path) -> Iterator[None]:
    """Hydra takes 0.1 s for a composition, which follows from its words and the files of `conf/`: each is made once."""
    from pipeline.base.files import digest_value, write_bytes
    from pipeline.project import compose

    composed_values = compose.composed_values

    def remembered(overrides: list[str], conf: Path) -> dict[str, Any]:
        files = {path.relative_to(conf).as_posix(): path.read_text("latin-1") for path in sorted(conf.rglob("*.yaml"))}
        kept = shared / "composed" / digest_value([overrides, files])
        if not kept.exists():
            write_bytes(kept, pickle.dumps(composed_values(overrides, conf)))
        values: dict[str, Any] = pickle.loads(kept.read_bytes())
        return values

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compose, "composed_values", remembered)
        _parse_once(patch)
        yield


def _parse_once(patch: pytest.MonkeyPatch) -> None:
    """Half of a composition is to parse the same files and interpolations again."""
    import yaml
    from omegaconf import _utils, base, grammar_parser, omegaconf

    parse = functools.cache(grammar_parser.parse)
    patch.setattr(base, "parse", parse)
    patch.setattr(_utils, "parse", parse)

    @functools.cache
    def parsed(text: str) -> Any:
        return yaml.load(text, Loader=_utils.get_yaml_loader())

    def load(file: Any, Loader: Any) -> Any:
        if isinstance(file, str):
            return yaml.load(file, Loader=Loader)
        start, text = file.tell(), file.read()
        try:
            return copy.deepcopy(parsed(text))
        except yaml.YAMLError:
            file.seek(start)
            return yaml.load(file, Loader=Loader)  # whose message names the file

    patch.setattr(omegaconf, "yaml", SimpleNamespace(**{**vars(yaml), "load": load}))

"""Make the items of a stage in several ranks together, or on a Ray cluster."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.base.distributed import from_main, gather_all
from pipeline.base.make_items import ItemExecutor, Job, make_items, refuse_failures
from pipeline.base.ranks import is_main, share
from pipeline.base.ray_executor import RayExecutor
from pipeline.base.ray_worker import load_here
from pipeline.base.work import is_finished, item_folder, make_item

Make = Callable[[Any, Path], None]
"(what the item is made of, empty folder): write the item's files."


class ItemMaker:
    """Makes items of a stage from jobs; what makes them is loaded once in each process.

    It can be sent to another process, without what is loaded.
    """

    def __init__(self, stage: str, load: Callable[[], Make]) -> None:
        self.stage = stage
        self.load = load
        self._write: Make | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_write": None}

    def ready(self) -> Make:
        """Load what makes items, if that is not done."""
        self._write = self._write or self.load()
        return self._write

    def __call__(self, job: Job) -> None:
        """Make the item of a job, whose `given` is its key and what it is made of, if it is not finished.

        Raises:
            ClusterError: see `load_here`.
        """
        key, given = job.given
        write = self._write or load_here(self.ready)
        make_item(self.stage, key, lambda folder: write(given, folder))


def share_items(
    stage: str,
    keys: Mapping[str, str],
    given: Mapping[str, Any],
    load: Callable[[], Make],
    *,
    executor: ItemExecutor,
    what: str,
    unit: str,
) -> dict[str, Path]:
    """Make the missing items, shared among the ranks, and return the folders of all items by name.

    Every rank waits until all items are made. A `RayExecutor` gets all of them from rank 0.

    Args:
        stage: see `item_folder`.
        keys: key of each item, by name.
        given: what each item is made of, by name; picklable, as `load` is.
        load: returns the function that makes an item; called once in each process that has items to make.
        executor: runs the calls.
        what: name of the progress bar.
        unit: what an item is, in the singular.

    Raises:
        InputError: items could not be made; the others are kept.
    """
    # Only rank 0 looks: while one rank looks, another may already finish an item.
    missing = from_main(lambda: {name for name, key in keys.items() if not is_finished(stage, key)})
    todo, is_ray = [name for name in keys if name in missing], isinstance(executor, RayExecutor)
    mine = (todo if is_main() else []) if is_ray else share(todo)
    failures: dict[str, str] = {}
    if mine:
        make = ItemMaker(stage, load)
        if not is_ray:
            make.ready()  # here, and not in the first call: an error of it is no error of an item
        jobs = (Job(name, (keys[name], given[name])) for name in mine)
        found = make_items(make, jobs, count=len(mine), executor=executor, what=what, unit=unit)
        failures = {name: str(error) for name, error in found.items()}
    # Every rank learns of all failures, and none goes on before all items are made.
    refuse_failures({name: each for rank in gather_all(failures) for name, each in rank.items()}, len(keys), unit)
    return {name: item_folder(stage, key) for name, key in keys.items()}

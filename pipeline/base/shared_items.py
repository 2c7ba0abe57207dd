"""Make the items of a stage in several ranks together."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path

from pipeline.base.distributed import from_main, gather_all
from pipeline.base.make_items import make_items, refuse_failures
from pipeline.base.ranks import share
from pipeline.base.work import is_finished, item_folder, make_item

Make = Callable[[str, Path], None]
"(name, empty folder): write the item's files."


def share_items(
    stage: str, keys: Mapping[str, str], load: Callable[[], Make], *, executor: Executor, what: str, unit: str
) -> dict[str, Path]:
    """Make the missing items, shared among the ranks, and return the folders of all items by name.

    Every rank waits until all items are made.

    Args:
        stage: see `item_folder`.
        keys: key of each item, by name.
        load: returns the function that makes an item; called once on each rank that has items to make.
        executor: runs the calls.
        what: name of the progress bar.
        unit: what an item is, in the singular.

    Raises:
        InputError: items could not be made; the others are kept.
    """
    # Only rank 0 looks: while one rank looks, another may already finish an item.
    missing = from_main(lambda: {name for name, key in keys.items() if not is_finished(stage, key)})
    mine = share([name for name in keys if name in missing])
    failures: dict[str, str] = {}
    if mine:
        write = load()

        def make(name: str) -> None:
            make_item(stage, keys[name], lambda folder: write(name, folder))

        found = make_items(make, mine, executor=executor, what=what, unit=unit)
        failures = {name: str(error) for name, error in found.items()}
    # Every rank learns of all failures, and none goes on before all items are made.
    refuse_failures({name: each for rank in gather_all(failures) for name, each in rank.items()}, len(keys), unit)
    return {name: item_folder(stage, key) for name, key in keys.items()}

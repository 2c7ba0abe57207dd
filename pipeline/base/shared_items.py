"""Items that the ranks of a stage make together."""

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
    """The folders of all items, by name; the ranks share those that are missing, and wait for each other.

    Args:
        stage: see `item_folder`.
        keys: of the items, by name.
        load: gives what makes an item; called on a rank that has items to make, and there once.
        executor: runs the calls.
        what: name of the progress bar.
        unit: what an item is.

    Raises:
        InputError: items could not be made; the others are kept.
    """
    # Asked once: while a rank asks, another one may have finished an item.
    missing = from_main(lambda: {name for name, key in keys.items() if not is_finished(stage, key)})
    mine = share([name for name in keys if name in missing])
    failures: dict[str, str] = {}
    if mine:
        write = load()

        def make(name: str) -> None:
            make_item(stage, keys[name], lambda folder: write(name, folder))

        found = make_items(make, mine, executor=executor, what=what, unit=unit)
        failures = {name: str(error) for name, error in found.items()}
    # Every rank hears of all failures, and none goes on before all items are there.
    refuse_failures({name: each for rank in gather_all(failures) for name, each in rank.items()}, len(keys), unit)
    return {name: item_folder(stage, key) for name, key in keys.items()}

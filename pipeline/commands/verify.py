"""`actionbank verify`: read everything that a run would trust, and remove what is damaged."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import InputError
from pipeline.files import remove_path


def verify(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Banks, folders of frames or tables, weights; by default every out.")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Remove what is damaged, after asking, so that it is made again.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Check items of .work, outs and DVC's cache against their checksums.

    Outs, items and DVC's cache can be one file under several names, so that a byte that changes in one changes in all,
    and DVC puts its cached copy back whatever a stage makes. --repair removes all names of what is damaged: `dvc repro`
    then makes it again and `dvc pull` fetches it. Exits 1 where something is damaged and stays.
    """
    # What reads outs takes a while to import, which --help need not.
    from pipeline.damage import damaged_items, damaged_objects, damaged_outs, locked_outs

    outs = locked_outs(Path())
    for path in paths or []:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    chosen = paths or sorted(outs)
    found = [*damaged_outs(chosen)]
    if not paths:
        found += damaged_items()
    cache = _cache_folder()
    if cache is not None:
        digests = {md5 for out, md5 in outs.items() if not paths or out in paths}
        found += damaged_objects(cache, sorted(digests))
    for each in found:
        print(each.fault)
    if not found:
        print(f"nothing is damaged: {len(chosen)} outs" + ("" if paths else ", items of .work") + ", DVC's cache")
        return
    removed = sorted({each.remove for each in found})
    if not repair:
        raise InputError(f"{len(removed)} damaged; `actionbank verify --repair` removes them, to be made again")
    print("to be removed:", *(f"  {path}" for path in removed), sep="\n")
    if not yes and not typer.confirm(f"Remove these {len(removed)}?"):
        raise InputError("nothing was removed")
    for path in removed:
        remove_path(path)
    print(f"removed {len(removed)}; `dvc repro` makes them again, `dvc pull` fetches what a remote has")


def _cache_folder() -> Path | None:
    """Where DVC's cache of this project keeps its objects; None outside of a project."""
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        return Path(Repo().cache.local.path)
    except NotDvcRepoError:
        return None

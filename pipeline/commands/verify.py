"""`actionbank verify`: check everything that a run would trust, and remove what is damaged."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.base.errors import InputError, counted
from pipeline.base.files import remove_path

if TYPE_CHECKING:
    from pipeline.project.damage import Damage

REPAIR = "`actionbank verify --repair` removes what can be made again"
BRING_BACK = "put it back from its source; where a remote has it, remove it and `dvc pull`"


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
    then makes it again and `dvc pull` fetches it. What no stage makes, as data of `dvc add`, is named and stays.
    Exits 1 where something is damaged and stays.
    """
    # Imported here because it is slow to import, which --help does not need.
    from pipeline.base.work import list_items
    from pipeline.project.damage import (
        cached_objects,
        changed_sources,
        damaged_items,
        damaged_objects,
        damaged_outs,
        locked_outs,
    )

    again, added = locked_outs(Path())
    chosen = _chosen([*again, *added], paths) if paths else sorted({*again, *added})
    here = [path for path in chosen if path.exists()]
    found = [*damaged_outs(here)]
    if not paths:
        found += damaged_items()
    kept = {each.remove for each in found if each.remove in added or (each.remove not in again and _holds_more(each))}
    cache, objects = _cache_folder(), set[Path]()
    if cache is not None:
        of_stages = cached_objects(cache, [md5 for out, md5 in again.items() if out in chosen])
        of_user = cached_objects(cache, [md5 for out, md5 in added.items() if out in chosen])
        found += changed_sources({out: md5 for out, md5 in again.items() if out in chosen}, cache)
        found += damaged_objects(of_stages)
        more = [*damaged_objects([path for path in of_user if path not in of_stages])]
        found += more
        kept |= {each.remove for each in more}
        objects = {*of_stages, *of_user}
    for each in found:
        print(each.fault)
    if not found:
        more_read = [] if paths else [f"{counted(len(list_items()), 'item')} of .work"]
        more_read.append(f"{counted(len(objects), 'object')} of DVC's cache")
        print(_all_whole(len(here), len(chosen) - len(here), more_read))
        return
    removed = sorted({each.remove for each in found} - kept)
    if removed and not repair:
        raise InputError(f"{len(removed) + len(kept)} damaged; {REPAIR}")
    if removed:
        _remove(removed, ask=not yes)
    if kept:
        names = ", ".join(str(path) for path in sorted(kept))
        raise InputError(f"{names}: no stage makes it again, so it is not removed; {BRING_BACK}")


def _remove(paths: list[Path], *, ask: bool) -> None:
    """Remove the damaged paths.

    Raises:
        InputError: the user was asked and refused.
    """
    print("to be removed:", *(f"  {path}" for path in paths), sep="\n")
    if ask and not typer.confirm(f"Remove these {len(paths)}?"):
        raise InputError("nothing was removed")
    for path in paths:
        remove_path(path)
    print(f"removed {len(paths)}; `dvc repro` makes them again, `dvc pull` fetches what a remote has")


def _all_whole(here: int, absent: int, more: list[str]) -> str:
    """Say what was read and what is absent, if nothing of what was read is damaged."""
    read = f"nothing is damaged of what was read: {counted(here, 'out')}, {', '.join(more)}"
    are = "is" if absent == 1 else "are"
    return f"{read}; {counted(absent, 'out')} {are} not here, so not read" if absent else read


def _chosen(outs: list[Path], paths: list[Path]) -> list[Path]:
    """Return the outs that are inside these paths or contain them, and the paths that are not outs.

    Raises:
        InputError: a path does not exist.
    """
    places = {out: out.resolve() for out in outs}
    chosen: set[Path] = set()
    for path in paths:
        place = path.resolve()
        of_path = {out for out, at in places.items() if at.is_relative_to(place) or place.is_relative_to(at)}
        if not path.exists() and not of_path:
            raise InputError(f"{path}: no such file or folder")
        chosen |= of_path or {path}
    return sorted(chosen)


def _holds_more(damage: "Damage") -> bool:
    """Return whether the damage is a folder that may hold other things: no stage makes it, and it has no manifest."""
    return not damage.stage and damage.remove.is_dir() and not (damage.remove / "manifest.json").is_file()


def _cache_folder() -> Path | None:
    """Return the folder of objects in this project's DVC cache; None outside of a project."""
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        return Path(Repo().cache.local.path)
    except NotDvcRepoError:
        return None

"""Commands about the project itself: `compose`, `runs`, `work`. `status` has its own file."""

import datetime
import time
from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.errors import InputError
from pipeline.base.files import json_text, write_text


def compose(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="As after -S: head=lfb_nl, baseline.lr=0.1, +experiment=NAME.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 where params.yaml differs from conf/.")
    ] = False,
) -> None:
    """Compose params.yaml from conf/ (Hydra), as `dvc exp run -S` does, and validate the whole of it."""
    from pipeline.params.choices import chosen_overrides
    from pipeline.project.compose import (
        compose_params,
        differing_keys,
        params_text,
        read_params,
        record_values,
    )

    path = Path("params.yaml")
    if not check:
        values = compose_params(overrides or [])
        record_values(values, overrides or [])
        text = params_text(values)
        write_text(path, text)
        print(f"{path}: written, {len(text.splitlines())} lines")
        return
    found = read_params(path)
    expected = compose_params([*chosen_overrides(found), *(overrides or [])])
    expected["choices"]["values"] = found["choices"].get("values", [])
    differences = differing_keys(found, expected)
    if differences:
        raise InputError(f"{path} is not what conf/ says; run `actionbank compose`: " + "; ".join(differences))
    print(f"{path}: as conf/ says")


def runs(
    last: Annotated[int, typer.Option("--last", min=1, help="Show so many runs of stages, the newest.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text, of all runs.")] = False,
) -> None:
    """Show every run of a stage: when, how long, with what peak memory and outcome (kept in .work, never in an out).

    How long is counted from the start of its process, as `actionbank status` counts it; in --json, `start_seconds` is
    the time until its work began, `seconds` that of the work.
    """
    from pipeline.base.runs import list_runs, seconds_taken

    records = list_runs()
    if as_json:
        print(json_text(records), end="")
        return
    if not records:
        print("no run of a stage is recorded here")
    for record in records[-last:]:
        started = datetime.datetime.fromtimestamp(record["started"]).isoformat(sep=" ", timespec="seconds")
        name = " ".join(each for each in (record["stage"], record.get("variant", "")) if each)
        took = f"{seconds_taken(record):8.1f} s" if "seconds" in record else " " * 10
        peak = f"{max(record['peak_rss_mib'].values()):6.0f} MiB" if "peak_rss_mib" in record else " " * 10
        more = "  ".join(each for each in (record["host"], record.get("experiment", "")) if each)
        print(f"{started}  {name:<28} {took}  {peak}  {record['outcome']:<8}  {more}")
    if len(records) > last:
        print(f"{len(records) - last} older runs are not shown (--last)")


work_app = typer.Typer(help="The work directory .work: finished items that a run can use again.", no_args_is_help=True)


@work_app.command("ls")
def work_ls() -> None:
    """List the finished items with their sizes."""
    from pipeline.base.work import list_items, work_root

    items = list_items()
    for stage, key, size, modified in items:
        day = datetime.date.fromtimestamp(modified).isoformat()
        print(f"{stage:<20} {key}  {size / 2**20:10.1f} MiB  {day}")
    print(f"{len(items)} items, {sum(size for _, _, size, _ in items) / 2**20:.1f} MiB below {work_root()}")


@work_app.command("gc")
def work_gc(
    days: Annotated[float, typer.Option(min=0, help="Keep items younger than this.")] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Drop items older than so many days, and what killed processes left; a later run makes again what it needs."""
    from pipeline.base.work import list_items, list_rests, remove_item, remove_rests

    old = [item for item in list_items() if time.time() - item[3] > days * 86400]
    for stage, key, _, _ in old:
        if not dry_run:
            remove_item(stage, key)
    rests = list_rests()
    if not dry_run:
        remove_rests(rests)
    verb = "would drop" if dry_run else "dropped"
    size = sum(size for _, _, size, _ in old) / 2**20
    print(f"{verb} {len(old)} items, {size:.1f} MiB, and {len(rests)} files and folders of killed processes")

"""`actionbank bank diff`, `merge` and `subset`: compare banks, join them, and take parts of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.bank.format import MANIFEST
from pipeline.base.errors import InputError
from pipeline.base.files import check_own, json_text

if TYPE_CHECKING:
    from pipeline.bank.diff import BankDifference, RowSetDifference
    from pipeline.bank.reader import Bank

SHOWN = 5
BANK_FILES = (MANIFEST, "zarr.json", *("*/" * depth + "zarr.json" for depth in (1, 2, 3)), "*/*/*/c/0", "*/*/*/c/0/0")
"The files of a bank's folder: the records and shards of its parts, row sets and arrays."
BankArgument = Annotated[Path, typer.Argument(help="The bank's folder, e.g. data/playground/bank/train.zarr.")]
OutArgument = Annotated[Path, typer.Argument(help="The bank to make.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the bank that is there already.")]


def diff(
    a: BankArgument,
    b: Annotated[Path, typer.Argument(help="The bank that it is compared with.")],
    rows: Annotated[
        Literal["all", "detections", "ground_truth", "objects"],
        typer.Option(help="Which rows are compared; other projects' banks have detections alone."),
    ] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Say in what two banks differ, row by row, and by how much.

    Exits with 0 if both have the same rows with the same features, else with 1. Rows are matched by video, timestamp
    and box; where a bank has no boxes, by their order within the second.
    """
    from pipeline.bank.diff import diff_banks
    from pipeline.bank.reader import open_bank

    found = diff_banks(open_bank(a), open_bank(b), [] if rows == "all" else [rows])
    if as_json:
        print(json_text({"a": str(a), "b": str(b), **found.to_json()}), end="")
    else:
        _print_difference(a, b, found)
    if not found.same:
        raise typer.Exit(1)


def _print_difference(a: Path, b: Path, found: "BankDifference") -> None:
    print(f"A {a}, B {b}: {'same rows and features' if found.same else 'different'}")
    for key, (one, other) in found.settings.items():
        print(f"  {key}: {_shown(one)} in A, {_shown(other)} in B")
    for name, videos in (("A", found.videos_only_in_a), ("B", found.videos_only_in_b)):
        if videos:
            more = f" and {len(videos) - SHOWN} more" if len(videos) > SHOWN else ""
            print(f"  videos only in {name}: {', '.join(videos[:SHOWN])}{more}")
    for row_set, each in found.row_sets.items():
        _print_rows(row_set, each)


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _print_rows(row_set: str, each: "RowSetDifference") -> None:
    if not each.matched and not each.unmatched:
        return
    how = ", by order within the second" if each.matched_by_order else ""
    print(
        f"  {row_set}: {each.matched:,} rows in both{how}, {each.only_in_a:,} only in A, {each.only_in_b:,} only in B"
    )
    if each.differing:
        print(f"    {each.differing:,} of those in both differ")
    if each.max_absolute:
        mean, relative = each.sum_absolute / each.compared, each.sum_relative / each.compared
        print(f"    features: absolute difference at most {each.max_absolute:.3g}, mean {mean:.3g}")
        print(f"    features: relative difference at most {each.max_relative:.3g}, mean {relative:.3g}")
        print(f"    features: cosine similarity at least {each.least_cosine:.8f}")
    if each.matched and not each.compared:
        print("    features: not compared, their numbers of channels differ")
    for name, value in sorted(each.max_column.items()):
        if value:
            print(f"    {name}: absolute difference at most {value:.3g}")
    if each.worst_video is not None:
        print(f"    worst video: {each.worst_video}")


def merge(
    out: OutArgument,
    banks: Annotated[list[Path], typer.Argument(help="Two banks or more, of one split and made alike.")],
    force: ForceOption = False,
) -> None:
    """Make one bank of several that have the same split, settings and producer.

    Files are linked, not copied, where links reach. A video that stands in several banks must have the same bytes in
    all of them.
    """
    from pipeline.bank.merge import merge_banks
    from pipeline.bank.output import check_new_bank
    from pipeline.bank.reader import open_bank

    check_new_bank(out, force=force)
    check_own(out, BANK_FILES)
    if len(banks) < 2:
        raise InputError(f"{out}: {len(banks)} bank to merge, expected two or more")
    bank, shared = merge_banks([open_bank(path) for path in banks], out)
    _print_made(out, bank, f", {shared} of them in several banks" if shared else "")


def subset(
    out: OutArgument,
    path: BankArgument,
    videos: Annotated[Path | None, typer.Option(help="A file of ids, one a line.")] = None,
    video: Annotated[list[str] | None, typer.Option(help="An id; may be repeated.")] = None,
    force: ForceOption = False,
) -> None:
    """Make a bank of some videos of another one; files are linked, not copied, where links reach."""
    from pipeline.bank.output import check_new_bank
    from pipeline.bank.reader import open_bank
    from pipeline.bank.subset import subset_bank
    from pipeline.interop.banks.exchange import read_ids

    check_new_bank(out, force=force)
    check_own(out, BANK_FILES)
    wanted = [*(video or []), *([] if videos is None else read_ids(videos))]
    _print_made(out, subset_bank(open_bank(path), out, wanted), "")


def _print_made(out: Path, bank: "Bank", note: str) -> None:
    print(f"{out}: {len(bank.videos)} videos{note}, {bank.count('detections'):,} rows, digest {bank.digest[:12]}")

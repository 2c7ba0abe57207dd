"""`actionbank parity`: compare our network with the numbers that upstream computed."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.base.files import check_report, write_json

if TYPE_CHECKING:
    from pipeline.interop.compare_fixture import ParityReport


def parity(
    fixture: Annotated[Path, typer.Argument(help="A fixture's JSON; its npz stands beside it.")],
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    json_path: Annotated[Path | None, typer.Option("--json", help="Also write every difference to this file.")] = None,
) -> None:
    """Build the model that a fixture describes, run it and print the largest difference of every tensor.

    The model comes from the fixture's own hyper-parameters and the weights from its rule, so a fixture with any name
    works. Exits with 0 where every number is within 1e-4 + 1e-4 times its size, else with 1.
    """
    import torch

    from pipeline.interop.check_fixture import check_fixture

    if json_path:
        check_report(json_path, "fixture", "passed", "parameters", "tensors")
    torch.set_num_threads(threads)
    report = check_fixture(fixture)
    _print(report)
    if json_path:
        differences = {
            each.tensor: {"largest": each.largest, "share_of_tolerance": each.share, "values": each.values}
            for each in report.differences
        }
        write_json(
            json_path,
            {"fixture": report.name, "passed": report.passed, "parameters": report.parameters, "tensors": differences},
        )
    if not report.passed:
        raise typer.Exit(1)


def _print(report: "ParityReport") -> None:
    for what, counts in (("parameters", report.parameters), ("buffer elements", report.buffers)):
        if counts is not None:
            found, expected = counts
            print(f"{what} {found:,}" + (", as upstream" if found == expected else f", upstream {expected:,}: differs"))
    width = max(len(each.tensor) for each in report.differences)
    print(f"{'tensor':<{width}}  {'values':>7}  {'largest':>9}  of tolerance")
    for each in report.differences:
        share = f"{each.share:12.4f}" if math.isfinite(each.share) else f"{each.share!s:>12}"
        verdict = "" if each.within else f"  too far{': ' if each.note else ''}{each.note}"
        print(f"{each.tensor:<{width}}  {each.values:>7}  {each.largest:9.2e}  {share}{verdict}")
    within = sum(each.within for each in report.differences)
    print(
        f"{report.name} ({report.upstream}): {within} of {len(report.differences)} tensors within "
        f"{report.tolerance}, largest difference {report.largest:.2e}: " + ("passed" if report.passed else "FAILED")
    )

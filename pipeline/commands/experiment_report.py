"""`actionbank report`: a page for one experiment, or for what changed from one to another."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.compare import (
    SOURCE,
    BoxesOption,
    CapOption,
    IouOption,
    ProtocolOption,
    ResamplesOption,
    SeedOption,
    SplitOption,
)
from pipeline.evaluation.protocols import OFFICIAL_CAP

OWN = ("report.json", "index.html")


def report(
    a: Annotated[str, typer.Argument(help=f"{SOURCE} Alone: the experiment to show.")] = "workspace",
    b: Annotated[str | None, typer.Argument(help="Another one, which is compared with A.", show_default=False)] = None,
    boxes: BoxesOption = "detected",
    split: SplitOption = "val",
    iou: IouOption = 0.5,
    protocol: ProtocolOption = "official",
    cap: CapOption = OFFICIAL_CAP,
    resamples: ResamplesOption = 1000,
    seed: SeedOption = 0,
    out: Annotated[
        Path, typer.Option(help="Folder of the report; an earlier report is replaced, and nothing else.")
    ] = Path("results/report"),
) -> None:
    """Write a page with AP by class and group, curves, errors, confusions, learning curves and provenance.

    With A and B it shows the changes, with the intervals of `actionbank compare`. It opens from the file system.
    """
    # Imported here because they take half a second to import.
    from pipeline.analysis.background import read_background
    from pipeline.analysis.compare_results import compare_experiments
    from pipeline.analysis.report_page import Rules, scored, write_report_page
    from pipeline.analysis.revisions import read_experiment
    from pipeline.base.files import check_own, replace_folder, write_json

    check_own(out, OWN)
    rules = Rules(iou, protocol, cap)
    sources = [a] if b is None else [a, b]
    sides = [
        scored(read_experiment(source, boxes=boxes, split=split), read_background(source), rules) for source in sources
    ]
    first, last = sides[0].experiment, sides[-1].experiment
    found = compare_experiments(
        first, last, iou=iou, protocol=protocol, cap=cap, resamples=resamples if b else 0, seed=seed
    )
    notes = f"{boxes} boxes of {found.videos} videos of {split}, IoU {iou:g}, protocol {protocol}"
    with replace_folder(out, OWN) as folder:
        write_json(folder / "report.json", {"sources": sources, "notes": notes} | asdict(found))
        write_report_page(folder / "index.html", found, sides, notes)
    score = found.overall.b
    print(f"{out / 'index.html'}: {' and '.join(sources)}, mAP {'none' if score is None else f'{score:.4f}'}; {notes}")

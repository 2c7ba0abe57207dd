"""`actionbank compare`: report what changed between two experiments, with confidence intervals."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.base.command import TrackOption
from pipeline.base.files import check_report, write_json
from pipeline.evaluation.protocols import OFFICIAL_CAP, ProtocolName

if TYPE_CHECKING:
    from pipeline.analysis.compare_results import Change
    from pipeline.evaluation.settings import ViewsOf

SOURCE = "A git revision, an experiment's name, `workspace`, or a folder that holds a project."
# `actionbank report` has these options too.
BoxesOption = Annotated[Literal["detected", "ground_truth"], typer.Option(help="Which boxes' detections are scored.")]
SplitOption = Annotated[str, typer.Option(help="The split that was evaluated.")]
IouOption = Annotated[float, typer.Option(min=0, max=1, help="Least overlap of a true positive.")]
ProtocolOption = Annotated[ProtocolName, typer.Option(help="Whose rules, for both.")]
CapOption = Annotated[int, typer.Option(min=0, help="Rows of a keyframe that protocol official keeps; 0 keeps all.")]
ResamplesOption = Annotated[int, typer.Option(min=0, help="Resamples of the bootstrap; 0 leaves the intervals out.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")]


def compare(
    a: Annotated[str, typer.Argument(help=SOURCE)],
    b: Annotated[str, typer.Argument(help="The same, for the experiment that A is compared with.")] = "workspace",
    boxes: BoxesOption = "detected",
    split: SplitOption = "val",
    iou: IouOption = 0.5,
    protocol: ProtocolOption = "official",
    cap: CapOption = OFFICIAL_CAP,
    resamples: ResamplesOption = 1000,
    seed: SeedOption = 0,
    json_path: Annotated[Path | None, typer.Option("--json", help="Also write the comparison to this file.")] = None,
    track: TrackOption = "detection",
    views: Annotated[Literal["efficient", "accurate"], typer.Option(help="Of recognition: which scores.")] = "accurate",
) -> None:
    """Compare two experiments: change of AP from A to B per class and group, with its number of examples.

    With --track recognition: change of top-1, top-5 and the mean over classes, and of top-1 per class; the bootstrap is
    over clips, and of the options only --resamples, --seed, --json and --views apply.

    The interval is that of a paired bootstrap over videos: both experiments are scored on the same resamples,
    and 95 of 100 changes lie inside. Both are scored by the rules given here, whatever they reported.
    """
    from pipeline.analysis.compare_results import compare_experiments
    from pipeline.analysis.revisions import read_experiment

    if track == "recognition":
        _compare_clips(a, b, views, resamples=resamples, seed=seed, json_path=json_path)
        return
    if json_path:
        check_report(json_path, "a", "b", "boxes", "classes", "overall")
    before, after = (read_experiment(source, boxes=boxes, split=split) for source in (a, b))
    result = compare_experiments(before, after, iou=iou, protocol=protocol, cap=cap, resamples=resamples, seed=seed)
    rows = [*result.classes, *result.groups, result.overall]
    _print_rows(rows, "boxes")
    print(f"A {a}, B {b}; {boxes} boxes of {result.videos} videos of {split}, IoU {iou:g}, protocol {protocol}")
    if json_path:
        write_json(json_path, {"a": a, "b": b, "boxes": boxes, "split": split, "iou": iou} | asdict(result))


def _compare_clips(a: str, b: str, views: "ViewsOf", *, resamples: int, seed: int, json_path: Path | None) -> None:
    from pipeline.analysis.compare_clips import class_names, compare_clips, read_clip_result

    if json_path:
        check_report(json_path, "a", "b", "views", "classes", "overall")
    before, after = (read_clip_result(source, views) for source in (a, b))
    result = compare_clips(before, after, class_names(b), resamples=resamples, seed=seed)
    _print_rows([*result.classes, *result.overall], "clips")
    print(f"A {a}, B {b}; {views} views of {result.clips} clips")
    if json_path:
        write_json(json_path, {"a": a, "b": b, "views": views} | asdict(result))


def _print_rows(rows: "Sequence[Change]", unit: str) -> None:
    width = max(len(row.name) for row in rows)
    print(f"{'':<{width}}  {unit:>7}  {'A':>6}  {'B':>6}  {'change':>7}  95 % interval")
    for row in rows:
        print(_line(row, width))


def _line(row: "Change", width: int) -> str:
    ap = "  ".join("     -" if value is None else f"{value:6.4f}" for value in (row.a, row.b))
    change = "      -" if row.change is None else f"{row.change:+7.4f}"
    interval = "" if row.low is None or row.high is None else f"{row.low:+.4f} to {row.high:+.4f}"
    return f"{row.name:<{width}}  {row.examples:>7}  {ap}  {change}  {interval}".rstrip()

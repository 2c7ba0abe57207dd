"""`actionbank predict` and `actionbank pack-model`: put a trained model on films, and hand it over."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.base.command import BatchOption, DeviceOption, WorkersOption

if TYPE_CHECKING:
    from pipeline.predict.film_plans import UserChoice
    from pipeline.predict.load_model import Model
    from pipeline.predict.predict_film import PredictOptions
    from pipeline.predict.predict_to_folder import Outputs

SourcesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Films, folders of films, globs; - reads paths from standard input. Or one camera or stream: camera:0, "
        "rtsp://..., http://...",
    ),
]
ModelOption = Annotated[
    Path,
    typer.Option(help="A project's folder, a model of pack-model, or a .safetensors file of `actionbank convert`."),
]
LabelsOption = Annotated[
    Path | None, typer.Option(help="Label map with the names of a converted checkpoint's classes.")
]
BoxesOption = Annotated[
    Path | None, typer.Option(help="Boxes of persons: a file or folder of any form that import_boxes reads.")
]
ObjectsOption = Annotated[Path | None, typer.Option(help="Boxes of objects, beside --boxes.")]
DetectorOption = Annotated[
    str | None,
    typer.Option(
        help="fasterrcnn, motion, or weights for fasterrcnn (.safetensors). Without it and --boxes: the project's own "
        "boxes for its own films, fasterrcnn for others."
    ),
]
EveryOption = Annotated[
    float, typer.Option(help="Seconds between scored times; the seconds of a window stay 1 s apart.")
]
AtOption = Annotated[
    Path | None, typer.Option(help="CSV of video_id,timestamp: score these times, instead of --every.")
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Score from which an action is shown; without it by class, from validation."),
]
BoxThresholdOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Least score of a person's box; without it the model's own.")
]
TimesOption = Annotated[
    Path | None,
    typer.Option(help="videos.csv (video_id,split,first_timestamp,offset_seconds): the timestamps of films."),
]
FirstOption = Annotated[
    float, typer.Option(help="Timestamp of a film's first frame, in --boxes and in results; AVA: 900.")
]
MemoryOption = Annotated[
    Literal["full", "past"], typer.Option(help="past: windows hold nothing after their own second, as live.")
]
BankOption = Annotated[Path | None, typer.Option(help="Also keep the rows of the windows, as a bank (DIR.zarr).")]
CsvOption = Annotated[bool, typer.Option("--csv/--no-csv", help="Write detections.csv, AVA CSV.")]
LinesOption = Annotated[
    bool, typer.Option("--lines/--no-lines", help="Write seconds.jsonl, a line of JSON for each scored time.")
]
ActionsOption = Annotated[
    bool, typer.Option("--actions/--no-actions", help="Write actions.csv, the spans of actions (`actionbank spans`).")
]
CorrectOption = Annotated[
    Literal["cvat", "via", "ava"] | None,
    typer.Option(help="Write annotations to correct, into DIR/correct-FORMAT (`actionbank correct`)."),
]
PageOption = Annotated[
    bool, typer.Option("--page", help="Write page.html, which plays the films with boxes and time lines.")
]
ExplainOption = Annotated[
    int, typer.Option(min=0, help="Write what the head attended to: of each person and layer so many weights.")
]
RenderOption = Annotated[
    Path | None,
    typer.Option(help="Also draw what was found on the film: a new .mp4, .mov or .mkv. For one film."),
]
PrintOption = Annotated[bool, typer.Option("--print", help="Also print these lines as they come.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an earlier result of this command.")]


def predict(
    sources: SourcesArgument,
    model: ModelOption = Path(),
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("predicted"),
    boxes: BoxesOption = None,
    objects: ObjectsOption = None,
    detector: DetectorOption = None,
    every: EveryOption = 1,
    at: AtOption = None,
    threshold: ThresholdOption = None,
    box_threshold: BoxThresholdOption = None,
    times: TimesOption = None,
    first_timestamp: FirstOption = 0,
    memory: MemoryOption = "full",
    keep_bank: BankOption = None,
    with_csv: CsvOption = True,
    with_lines: LinesOption = True,
    actions: ActionsOption = True,
    correct: CorrectOption = None,
    render: RenderOption = None,
    echo: PrintOption = False,
    page: PageOption = False,
    explain: ExplainOption = 0,
    labels: LabelsOption = None,
    force: ForceOption = False,
    workers: WorkersOption = 0,
    device: DeviceOption = "auto",
    batch: BatchOption = 8,
) -> None:
    """Find persons and their actions in films (docs/predict.md).

    The model sees a film as it saw those of its validation: the same frames, clips, boxes and windows, and on the same
    film the same scores. Writes detections.parquet, persons.parquet, videos.parquet, AVA CSV and lines of JSON.
    """
    # Imported here because PyTorch takes seconds to import.
    from pipeline.evaluation.ava_csv import read_keyframe_list
    from pipeline.predict.film_plans import UserChoice
    from pipeline.predict.load_model import load_model
    from pipeline.predict.predict_film import PredictOptions
    from pipeline.predict.predict_to_folder import Outputs

    of_films: dict[str, object] = {"--at": at, "--keep-bank": keep_bank, "--render": render, "--correct": correct}
    of_films |= {"--page": page, "--explain": explain, "--first-timestamp": first_timestamp}
    is_live = _check(sources, out, {**of_films, "--no-lines": not with_lines}, force=force)
    options = PredictOptions(every=every, memory=memory, at=read_keyframe_list(at) if at else None, explain=explain)
    loaded = load_model(model, device=device, workers=workers, batch=batch, labels=labels, box_threshold=box_threshold)
    chosen = UserChoice(boxes=boxes, objects=objects, detector=detector, times=times, first_timestamp=first_timestamp)
    outputs = Outputs(
        out=out, force=force, with_csv=with_csv, with_lines=with_lines, echo=echo, keep_bank=keep_bank, page=page,
        render=render, actions=actions, correct=correct,
    )  # fmt: skip
    if is_live:
        _predict_live(sources[0], loaded.shown_from(threshold), chosen, every, outputs)
    else:
        end_with(_predict_films(sources, loaded.shown_from(threshold), chosen, options, outputs))


def _check(sources: list[str], out: Path, of_films: dict[str, object], *, force: bool) -> bool:
    """Check what does not need the model; return whether the source is a camera or a stream."""
    from pipeline.predict.camera import are_live
    from pipeline.predict.write_predicted import check_out

    is_live = are_live(sources, of_films)
    if not is_live:
        check_out(out, force=force)
    return is_live


def _predict_films(
    sources: list[str], model: "Model", chosen: "UserChoice", options: "PredictOptions", outputs: "Outputs"
) -> bool:
    from pipeline.predict.predict_to_folder import predict_to_folder

    return predict_to_folder(sources, model, chosen, options, outputs).interrupted


def _predict_live(source: str, model: "Model", chosen: "UserChoice", every: float, outputs: "Outputs") -> None:
    from pipeline.predict.live_to_folder import LiveOutputs, live_to_folder

    live = LiveOutputs(out=outputs.out, force=outputs.force, echo=outputs.echo)
    end_with(live_to_folder(source, model, chosen, every, live).outcome == "stopped")


def end_with(interrupted: bool) -> None:
    """End the command with status 130 if it was a Ctrl-C."""
    if interrupted:
        raise typer.Exit(130)


def pack_model(
    out: Annotated[Path, typer.Argument(metavar="OUT.abm", help="The folder to write.")],
    model: ModelOption = Path(),
    labels: LabelsOption = None,
    force: ForceOption = False,
) -> None:
    """Put a model into one folder that needs no project: weights, classes, settings, thresholds (docs/predict.md)."""
    # Imported here because PyTorch takes seconds to import.
    from pipeline.base.errors import InputError
    from pipeline.predict.model_files import find_model
    from pipeline.predict.model_files import pack_model as pack

    if out.exists() and not force:
        raise InputError(f"{out}: is there already; --force replaces it")
    files = find_model(model, labels)
    digest = pack(out, files)
    size = sum(path.stat().st_size for path in out.iterdir()) / 1e6
    spec = files.checkpoint.scored()
    shape = f"head {spec.head.name}, scope {spec.scope}, {len(files.labels)} classes"
    print(f"{out}: {shape}, {size:.1f} MB, digest {digest[:12]}")

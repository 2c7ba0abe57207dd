"""`actionbank predict` and `actionbank pack-model`: put a trained model on films, and hand it over."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.base.command import BatchOption, DeviceOption, WorkersOption

ModelOption = Annotated[
    Path,
    typer.Option(help="A project's folder, a model of pack-model, or a .safetensors file of `actionbank convert`."),
]
LabelsOption = Annotated[
    Path | None, typer.Option(help="Label map with the names of a converted checkpoint's classes.")
]


def predict(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="Films, folders of films, globs; - reads paths from standard input."),
    ],
    model: ModelOption = Path(),
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("predicted"),
    boxes: Annotated[
        Path | None, typer.Option(help="Boxes of persons: a file or folder of any form that import_boxes reads.")
    ] = None,
    objects: Annotated[Path | None, typer.Option(help="Boxes of objects, beside --boxes.")] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            help="fasterrcnn, motion, or weights for fasterrcnn (.safetensors). Without it and --boxes: the project's "
            "own boxes for its own films, fasterrcnn for others."
        ),
    ] = None,
    every: Annotated[float, typer.Option(help="Seconds between scored times; windows stay as they were trained.")] = 1,
    at: Annotated[
        Path | None, typer.Option(help="CSV of video_id,timestamp: score these times, instead of --every.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Score from which an action is shown; without it by class, from validation."),
    ] = None,
    box_threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least score of a person's box; without it the model's own.")
    ] = None,
    times: Annotated[
        Path | None,
        typer.Option(help="videos.csv (video_id,split,first_timestamp,offset_seconds): timestamps of films."),
    ] = None,
    first_timestamp: Annotated[
        float, typer.Option(help="Timestamp of a film's first frame, in --boxes and in results; AVA: 900.")
    ] = 0,
    memory: Annotated[
        Literal["full", "past"], typer.Option(help="past: windows hold nothing after their own second, as live.")
    ] = "full",
    keep_bank: Annotated[
        Path | None, typer.Option(help="Also keep the rows of the windows, as a bank (DIR.zarr).")
    ] = None,
    with_csv: Annotated[bool, typer.Option("--csv/--no-csv", help="Write detections.csv, AVA CSV.")] = True,
    with_lines: Annotated[
        bool, typer.Option("--lines/--no-lines", help="Write seconds.jsonl, a line of JSON for each scored time.")
    ] = True,
    echo: Annotated[bool, typer.Option("--print", help="Also print these lines as they come.")] = False,
    labels: LabelsOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier result.")] = False,
    workers: WorkersOption = 0,
    device: DeviceOption = "auto",
    batch: BatchOption = 8,
) -> None:
    """Find persons and their actions in films (docs/predict.md).

    The model sees a film as it saw those of its validation: the same frames, clips, boxes and windows, and on the same
    film the same scores. Writes detections.parquet, persons.parquet, videos.parquet, AVA CSV and lines of JSON.
    """
    # Imported here because PyTorch takes seconds to import.
    from pipeline.base.errors import counted
    from pipeline.base.files import replace_folder
    from pipeline.evaluation.ava_csv import read_keyframe_list
    from pipeline.predict.film_plans import Chosen, plan_films
    from pipeline.predict.film_sources import find_films
    from pipeline.predict.load_model import load_model
    from pipeline.predict.predict_film import PredictOptions
    from pipeline.predict.predict_films import check_keep_bank, predict_films
    from pipeline.predict.write_predicted import FILES, LINES, check_out, lines_writer, write_tables

    check_out(out, force=force)
    films, problems = find_films(sources)
    options = PredictOptions(every=every, memory=memory, at=read_keyframe_list(at) if at else None)
    loaded = load_model(
        model, device=device, workers=workers, batch=batch, labels=labels, box_threshold=box_threshold
    ).shown_from(threshold)
    options.check(loaded)
    check_keep_bank(loaded, keep_bank, force=force)
    chosen = Chosen(boxes=boxes, objects=objects, detector=detector, times=times, first_timestamp=first_timestamp)
    plans = plan_films(films, loaded, chosen)
    with replace_folder(out, FILES) as folder:
        with lines_writer(folder / LINES if with_lines else None, echo=echo) as lines:
            found = predict_films(loaded, plans, options, on_second=lines.write, keep_bank=keep_bank)
        found.problems = [*problems, *found.problems]
        told = {"every": every, "memory": memory, "boxes": sorted({plan.told for plan in plans})}
        predicted = found.predicted(loaded, **told)
        write_tables(folder, predicted, found, with_csv=with_csv)
    bare = f", {len(found.without_person)} of them without a person" if found.without_person else ""
    bad = f"; {len(found.problems)} cannot be read (problems.json)" if found.problems else ""
    scores = counted(len(predicted.detections), "detection")
    print(
        f"{out}: {counted(len(found.results), 'film')}{bare}{bad}; {scores} of {counted(len(predicted.persons), 'person')}"
    )
    if found.interrupted:
        raise typer.Exit(130)


def pack_model(
    out: Annotated[Path, typer.Argument(metavar="OUT.abm", help="The folder to write.")],
    model: ModelOption = Path(),
    labels: LabelsOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier one.")] = False,
) -> None:
    """Put a model into one folder that needs no project: weights, classes, settings, thresholds (docs/predict.md)."""
    from pipeline.base.errors import InputError
    from pipeline.predict.model_files import find_model
    from pipeline.predict.model_files import pack_model as pack

    if out.exists() and not force:
        raise InputError(f"{out}: is there already; --force replaces it")
    files = find_model(model, labels)
    digest = pack(out, files)
    size = sum(path.stat().st_size for path in out.iterdir()) / 1e6
    spec = files.checkpoint.scored()
    print(
        f"{out}: head {spec.head.name}, scope {spec.scope}, {len(files.labels)} classes, {size:.1f} MB, digest {digest[:12]}"
    )

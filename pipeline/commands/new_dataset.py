"""`actionbank new-dataset`: from a folder of videos to a data set that the pipeline takes."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.command import WorkersOption, worker_count

CONF = Path("conf")


def new_dataset(
    name: Annotated[str, typer.Argument(help="Its name: lower-case letters, digits and '_'.")],
    videos: Annotated[
        Path,
        typer.Option(
            help="Folder of videos, or of folders of pictures (VIDEO/img_00001.jpg), which stay where they are."
        ),
    ],
    annotations: Annotated[
        Path | None,
        typer.Option(help="File or folder of annotations, in any format of docs/datasets.md.", show_default=False),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            help="File or folder of person boxes; absent: the detector that needs no download makes them.",
            show_default=False,
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="Frames per second of the grid; absent: the films' most common rate, up to 30.",
            show_default=False,
        ),
    ] = None,
    frame_rate: Annotated[
        float | None,
        typer.Option(
            min=0.001, help="Pictures per second of folders of pictures, which nothing else tells.", show_default=False
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace conf/dataset/NAME.yaml, copied files and lists that it wrote.")
    ] = False,
    workers: WorkersOption = 0,
) -> None:
    """Write conf/dataset/NAME.yaml for a folder of videos, look for what is wrong with it, and say the next command.

    A single file of annotations or boxes is copied to data/NAME/source. Where annotations count frames or pixels and no
    videos.csv lies beside them, one is written. Exits as `actionbank doctor`, but with 0 where there are only warnings.
    """  # fmt: skip
    # With these come pyarrow, PyAV and Hydra.
    from pipeline.base.errors import counted
    from pipeline.base.files import write_text
    from pipeline.commands.doctor import doctor
    from pipeline.doctor.probe_films import probe_films
    from pipeline.new_dataset.config import (
        check_name,
        check_source,
        config_text,
        grid_fps,
        in_place,
        own_folder,
        rate_lines,
        read_classes,
        split_gap,
        write_box_rates,
        write_frame_times,
        write_videos_csv,
    )
    from pipeline.new_dataset.proposed import Thresholds, propose_thresholds, proposed_lines
    from pipeline.new_dataset.versioned import ignore_words, path_for_experiments
    from pipeline.new_dataset.written_lists import lists_in, note_lines, remove_written
    from pipeline.project.compose import compose_params
    from pipeline.video.folder import find_videos

    path = check_name(name, CONF, force=force)
    for given, option in ((videos, "--videos"), (annotations, "--annotations"), (boxes, "--boxes")):
        check_source(name, given, option)
    where = path_for_experiments(in_place(videos, "--videos"))
    found = find_videos(videos, frame_rate=frame_rate)
    films = probe_films(found.paths, workers=worker_count(workers), rates=found.rates)
    source = Path("data", name, "source")
    folder = own_folder(annotations, source / "annotations", "--annotations", force=force)
    of_boxes = own_folder(boxes, source / "proposals", "--boxes", force=force) if boxes else None
    beside = [Path(each) for each in (folder, of_boxes) if each]
    if force:
        remove_written(beside, CONF)
    there = lists_in(beside)
    notes = [write_videos_csv(Path(folder), films), write_frame_times(Path(folder), films)]
    default = compose_params([], CONF)
    shown = default["backbone"]["input"]
    gap_seconds = split_gap(shown["frames"] * shown["interval"], grid_fps(films) if fps is None else fps)
    annotated = read_classes(Path(folder), path_for_experiments(folder), gap_seconds=gap_seconds)
    proposals, thresholds = None, Thresholds()
    if of_boxes:
        notes.append(write_box_rates(Path(of_boxes), films))
        proposals = path_for_experiments(of_boxes)
        thresholds = propose_thresholds(Path(of_boxes), annotated.imported, Path(folder))
        notes.append(thresholds.told())
    asked = [default["backbone"]["input"]["short_side"]]
    asked += [max(default[block]["augmentation"]["short_side"]) for block in ("baseline", "head_train")]
    more = proposed_lines(films, thresholds, motion=not boxes, least_score=default["boxes"]["min_score"])
    text = config_text(
        name,
        videos=where,
        films=films,
        annotated=annotated,
        boxes=proposals,
        fps=fps,
        asked_side=max(asked),
        more={"dataset": rate_lines(frame_rate), "blocks": more},
    )
    written = note_lines([each for each in lists_in(beside) if each not in there])
    write_text(path, text + "".join(f"{line}\n" for line in written))
    compose_params([f"dataset={name}"], CONF)
    print("".join(f"{note}\n" for note in notes if note), end="")
    classes = counted(annotated.classes, "class", "classes") if annotated.labels else "classes are to be set"
    by = f"from {proposals}" if proposals else "by motion"
    print(f"{path}: written: {counted(len(films), 'film')}, {classes}, boxes {by}")
    if told := ignore_words(videos):
        print(told)
    if annotated.gap_seconds:
        print(f"{path}: one film is annotated, so it is split by time: its last fifth is val (dataset.split_by)")
    elif annotated.imported:
        print("".join(f"{line}\n" for line in annotated.imported.told_of_splits), end="")
    try:
        doctor(dataset=name, decode=False, html=None, as_json=False, allow_warnings=True, silence=60.0, workers=workers)
    except typer.Exit as end:
        if end.exit_code:
            print(f"then look again: actionbank doctor --dataset {name}")
            raise

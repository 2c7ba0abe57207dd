"""Write what was predicted as annotations for the tool in which a person corrects them.

OUT/annotations   what `new-dataset --annotations` reads: the annotations, and labelmap.pbtxt, which keeps the ids of
                  the classes. Corrected files take the places of those that lie here.
OUT               what the tool asks for: cvat_labels.json, the label of a task; via_project.json, which VIA opens; and
                  written.json, the digests by which corrected files are told from those that may be replaced.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.annotations.frame_times import Clock
from pipeline.base.errors import InputError, counted
from pipeline.base.files import digest_file, read_json, replace_folder, write_json, write_text
from pipeline.predict.action_spans import SpanRules, write_spans
from pipeline.predict.marks import Classes, MarkedFilm, classes_of, constant_clock, marked_films
from pipeline.predict.predicted import Predicted
from pipeline.predict.scored_seconds import ScoredSecond, scored_seconds, threshold_array
from pipeline.predict.uncertain import least_certain
from pipeline.predict.write_ava import ava_text, ava_videos_text
from pipeline.predict.write_cvat import cvat_text, form_of, label_definition
from pipeline.predict.write_via import via_csv_text, via_project
from pipeline.tables.label_map import Label

Tool = Literal["cvat", "via", "ava"]
ANNOTATIONS, SPANS, WRITTEN = "annotations", "actions.csv", "written.json"
OWN = (
    "annotations/labelmap.pbtxt", "annotations/*.xml", "annotations/predicted.csv", "annotations/videos.csv",
    "annotations/frame_times.csv", "cvat_labels.json", "via_project.json", "written.json",
)  # fmt: skip
"What the command writes, and `new-dataset` beside it."


@dataclass(frozen=True)
class Wish:
    """What a user asks for."""

    tool: Tool
    uncertain: int | None = None
    "How many of the least certain seconds; None for all seconds."
    exclusive: Sequence[str] | None = None
    "Groups of classes of which a person does one thing at a time; None takes the model's own."
    force: bool = False
    "Replace a folder that is there."


def write_corrections(predicted: Predicted, out: Path, wish: Wish) -> list[str]:
    """Write the folder `out`, and return lines that say what is in it and what to do with it.

    Where no film has a person nothing is written.

    Raises:
        InputError: the folder is there and `force` is false, or it holds other files; see also `scored_seconds`,
            `threshold_array`, `classes_of`, `attributes_of` and `first_timestamp`.
    """
    if out.exists() and not wish.force:
        raise InputError(f"{out}: is there already, expected another name (--out) or --force")
    check_uncorrected(out)
    seconds, thresholds = scored_seconds(predicted), threshold_array(predicted)
    if not seconds:
        return [f"{out}: not written: there is nobody in the films, so there is nothing to correct"]
    if wish.uncertain is not None:
        seconds = least_certain(seconds, thresholds, wish.uncertain)
    own: Sequence[str] = predicted.model.get("exclusive", ())
    classes = classes_of(predicted.labels, own if wish.exclusive is None else wish.exclusive)
    with_persons = {each.video_id for each in seconds}
    videos = [row for row in predicted.videos.to_pylist() if row["video_id"] in with_persons]
    clocks, told = film_clocks(videos) if wish.tool == "cvat" else ({row["video_id"]: Clock(1.0) for row in videos}, [])
    films = marked_films(seconds, thresholds, classes, videos, clocks)
    with replace_folder(out, OWN) as folder:
        write_text(folder / ANNOTATIONS / "labelmap.pbtxt", label_map_text(predicted.labels))
        _write(films, classes, folder, wish, every_second=looked_at_every_second(predicted.model))
        files = sorted((folder / ANNOTATIONS).iterdir())
        write_json(folder / WRITTEN, {path.relative_to(folder).as_posix(): digest_file(path) for path in files})
    boxes = sum(len(film.marks) for film in films)
    what = f"{counted(boxes, 'box', 'boxes')} at {counted(len(seconds), 'second')} of {counted(len(films), 'film')}"
    return [*told, f"{out}: written: {what}, for {wish.tool}", _next(out, wish.tool)]


def check_uncorrected(out: Path) -> None:
    """Check that nobody has corrected what lies in a folder of `write_corrections`, which is about to be replaced.

    Raises:
        InputError: a file of annotations is another than the one that was written.
    """
    path = out / WRITTEN
    for name, digest in (read_json(path) if path.is_file() else {}).items():
        if (out / name).is_file() and digest_file(out / name) != digest:
            raise InputError(
                f"{out / name}: was changed since it was written, so it is not replaced; move it away, or choose "
                "another place"
            )


def after_predict(
    predicted: Predicted, folder: Path, *, actions: Iterable[ScoredSecond] | None, correct: Tool | None
) -> Iterator[str]:
    """Write what the flags of `predict` ask for into its folder, which is there; yield lines that say what.

    Args:
        predicted: what was found; its detections are needed for `correct` alone.
        folder: the folder.
        actions: the seconds of all films, for `actions.csv`; None writes none.
        correct: the tool to correct with; None writes nothing for it.
    """
    if actions is not None:
        yield write_spans(predicted, folder / SPANS, SpanRules(), actions)
    if correct:
        yield from write_corrections(predicted, folder / f"correct-{correct}", Wish(correct))


def film_clocks(videos: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Clock], list[str]]:
    """Return the clock of each film, of which a varying rate is read from the film itself, and lines for the user.

    Args:
        videos: rows of VIDEOS.
    """
    from pipeline.doctor.probe_films import look_at  # imports PyAV

    clocks, told = {}, []
    for row in videos:
        path, fps = Path(row["path"]), round(row["fps"], 5)
        clocks[row["video_id"]] = constant_clock(fps)
        if not path.exists():
            told.append(f"{path}: is not here; its frames are counted at {fps:g} a second, and a phone's rate may vary")
        elif path.is_file() and (knots := look_at(path, decode=False).knots):
            pairs = tuple((int(frame), seconds) for frame, seconds in knots)
            clocks[row["video_id"]] = Clock(fps, pairs)
    return clocks, told


def label_map_text(labels: Sequence[Label]) -> str:
    """Return `labelmap.pbtxt`: id, name and group of each class, in the form that AVA's own code reads."""
    items = []
    for label in labels:
        name, group = (re.sub(r'(["\\])', r"\\\1", text) for text in (label.name, label.group))
        items.append(f'item {{\n  name: "{name}"\n  id: {label.id}\n  group: "{group}"\n}}\n')
    return "".join(items)


def looked_at_every_second(model: Mapping[str, Any]) -> bool:
    """Return whether `predict` scored every second of the films, so that one without a box shows nobody."""
    return bool(model.get("every") == 1 and model.get("at", "") is None)


def _write(films: Sequence[MarkedFilm], classes: Classes, folder: Path, wish: Wish, *, every_second: bool) -> None:
    annotations = folder / ANNOTATIONS
    if wish.tool == "cvat":
        write_json(folder / "cvat_labels.json", label_definition(classes))
        for film in films:
            form = form_of(film, every_second=every_second) if wish.uncertain is None else "single"
            write_text(annotations / f"{film.video_id}.xml", cvat_text(film, classes, form))
    elif wish.tool == "via":
        write_json(folder / "via_project.json", via_project(films, classes, "actionbank"))
        write_text(annotations / "predicted.csv", via_csv_text(films, classes))
    else:
        write_text(annotations / "predicted.csv", ava_text(films))
        write_text(annotations / "videos.csv", ava_videos_text(films))


def _next(out: Path, tool: Tool) -> str:
    annotations = out / ANNOTATIONS
    labels = out / "cvat_labels.json"
    steps = {
        "cvat": f"in CVAT, make a task of each film with the labels of {labels} (Raw), upload its XML, correct it, and "
        f"export it in place of that in {annotations}",
        "via": f"open {out / 'via_project.json'} in VIA 3, correct, and export it over {annotations / 'predicted.csv'}",
        "ava": f"correct {annotations / 'predicted.csv'}",
    }
    return f"next: {steps[tool]}; then actionbank new-dataset NAME --videos DIR --annotations {annotations}"

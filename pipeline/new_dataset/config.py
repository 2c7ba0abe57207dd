"""Write `conf/dataset/NAME.yaml` for a folder of videos, with what was found in it."""

import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pipeline.annotations.assemble import AvaImport
from pipeline.annotations.class_ids import find_label_map, read_shifted_label_map
from pipeline.annotations.formats import Found, recognise
from pipeline.annotations.frame_times import NAME as FRAME_TIMES
from pipeline.annotations.frame_times import frame_times_text
from pipeline.annotations.listed import Listed, read_listed
from pipeline.annotations.multisports_tubes import counts_frames
from pipeline.annotations.sources import UNBOUNDED, SourceOptions, import_source
from pipeline.annotations.unread import reasons
from pipeline.base.errors import InputError, counted
from pipeline.base.files import atomic_path, digest_file, write_text
from pipeline.boxes.yolo import find_yolo
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.doctor.times import RATE_TOLERANCE
from pipeline.new_dataset.first_timestamps import Suggested, suggest_first_timestamps
from pipeline.tables.label_map import Label
from pipeline.tables.timelines import BOTH

NAME = re.compile(r"[a-z0-9_]+")
GRID_FPS, SHORT_SIDE = 30, 320
"The values of the published recipes: unless asked for, neither more nor larger frames are stored."
MOTION = [
    "boxes:",
    "  # motion needs no download, and a camera that stands still. fasterrcnn finds persons in any film; its weights",
    "  # are downloaded by torchvision, or read from the file boxes.weights.",
    "  detector: motion",
]
ABSOLUTE = (
    "  # Absolute are the paths of what neither Git nor DVC brings to a temporary folder: so `dvc exp run --queue` and",
    "  # `--temp` find it too, on this machine. What you `dvc add` may stand here relative to the project, and travels",
    "  # with `dvc push`.",
)
SHOWN_NAMES, SHOWN_LINES = 8, 12
USUAL_BAD_FRACTION = 0.05
"frames.max_bad_fraction of conf/config.yaml."
NO_BOXES = "conf/none/boxes"
OUTS = ("frames", "annotations", "detected_boxes", "boxes", "bank")
"Folders that stages write below `data/NAME`."


@dataclass(frozen=True)
class Annotated:
    """What is known about a folder of annotations."""

    folder: str
    classes: int = 1
    "Number of classes; 1 if unknown."
    labels: Sequence[Label] = ()
    told: Sequence[str] = field(default_factory=list)
    "Lines on formats and splits."
    fault: str = ""
    "Why the classes are unknown."
    gap_seconds: float = 0.0
    "If the only annotated film is long enough to be split by time: the gap between train and val, in seconds."
    imported: AvaImport | None = None


def check_name(name: str, conf: Path, *, force: bool) -> Path:
    """Return the configuration file for a data set of this name.

    Raises:
        InputError: the name is not valid or is taken, or there is no `conf/dataset`.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"the name is {name!r}, expected lower-case letters, digits and '_'")
    if not (conf / "dataset").is_dir():
        raise InputError(f"{conf / 'dataset'}: no such folder, expected to run in the project's folder")
    path = conf / "dataset" / f"{name}.yaml"
    if path.exists() and not force:
        raise InputError(f"{path}: is there already, expected another name or --force")
    return path


def in_place(path: Path, option: str) -> str:
    """Return the path of a folder for the parameters: relative if the folder is inside the project.

    Raises:
        InputError: the folder does not exist, or its name would be read as a reference to another parameter.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder ({option})")
    inside = os.path.relpath(path.absolute())
    name = path.absolute().as_posix() if Path(inside).parts[:1] == ("..",) else Path(inside).as_posix()
    if "$" in name:
        raise InputError(f"{path}: holds a '$', expected a path without it ({option})")
    return name


def own_folder(given: Path | None, folder: Path, option: str, *, force: bool = False) -> str:
    """Return a folder for the parameters: `given` itself, or `folder` after copying the single file `given` into it.

    Raises:
        InputError: see `in_place`; or `folder` has a different file of the same name, and `force` is false.
    """
    if given is None:
        return folder.as_posix()
    if not given.is_file():
        return in_place(given, option)
    copy = folder / given.name
    if not copy.exists() or digest_file(copy) != digest_file(given):
        if copy.exists() and not force:
            raise InputError(f"{copy}: is there and is another file than {given} ({option}); --force replaces it")
        with atomic_path(copy) as partial:
            shutil.copyfile(given, partial)
    return folder.as_posix()


def check_source(name: str, path: Path | None, option: str) -> None:
    """Check that no stage writes into a source.

    Args:
        name: the name of the data set.
        path: the source that the user gives.
        option: the option with which it is given.

    Raises:
        InputError: the source is, holds or lies in a folder that a stage writes: DVC empties it before the stage runs.
    """
    given = path.resolve() if path else None
    for out in OUTS:
        folder = Path("data", name, out)
        real = folder.resolve()
        if given and (given == real or given in real.parents or real in given.parents):
            raise InputError(
                f"{path}: stages write {folder} and remove what is there; move it, for example to data/{name}/source "
                f"({option})"
            )


def write_videos_csv(folder: Path, films: Mapping[str, ProbedFilm]) -> str:
    """Write `videos.csv` (rates, sizes, first timestamps) if it is absent and a format needs it.

    Returns:
        Lines for the user; empty if there is nothing to say.
    """
    path = folder / "videos.csv"
    good = {video_id: film for video_id, film in films.items() if not film.found and film.fps and film.width}
    try:
        found = recognise(folder) if folder.is_dir() else Found()
    except InputError:
        return ""  # the doctor reports the error
    suggested = _suggested(folder, found, good)
    told = [f"{folder}: {line}" for line in suggested.told]
    if path.exists():
        silent = suggested.needed and _lacks_first_timestamps(folder, suggested)
        return "\n".join([*told, f"{path}: does not say it; add the column first_timestamp"]) if silent else ""
    tools = found.cvat or found.via or found.coco or found.label_studio
    if found.files() and not (tools or found.pickles() or _of_frames(found) or suggested.needed):
        return "\n".join(told)  # the import takes the same values without a file
    write_text(path, _videos_csv_text(good, suggested, custom=found.custom()))
    known = f"frame rate and size of {counted(len(good), 'film')}"
    written = f"{path}: written, with {known}; its column split may be filled in"
    return "\n".join([written, *told])


def _suggested(folder: Path, found: Found, films: Mapping[str, ProbedFilm]) -> Suggested:
    durations = {video_id: film.duration_seconds for video_id, film in films.items()}
    rates = {video_id: film.fps for video_id, film in films.items()}
    try:
        return suggest_first_timestamps(folder, found, durations, rates) if found.files() else Suggested()
    except InputError:
        return Suggested()  # the doctor reports the error


def _lacks_first_timestamps(folder: Path, suggested: Suggested) -> bool:
    """Return whether the user's `videos.csv` lacks the first timestamp of an annotated film."""
    try:
        listed = read_listed(folder)
    except InputError:
        return False  # the doctor reports the error
    return any(listed.get(each, Listed()).first_timestamp is None for each in suggested.first)


def _videos_csv_text(films: Mapping[str, ProbedFilm], suggested: Suggested, *, custom: bool) -> str:
    """Return the text of `videos.csv`; for AVA's own files all films have a first timestamp, or none has."""
    if not suggested.first:
        header, others = "video_id,split,fps,width,height", None
    else:
        header = "video_id,split,first_timestamp,fps,width,height"
        others = "" if custom else f"{Counter(suggested.first.values()).most_common(1)[0][0]:g}"
    lines = [header]
    for video_id in dict.fromkeys([*films, *suggested.first]):
        film = films.get(video_id)
        of_file = f"{film.fps:.5f}".rstrip("0").rstrip(".") + f",{film.width},{film.height}" if film else ",,"
        first = f"{suggested.first[video_id]:g}" if video_id in suggested.first else others
        lines.append(f"{video_id},,{of_file}" if first is None else f"{video_id},,{first},{of_file}")
    return "\n".join([*lines, ""])


def write_frame_times(folder: Path, films: Mapping[str, ProbedFilm]) -> str:
    """Write `frame_times.csv` for films with a varying rate, if it is absent and the annotations count frames.

    A film whose rate in videos.csv is not its mean rate was annotated on another copy, and is left out.

    Returns:
        A line for the user; empty if nothing was written.
    """
    path = folder / FRAME_TIMES
    varying = {video_id: film for video_id, film in films.items() if film.knots and not film.found}
    if path.exists() or not varying:
        return ""
    try:
        found, listed = recognise(folder), read_listed(folder)
    except InputError:
        return ""  # the doctor reports the error
    if found.files() and not (found.cvat or found.via or found.label_studio):
        return ""
    rates = {video_id: listed.get(video_id, Listed()).fps for video_id in varying}
    kept = {
        video_id: film
        for video_id, film in varying.items()
        if (rate := rates[video_id]) is None or abs(rate / film.fps - 1) <= RATE_TOLERANCE
    }
    if not kept:
        return ""
    write_text(path, frame_times_text({each: [(int(n), t) for n, t in film.knots] for each, film in kept.items()}))
    off = max(film.off_seconds for film in kept.values())
    return (
        f"{path}: written, with the times of {counted(len(kept), 'film')} whose frame rate varies (frame n / mean "
        f"rate is off by up to {off:.3g} s)"
    )


def write_box_rates(folder: Path, films: Mapping[str, ProbedFilm]) -> str:
    """Write `videos.csv`, and `frame_times.csv` for films with a varying rate, beside YOLO's text files.

    Returns:
        A line for the user; empty if nothing was written.
    """
    path = folder / "videos.csv"
    if path.exists() or not find_yolo(folder):
        return ""
    good = {video_id: film for video_id, film in films.items() if not film.found and film.fps}
    rows = [f"{video_id},{f'{film.fps:.5f}'.rstrip('0').rstrip('.')}" for video_id, film in good.items()]
    write_text(path, "\n".join(["video_id,fps", *rows, ""]))
    varying = {each: [(int(n), t) for n, t in film.knots] for each, film in good.items() if film.knots}
    if varying and not (folder / FRAME_TIMES).exists():
        write_text(folder / FRAME_TIMES, frame_times_text(varying))
    rates = f"the frame rate of {counted(len(good), 'film')}"
    return f"{path}: written, with {rates}, in which the frames of the boxes are counted"


def _of_frames(found: Found) -> bool:
    """Return whether a CSV counts frames, or might."""
    try:
        return any(counts_frames(path, "auto") for path in found.file_csvs)
    except InputError:
        return True


def read_classes(folder: Path, name: str, *, gap_seconds: float = 3.0) -> Annotated:
    """Read the annotations to learn their formats and classes; an error is returned as `fault`, not raised.

    Args:
        folder: the annotation folder.
        name: the folder's path in the parameters.
        gap_seconds: the gap for a film that is split by time; at least the length of a clip.
    """
    labels: list[Label] = []
    try:
        found = recognise(folder) if folder.is_dir() else Found()
        if not found.files():
            lines = "; ".join(reasons(folder, found.unread))
            return Annotated(name, fault=f"{folder} holds no annotations yet{f': {lines}' if lines else ''}")
        label_map = find_label_map(folder)
        labels = read_shifted_label_map(label_map)[0] if label_map.exists() else []
        classes = max((label.id for label in labels), default=UNBOUNDED)
        imported = import_source(folder, SourceOptions(classes=classes))
    except InputError as error:
        return Annotated(name, classes=max((each.id for each in labels), default=1), labels=labels, fault=str(error))
    count = max(label.id for label in imported.labels)
    if imported.timelines.num_rows == 1:
        options = SourceOptions(classes=classes, split_by="time", split_gap_seconds=gap_seconds)
        by_time = import_source(folder, options)
        if by_time.timelines["split"].to_pylist() == [BOTH]:
            return Annotated(name, count, by_time.labels, by_time.told, gap_seconds=gap_seconds, imported=by_time)
    return Annotated(name, count, imported.labels, imported.told, imported=imported)


def grid_fps(films: Mapping[str, ProbedFilm]) -> int:
    """Return the most common frame rate, rounded, at most GRID_FPS; of equally common rates the highest."""
    rates = Counter(round(film.fps) for film in films.values() if film.fps >= 1)
    return min(GRID_FPS, max(rates, key=lambda rate: (rates[rate], rate), default=GRID_FPS))


def split_gap(clip_frames: int, fps: float) -> float:
    """Return the length of a clip with this many grid frames, rounded up to whole seconds; at least 3."""
    return float(max(3, math.ceil(clip_frames / fps)))


def short_side(films: Mapping[str, ProbedFilm]) -> int:
    """Return the short side of the smallest film, at most SHORT_SIDE."""
    return min([SHORT_SIDE, *(min(film.width, film.height) for film in films.values() if film.width and film.height)])


def config_text(
    name: str,
    *,
    videos: str,
    films: Mapping[str, ProbedFilm],
    annotated: Annotated,
    boxes: str | None,
    fps: float | None,
    asked_side: int,
    more: Mapping[str, Sequence[str]],
) -> str:
    """Return the text of `conf/dataset/NAME.yaml`.

    Args:
        name: the name of the data set.
        videos: path of the videos.
        films: the probed films.
        annotated: what is known about the annotations.
        boxes: path of the boxes; None chooses the detector that needs no download.
        fps: frame rate of the grid; None takes `grid_fps`.
        asked_side: the short side that the default backbone needs.
        more: further lines of the block `dataset` (`rate_lines`), and further `blocks` (`proposed_lines`).
    """
    side = short_side(films)
    names = ", ".join(label.name for label in annotated.labels[:SHOWN_NAMES])
    names += ", ..." if len(annotated.labels) > SHOWN_NAMES else ""
    found = [*annotated.told[:SHOWN_LINES], *([annotated.fault] if annotated.fault else [])]
    if len(annotated.told) > SHOWN_LINES:
        found.append(f"... and {len(annotated.told) - SHOWN_LINES} more lines, which import_annotations prints")
    lines = [
        "# @package _global_",
        f"# Written by `actionbank new-dataset {name}`: comments say what was found (docs/own-data.md). Edit it.",
        "dataset:",
        f"  name: {name}",
        "  generate: []",
        *_film_comments(films),
        "  # They stay where they are, and need not be under DVC.",
        *(ABSOLUTE if any(map(Path.is_absolute, map(Path, (videos, annotated.folder, boxes or NO_BOXES)))) else ()),
        f"  videos: {_scalar(videos)}",
        *more["dataset"],
        *(f"  # {line}" for line in found),
        f"  annotations: {_scalar(annotated.folder)}",
        f"  proposals: {_scalar(boxes or NO_BOXES)}" + ("" if boxes else "  # none: boxes.detector makes them"),
        f"  classes: {annotated.classes}  # {names or _unknown(annotated.folder)}",
        "  # Annotation tools: the attribute that names actions, a list of them, auto, or none (then it is the label).",
        "  action_attribute: auto",
        "  keyframe_seconds: 1  # annotation tools: one keyframe in so many seconds",
        *_split_lines(annotated.gap_seconds),
        "frames:",
        "  # Clips are counted in frames of this rate, whatever a film's own is; the published recipes count on 30.",
        f"  fps: {grid_fps(films) if fps is None else fps:g}",
        *_bad_film_lines(films, annotated),
        "  # No film is scaled up; the published recipes want 256 to 320.",
        f"  short_side: {side}",
    ]
    if side < asked_side:
        lines += [f"  # The default backbone asks for {asked_side}: clips are scaled up.", "  allow_smaller: true"]
    return "\n".join([*lines, *([] if boxes else MOTION), *more["blocks"]]) + "\n"


def _bad_film_lines(films: Mapping[str, ProbedFilm], annotated: Annotated) -> list[str]:
    """Return the limit that lets films pass that cannot be read and that nobody annotated: nothing is lost with them.

    `predict` lists such films, and what is corrected after it holds none of them.
    """
    bad = [name for name, film in films.items() if film.found]
    if not bad or annotated.imported is None or not annotated.imported.keyframes.num_rows:
        return []
    if set(bad) & set(annotated.imported.keyframes["video_id"].to_pylist()):
        return []
    share = math.ceil(100 * len(bad) / len(films)) / 100
    if share <= USUAL_BAD_FRACTION:
        return []
    they = "it has" if len(bad) == 1 else "they have"
    return [
        f"  # {len(bad)} of {counted(len(films), 'film')} cannot be read, and {they} no annotation: left out.",
        f"  max_bad_fraction: {share:g}",
    ]


def _unknown(folder: str) -> str:
    """Return the advice for annotations whose classes have no names."""
    return f"cannot be told yet: set it; annotations that name no classes need {folder}/labelmap.txt (lines `1: walk`)"


def rate_lines(frame_rate: float | None) -> list[str]:
    """Return the line with the rate of folders of pictures, if it was given."""
    return [f"  frame_rate: {frame_rate:.10g}  # pictures a second of the folders of pictures"] if frame_rate else []


def _split_lines(gap_seconds: float) -> list[str]:
    if not gap_seconds:
        return ["  val_fraction: 0.2  # of the films whose split nothing tells"]
    return [
        "  # One film is annotated: its last keyframes are val; those just before them are left out, so that no clip",
        "  # of train shows a frame of val (docs/datasets.md#splits). With more films, split_by: film.",
        "  split_by: time",
        "  val_fraction: 0.2",
        f"  split_gap_seconds: {gap_seconds:g}",
    ]


def _film_comments(films: Mapping[str, ProbedFilm]) -> list[str]:
    good = [film for film in films.values() if not film.found]
    rates = Counter(f"{film.fps:.5g}" for film in good)
    sizes = Counter(f"{film.width}x{film.height}" for film in good)
    bad = f", {len(films) - len(good)} that cannot" if len(good) < len(films) else ""
    pictures = sum(film.container == "pictures" for film in good)
    of_pictures = f", of which {pictures} are folders of pictures" if pictures else ""
    return [
        f"  # {counted(len(good), 'film')} that can be read{of_pictures}{bad}.",
        f"  # Frames per second: {_counted(rates)}. Pixels: {_counted(sizes)}.",
    ]


def _counted(values: Counter[str]) -> str:
    """Format counts as `25 (3 films), 30 (1 film)`, with the four most common values."""
    shown = [f"{value} ({count} film{'s' if count > 1 else ''})" for value, count in values.most_common(4)]
    return ", ".join(shown) + (", ..." if len(values) > 4 else "")


def _scalar(text: str) -> str:
    """Return a text as a YAML scalar."""
    return str(yaml.safe_dump(text, width=10**6, allow_unicode=True)).splitlines()[0]

"""Find COCO-like images that are pictures of a film's folder: their names are frame numbers, not seconds."""

from pathlib import Path

from pipeline.annotations.assemble import AvaImport
from pipeline.annotations.coco import FORMAT, keyframe_of
from pipeline.annotations.formats import recognise
from pipeline.base.errors import InputError
from pipeline.base.problems import Problem
from pipeline.doctor.finding import Finding, findings_of
from pipeline.doctor.videos import Files
from pipeline.tables.film_ids import composed
from pipeline.video.pictures import list_pictures
from pipeline.video.probe import DecodeError


def check_picture_numbers(folder: Path, imported: AvaImport, files: Files) -> list[Finding]:
    """Find images whose second in the annotations differs from the time of the picture with that name.

    Args:
        folder: the annotation folder.
        imported: the imported annotations.
        files: the video files.
    """
    if not files.rates or FORMAT not in imported.summary.get("formats", ()):
        return []
    shifts = {row["video_id"]: row["offset_seconds"] - row["first_timestamp"] for row in imported.timelines.to_pylist()}
    try:
        coco = recognise(folder).coco
    except InputError:
        return []  # import_annotations reports the error
    shown = {video_id: _times(files, video_id) for video_id in files.rates if video_id in shifts}
    problems = []
    for path, content in coco:
        for image in content["images"]:
            if not isinstance(image, dict) or image.get("timestamp") is not None:
                continue
            named = keyframe_of(image.get("file_name"))
            film = composed(named[0]) if named else ""
            name = str(image.get("file_name")).replace("\\", "/").rpartition("/")[2]
            if named is None or name not in shown.get(film, {}):
                continue
            time, wanted, rate = named[1] + shifts[film], shown[film][name], files.rates[film]
            if abs(time - wanted) > 0.5 / rate:
                expected = f"{wanted:.6g} s, where a folder of {rate:g} pictures a second has it"
                problems.append(Problem(path.name, f"{film}/{name}", f"its number as a second, {time:.6g} s", expected))
    return findings_of(
        "picture-numbers", "error", "images are pictures of a film's folder, and their numbers are read as seconds",
        problems,
        "Give each image its film and second, `movie` and `timestamp`: (number - 1) / rate where pictures count from "
        "1, number / rate where they count from 0. As it stands every label is on another frame.",
    )  # fmt: skip


def _times(files: Files, video_id: str) -> dict[str, float]:
    """Return the second of each picture by its name."""
    try:
        pictures = list_pictures(files.paths[video_id])
    except (DecodeError, InputError):
        return {}  # `look_at_pictures` reports the error
    rate = files.rates[video_id]
    return {name: (number - pictures.first) / rate for number, name in pictures.names.items()}

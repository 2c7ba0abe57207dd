"""Check the lists that MMAction2 makes of Something-Something's annotation files, against what we import of both."""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.annotations.clip_files import read_clip_files
from pipeline.annotations.clip_rows import ClassIds, ClipRow, clip_id
from pipeline.base.errors import InputError
from pipeline.interop.alphaction_memory import exact
from pipeline.interop.compare_fixture import Difference, ParityReport
from pipeline.interop.reading import reading

Facts = Mapping[str, Any]
_SPLITS = {"train": "train", "val": "validation"}
_NOTES = ("notes",)


def is_file_lists(facts: Facts) -> bool:
    """Return whether a fixture's JSON is of this kind."""
    return any(isinstance(each, dict) and {"video_files", "videos_train"} <= each.keys() for each in facts.values())


def check_file_lists(path: Path, facts: Facts) -> ParityReport:
    """Read the annotation files and the lists that a fixture states, and compare every line.

    Args:
        path: the fixture's JSON.
        facts: what it holds.

    Raises:
        InputError: the fixture is not whole, or states something that is not known here.
    """
    with reading(path):
        found = [each for name, given in facts.items() if name != "upstream" for each in _compared(name, given)]
    return ParityReport(path.stem, str(facts.get("upstream", "MMAction2")), None, None, found, "0")


def _compared(version: str, given: Facts) -> list[Difference]:
    """Make the lists from the annotations, and read the clips back from the lists."""
    with TemporaryDirectory() as name:
        classes, rows = _annotations(Path(name), given)
    found = []
    for key, lines in given.items():
        kind, _, split = key.rpartition("_")
        if kind not in ("rawframes", "videos") or split not in _SPLITS:
            if key not in (*_FILES, "frame_folders", "video_files", *_NOTES):
                raise InputError(f"{version}.{key} is not known here")
            continue
        own = [row for row in rows if row.split == split]
        made = _raw_lines(version, own, given["frame_folders"]) if kind == "rawframes" else _videos(own, given)
        found.append(exact(f"{version}/{key}", made, lines))
        with TemporaryDirectory() as name:
            read, bad = _listed(Path(name), key, lines, classes)
        stated = {row.video_id: row.label for row in own}
        whole = [line for line in lines if not _is_broken(version, line)]
        expected = [(clip := clip_id(line.split()[0]), stated[clip]) for line in whole]
        found.append(exact(f"{version}/{key}/read", read, [list(each) for each in expected]))
        found.append(exact(f"{version}/{key}/bad", bad, len(lines) - len(whole)))
    return found


_FILES = {
    "labels_csv_lines": "labels.csv",
    "train_csv_lines": "train.csv",
    "validation_csv_lines": "validation.csv",
    "test_csv_lines": "test.csv",
    "labels_json": "labels.json",
    "train": "train.json",
    "validation": "validation.json",
    "test": "test.json",
}
"The annotation files, by their name in a fixture."


def _annotations(folder: Path, given: Facts) -> tuple[ClassIds, list[ClipRow]]:
    for key, name in _FILES.items():
        if key in given:
            text = "\n".join(given[key]) if name.endswith(".csv") else json.dumps(given[key])
            (folder / name).write_text(text, "utf-8")
    classes, read = read_clip_files(folder)
    if read.problems:
        raise InputError(f"a row of the annotations is bad: {read.problems[0]}")
    order = {str(key): number for number, key in enumerate(_FILES.values())}
    return classes, sorted(read.rows, key=lambda row: order[row.file])


def _raw_lines(version: str, rows: list[ClipRow], folders: Mapping[str, int]) -> list[str]:
    """Return the lines of folders of frames as upstream writes them; a clip without a folder is left out."""
    lines = []
    for row in rows:
        frames = folders.get(row.video_id)
        if frames is not None:
            whole = f"{row.video_id} {frames} {row.label}"
            lines.append(whole if frames else f"{_raw_folder(version)}{row.video_id} {row.label}")
    return lines


def _raw_folder(version: str) -> str:
    return f"data/{version}/rawframes/"


def _is_broken(version: str, line: str) -> bool:
    """Return whether a line is that of an empty folder: upstream writes the whole path, and no number of frames."""
    return line.startswith(_raw_folder(version)) and len(line.split()) == 2


def _videos(rows: list[ClipRow], given: Facts) -> list[str]:
    files = {clip_id(name): name for name in given["video_files"]}
    return [f"{files[row.video_id]} {row.label}" for row in rows if row.video_id in files]


def _listed(folder: Path, key: str, lines: list[str], classes: ClassIds) -> tuple[list[list[Any]], int]:
    """Read a list as a user has it; return the ids and labels of its clips, and how many lines are bad."""
    names = {name: number for number, name in enumerate(classes.names) if name}
    (folder / "labels.json").write_text(json.dumps(names), "utf-8")
    (folder / f"{key}.txt").write_text("\n".join(lines), "utf-8")
    _, read = read_clip_files(folder)
    return [[row.video_id, row.label] for row in read.rows], len(read.problems)

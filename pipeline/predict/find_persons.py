"""Where the boxes of persons and objects come from: a table that was imported, or a detector that sees the frames."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from pipeline.base.errors import InputError
from pipeline.base.files import link_file
from pipeline.base.problems import Problem
from pipeline.boxes.box_rows import NOT_ANNOTATED
from pipeline.boxes.detecting import SearchedFilm, write_detected, write_film
from pipeline.boxes.detectors import NO_WEIGHTS, ChosenDetector, choose_detector
from pipeline.boxes.film_frames import Detector
from pipeline.boxes.folders import OBJECTS
from pipeline.boxes.importing import import_boxes
from pipeline.predict.scored_times import Floats
from pipeline.tables.schemas import BOXES
from pipeline.tables.timelines import Timeline, timelines_table
from pipeline.video.store import FrameStore

NO_TABLE = BOXES.empty_table()


@dataclass(frozen=True)
class TableOfBoxes:
    """Boxes that are known before a film is read."""

    table: pa.Table
    "BOXES of persons and objects."
    where: str

    def times(self, video_id: str) -> Floats:
        """Return the times of a film at which there is a person's box."""
        of_film = self._of(video_id)
        stamps: Floats = of_film.filter(pc.is_null(of_film["label"]))["timestamp"].to_numpy()
        return np.unique(stamps)

    def boxes(self, video_id: str, stamps: Floats) -> pa.Table:
        """Return the BOXES of a film at some times."""
        of_film = self._of(video_id)
        return of_film.filter(pc.is_in(of_film["timestamp"], pa.array(stamps, pa.float64())))

    def of_film(self, video_id: str) -> "TableOfBoxes":
        """Return the boxes of one film."""
        return TableOfBoxes(self._of(video_id), self.where)

    def one_by_one(self) -> "TableOfBoxes":
        """Return itself: nothing is computed."""
        return self

    def _of(self, video_id: str) -> pa.Table:
        return self.table.filter(pc.equal(self.table["video_id"], video_id))


@dataclass(frozen=True)
class FrameDetector:
    """A detector that looks at the stored frames, as `detect_boxes` runs it."""

    chosen: ChosenDetector
    name: str
    min_score: float
    batch: int
    loaded: list[object]
    "The detector, once it was needed."
    is_one_by_one: bool = False
    "Whether each frame is forwarded alone."

    def one_by_one(self) -> "FrameDetector":
        """Return the detector as a camera runs it; `motion` has no batches, and needs all frames of a film."""
        return replace(self, is_one_by_one=self.name != "motion")

    def boxes(self, film: SearchedFilm, store: FrameStore, timeline: Timeline) -> pa.Table:
        """Return the BOXES of a film at its times, of persons and where the detector finds them of objects."""
        detector = self._detector()
        with TemporaryDirectory() as scratch:
            item, folder = Path(scratch, "item"), Path(scratch, "boxes")
            item.mkdir()
            folder.mkdir()
            write_film(item, film, store, detector, batch=self.batch, names=self.chosen.names)
            write_detected(folder, [film], {film.video_id: item}, detector=self.name)
            if b",," not in (folder / "boxes.csv").read_bytes():
                return NO_TABLE
            return import_boxes(
                folder,
                timelines_table({film.video_id: timeline}),
                min_score=self.min_score,
                detector=self.name,
                objects=folder / OBJECTS if (folder / OBJECTS).is_dir() else None,
            ).boxes

    def _detector(self) -> Detector:
        if not self.loaded:
            threads = torch.get_num_threads()
            self.loaded.append(self.chosen.load())
            torch.set_num_threads(threads)  # else the first film would have other threads than those after it
        detector = cast(Detector, self.loaded[0])
        if not self.is_one_by_one:
            return detector
        return lambda frames: [boxes for frame in frames for boxes in detector([frame])]


def choose_persons(name: str, *, min_score: float, device: str, batch: int) -> FrameDetector:
    """Return the detector of a name: `fasterrcnn`, `motion`, or the path of weights for `fasterrcnn`.

    Raises:
        InputError: there is no such detector, or its weights are not there and cannot be fetched.
    """
    weights = NO_WEIGHTS
    if name not in ("fasterrcnn", "motion"):
        if Path(name).suffix not in (".safetensors", ".pth"):
            raise InputError(
                f"--detector {name}: expected fasterrcnn, motion or a file of weights (.safetensors, .pth)"
            )
        name, weights = "fasterrcnn", name
    try:
        chosen = choose_detector(name, weights=weights, min_score=min_score, device=device)
    except InputError as error:
        raise InputError(
            str(error)
            .replace("boxes.detector fasterrcnn", "--detector fasterrcnn")
            .replace(
                "put that file here and set boxes.weights to its path",
                "fetch that file and give its path as --detector",
            )
            .replace("or take boxes.detector motion", "give boxes of your own as --boxes, or take --detector motion")
            .replace("boxes.weights: ", "--detector ")
        ) from None
    return FrameDetector(chosen, name, min_score, batch, [])


def read_boxes(
    boxes: Path, objects: Path | None, timelines: Mapping[str, Timeline], *, min_score: float
) -> tuple[TableOfBoxes, list[Problem]]:
    """Read files of boxes, in every form that `import_boxes` reads.

    Args:
        boxes: a file, or a folder of files.
        objects: the same for objects; None for none.
        timelines: of the films; boxes of other films are left out without a word.
        min_score: boxes with a lower score are left out.

    Raises:
        InputError: a file is absent or of no known form, or no box is of these films.
    """
    with TemporaryDirectory() as scratch:
        places = {
            kind: _folder(path, Path(scratch, kind)) for kind, path in (("boxes", boxes), ("objects", objects)) if path
        }
        try:
            found = import_boxes(
                places["boxes"],
                timelines_table(dict(timelines)),
                min_score=min_score,
                objects=places.get("objects"),
            )
        except InputError as error:
            text = str(error).replace("a video that the annotations name", "a film that is given")
            text = text.replace(NOT_ANNOTATED, "another film")
            text = text.replace("a video of train.csv, val.csv, test.csv or videos.csv", _one_of(timelines))
            for kind, path in (("boxes", boxes), ("objects", objects)):
                if path is not None:  # the name of a scratch folder says nothing to a user
                    text = text.replace(str(Path(scratch, kind, path.name)), str(path))
                    text = text.replace(str(Path(scratch, kind)), str(path))
            raise InputError(text) from None
    problems = [each for each in found.problems if each.kind != "unknown-film"]
    return TableOfBoxes(found.boxes, str(boxes)), problems


def _one_of(timelines: Mapping[str, Timeline]) -> str:
    names = [repr(name) for name in sorted(timelines)[:3]]
    return f"{', '.join(names)}{' ...' if len(timelines) > 3 else ''}"


def _folder(path: Path, scratch: Path) -> Path:
    """Return a folder that holds a file alone; a folder is returned as it is."""
    if path.is_dir():
        return path
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder of boxes")
    scratch.mkdir()
    link_file(path.resolve(), scratch / path.name)
    return scratch


Persons = TableOfBoxes | FrameDetector

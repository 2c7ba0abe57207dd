"""What a camera showed, in a folder: lines of JSON as they come, and tables of some minutes at a time.

seconds.jsonl   a line for every scored time
parts/00000/    the first minutes as `predict` writes a film (`Predicted`); whole as soon as it is there
"""

from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from pipeline.base.errors import InputError
from pipeline.base.files import check_own, remove_folder, replace_folder
from pipeline.predict.live_scorer import LiveStep
from pipeline.predict.load_model import Model
from pipeline.predict.predicted import OUT, Predicted
from pipeline.predict.typed_results import json_line
from pipeline.tables.schemas import BOXES, DETECTIONS, VIDEOS
from pipeline.video.store import Row

LINES = "seconds.jsonl"
FILES = (LINES, *(f"parts/*/{name}" for name in OUT))
PART_SECONDS = 600.0


def check_live_out(folder: Path, *, force: bool) -> None:
    """Check that a folder may be written.

    Raises:
        InputError: it is there and `force` is not set, or it holds what this command does not write.
    """
    if folder.exists() and not force:
        raise InputError(f"{folder}: is there already; --force replaces it, --out names another")
    check_own(folder, FILES)


class LiveFolder:
    """Writes a folder while a camera runs; memory does not grow. Leaving the context makes all files whole;
    if no time was scored it removes the folder.

    Args:
        folder: where; it is made.
        model: says what `model.json` holds.
        video_id: the camera, as a film.
        name: the camera, as it was named.
        told: further entries of `model.json`.
        force: replace what this command wrote before.
        part_seconds: length of a part.

    Raises:
        InputError: see `check_live_out`.
    """

    def __init__(
        self,
        folder: Path,
        model: Model,
        video_id: str,
        name: str,
        *,
        told: dict[str, Any],
        force: bool = False,
        part_seconds: float = PART_SECONDS,
    ) -> None:
        check_live_out(folder, force=force)
        remove_folder(folder)
        folder.mkdir(parents=True)
        self._folder, self._model, self._told = folder, model, told
        self._film = {"video_id": video_id, "path": name, "sha256": "", "fps": model.settings.fps}
        self._part_seconds = part_seconds
        self._lines = (folder / LINES).open("w", encoding="utf-8")
        self._steps: list[LiveStep] = []
        self._parts = 0
        self._frames, self._grid, self._size = 0, 0, (0, 0)

    def __enter__(self) -> "LiveFolder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        if not self._steps and not self._parts:
            remove_folder(self._folder)  # without a scored time it would look like a result and be none
            return
        self._write_part()

    def add(self, step: LiveStep) -> None:
        """Write a scored time."""
        if self._steps and step.second.time_seconds >= self._part_seconds * (self._parts + 1):
            self._write_part()
        self._lines.write(json_line(step.second))
        self._lines.flush()
        self._steps.append(step)

    def see(self, row: Row, size: tuple[int, int]) -> None:
        """Count a stored frame of some (height, width)."""
        self._frames, self._grid, self._size = self._frames + 1, row.first_grid + 1, size

    def _write_part(self) -> None:
        if not self._steps:
            return
        steps, self._steps = self._steps, []
        height, width = self._size
        film = {
            **self._film, "duration_seconds": self._grid / self._model.settings.fps, "frames": self._frames,
            "grid_frames": self._grid, "width": width, "height": height,
        }  # fmt: skip
        predicted = Predicted(
            detections=pa.concat_tables([DETECTIONS.empty_table(), *(each.detections for each in steps)]),
            persons=pa.concat_tables([BOXES.empty_table(), *(each.persons for each in steps)]),
            videos=pa.Table.from_pylist([film], VIDEOS),
            labels=self._model.labels,
            model={**self._model.facts(), **self._told},
        )
        with replace_folder(self._folder / "parts" / f"{self._parts:05d}") as part:
            predicted.write(part)
        self._parts += 1

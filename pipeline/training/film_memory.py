"""The memory of validation: the rows of the film that is scored, computed by the model as it is now."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pipeline.bank.feature_rows import FeatureRows, IntArray
from pipeline.bank.settings import BankSettings
from pipeline.bank.windows.seconds import SecondIndex, index_seconds, video_key
from pipeline.bank.windows.slots import Windows, window_buffer
from pipeline.base.hardware import Hardware
from pipeline.features.film_parts import FilmModel, PartSettings, film_rows
from pipeline.features.requests import FilmBoxes
from pipeline.models.detector import Detector
from pipeline.video.clip_input import ClipInput
from pipeline.video.store import FrameStore

NO_ROWS = SecondIndex(*(np.empty(0, np.int64) for _ in range(3)))


class FilmMemory(Windows):
    """Windows of one film at a time: the first one asked for runs the film through the model, so that it is seen twice.

    The rows are those that `infer_memory` would write, in the bank's type.
    """

    def __init__(
        self,
        films: Sequence[FilmBoxes],
        rows_of: Callable[[FilmBoxes], FeatureRows],
        *,
        min_score: float,
        channels: int,
        dtype: torch.dtype,
    ) -> None:
        """Make a memory that holds no film yet.

        Args:
            films: a film that is not among them has no rows.
            rows_of: computes the rows of a film's detected boxes.
            min_score: rows with a lower score are not read.
            channels: of a row.
            dtype: of the windows.
        """
        self._films = {film.video_id: film for film in films}
        self._rows_of = rows_of
        self.min_score = min_score
        self.like = torch.empty(0, channels, dtype=dtype)
        self.forget()

    def forget(self) -> None:
        """Drop the film: the model has changed."""
        self._held: str | None = None
        self._index, self._rows = NO_ROWS, self.like

    def find(self, video_ids: Sequence[str], first: IntArray, seconds: int) -> tuple[IntArray, IntArray]:
        """See `Windows.find`; all videos are the same.

        Raises:
            ValueError: they are not.
        """
        if len(set(video_ids)) != 1:
            raise ValueError(f"the keyframes are of {len(set(video_ids))} films, expected one")
        if self._held != video_ids[0]:
            self._hold(video_ids[0])
        return self._index.find(video_key(0, first), seconds)

    def _hold(self, video_id: str) -> None:
        self.forget()
        film = self._films.get(video_id)
        if film is not None and len(film.detected_timestamp):
            rows = self._rows_of(film)
            assert rows.score is not None  # they are of detected boxes
            order = rows.order()  # as a bank's
            kept = order[rows.score[order].astype(np.float32) >= np.float32(self.min_score)]
            by_second, index = index_seconds(rows.timestamp[kept], rows.score[kept])
            features = torch.from_numpy(rows.features[kept[by_second]]).to(self.like.dtype)
            self._rows = torch.cat([self.like.new_zeros(1, self.like.shape[1]), features])
            self._index = SecondIndex(video_key(0, index.keys), index.starts + 1, index.counts)
        self._held = video_id

    def gather(self, slots: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `Windows.gather`."""
        window = window_buffer(out, slots, self.like)
        torch.index_select(self._rows, 0, slots.view(-1), out=window.view(-1, self.like.shape[1]))
        return window, slots != 0


def film_memory(
    detector: Detector,
    films: Sequence[FilmBoxes],
    store: FrameStore,
    settings: BankSettings,
    *,
    clip: ClipInput,
    min_score: float,
    hardware: Hardware,
) -> FilmMemory:
    """Make the memory of a detector's validation.

    Args:
        detector: in evaluation mode whenever a window is asked for.
        films: those of the val split.
        store: their frames.
        settings: of the bank that `infer_memory` would write.
        clip: the clip that the backbone expects.
        min_score: rows with a lower score are not read.
        hardware: see `Hardware`.
    """
    parts = PartSettings(settings.dtype, settings.codec, settings.compute_dtype, {})
    model = FilmModel(detector, clip, store, parts, hardware.device, hardware.batch)

    def rows_of(film: FilmBoxes) -> FeatureRows:
        return film_rows(model, replace(film, annotated_timestamp=None, annotated_xyxy=None, objects=None)).detections

    dtype = torch.float16 if settings.dtype == "fp16" else torch.float32
    return FilmMemory(films, rows_of, min_score=min_score, channels=detector.roi_channels, dtype=dtype)

"""Rows of a bank in memory: each row is one person's or object's feature, time and box."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """Features of `n` boxes of one part.

    A source without boxes has NaN in `boxes_xyxy`.

    Raises:
        ValueError: the arrays' shapes do not fit each other.
    """

    features: FloatArray  # [n, C]
    timestamp: npt.NDArray[np.float64]  # [n], the data set's label of the second
    boxes_xyxy: npt.NDArray[np.float64]  # [n, 4], normalised to [0, 1]
    score: FloatArray | None = None  # [n], of the box; annotated boxes have none
    track_id: IntArray | None = None  # [n]

    def __post_init__(self) -> None:
        n = len(self.timestamp)
        expected = {"timestamp": (n,), "boxes_xyxy": (n, 4), "score": (n,), "track_id": (n,)}
        for name, shape in expected.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
        if self.features.ndim != 2 or len(self.features) != n or self.features.shape[1] == 0:
            raise ValueError(f"features have shape {self.features.shape}, expected ({n}, channels)")

    def __len__(self) -> int:
        return len(self.timestamp)

    def __repr__(self) -> str:
        shown = (f"{name}={each.dtype}{list(each.shape)}" for name, each in self.arrays().items())
        return f"FeatureRows({', '.join(shown)})"

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays that are not None, by name."""
        return {name: array for name, array in vars(self).items() if array is not None}

    def take(self, index: npt.NDArray[Any]) -> "FeatureRows":
        """Return the rows that `index` (positions or a mask) selects, in its order."""
        return FeatureRows(**{name: array[index] for name, array in self.arrays().items()})

    def order(self) -> IntArray:
        """Return positions that sort the rows by (timestamp, score descending, box); equal rows keep their order."""
        score = np.zeros(len(self)) if self.score is None else -self.score
        x1, y1, x2, y2 = self.boxes_xyxy.T
        return np.lexsort((y2, x2, y1, x1, score, self.timestamp))


@dataclass(frozen=True, eq=False)
class VideoRows:
    """The row sets of one video, each in any order."""

    detections: FeatureRows
    "Rows of detected persons, the only ones that a window reads."
    ground_truth: FeatureRows | None = None
    "Rows of the split's distinct annotated boxes; None in a split without annotations."
    objects: FeatureRows | None = None
    "Rows of detected objects; None if none were looked for."

    def by_name(self) -> dict[str, FeatureRows]:
        """Return the row sets that are there, by name."""
        return {name: rows for name, rows in vars(self).items() if rows is not None}


def non_finite_rows(values: npt.NDArray[Any]) -> IntArray:
    """Return the positions of the rows that hold NaN or infinity."""
    return np.flatnonzero(~np.isfinite(values).all(axis=tuple(range(1, values.ndim))))

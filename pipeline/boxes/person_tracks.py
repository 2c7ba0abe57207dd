"""Give persons ids over time by linking overlapping boxes of consecutive times in a film."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.optimize import linear_sum_assignment

from pipeline.tables.csv_rows import Floats, Ints
from pipeline.tables.iou import box_iou
from pipeline.tables.ordering import ranked
from pipeline.tables.schemas import BOX_COLUMNS, BOXES

LEAST_IOU = 0.3
SURE_SCORE = 0.5
"A box with a lower score may continue a track but does not start one."
PATIENCE_SECONDS = 2.5
"A track ends if its person is not seen for longer than this; at 1 Hz one second may be missing."


def with_tracks(table: pa.Table) -> pa.Table:
    """Return BOXES with the track ids of persons; objects have none."""
    persons = pc.is_null(table["label"]).to_numpy()
    video = ranked(table["video_id"])[1][persons]
    boxes = np.stack([table[name].to_numpy() for name in BOX_COLUMNS], axis=1)[persons]
    found = np.full(len(table), -1)
    found[persons] = track_ids(
        video, table["time_seconds"].to_numpy()[persons], boxes, table["score"].to_numpy()[persons]
    )
    column = pa.array(found, pa.int64(), mask=found < 0)
    return table.set_column(table.schema.get_field_index("track_id"), BOXES.field("track_id"), column)


def track_ids(video: Ints, time_seconds: Floats, boxes_xyxy: Floats, score: Floats) -> Ints:
    """Return the track id of each box within its film, from 0 in the order of appearance; -1 for a box in no track.

    At every time, the boxes with a score of at least `SURE_SCORE` are assigned to the open tracks so that the sum of
    their IoUs is largest (Hungarian algorithm). Then the other boxes are assigned to the remaining tracks in the same
    way. Pairs with an IoU below `LEAST_IOU` are not linked. There is no motion model: one box per second is not enough
    to fit one.

    Args:
        video: [n] number of the film; the rows of a film are contiguous.
        time_seconds: [n], ascending within a film.
        boxes_xyxy: [n, 4].
        score: [n].
    """
    found = np.full(len(video), -1, np.int64)
    starts = np.flatnonzero(np.r_[True, (video[1:] != video[:-1]) | (time_seconds[1:] != time_seconds[:-1])])
    groups = np.split(np.arange(len(video)), starts[1:]) if len(video) else []
    film, tracker = -1, Tracker()
    for rows in groups:
        first = rows[0]
        if video[first] != film:
            film, tracker = int(video[first]), Tracker()
        found[rows] = tracker.step(float(time_seconds[first]), boxes_xyxy[rows], score[rows])
    return found


class Tracker:
    """Follows the persons of one film, time by time; see `track_ids`."""

    def __init__(self) -> None:
        self._count = 0
        self._last: dict[int, tuple[float, Floats]] = {}  # time and box of each open track, by its id

    def step(self, now: float, boxes_xyxy: Floats, score: Floats) -> Ints:
        """Return the track id of each box [n, 4] at a time later than those before; -1 for a box in no track."""
        found = np.full(len(boxes_xyxy), -1, np.int64)
        self._last = {track: last for track, last in self._last.items() if now - last[0] <= PATIENCE_SECONDS}
        sure = score >= SURE_SCORE
        rows = np.arange(len(boxes_xyxy))
        for part in (rows[sure], rows[~sure]):
            free = [track for track, (seen, _) in self._last.items() if seen < now]
            before = np.array([self._last[track][1] for track in free]).reshape(-1, 4)
            overlaps = box_iou(before, boxes_xyxy[part])
            for left, right in zip(*linear_sum_assignment(overlaps, maximize=True), strict=True):
                if overlaps[left, right] >= LEAST_IOU:
                    found[part[right]] = free[left]
                    self._last[free[left]] = (now, boxes_xyxy[part[right]])
        for row in rows[sure & (found < 0)].tolist():
            found[row] = self._count
            self._last[self._count] = (now, boxes_xyxy[row])
            self._count += 1
        return found

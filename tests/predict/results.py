"""Made-up results of `predict`, for tests of what is made from them."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from pipeline.base.files import digest_file
from pipeline.predict.predicted import Predicted
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import BOXES, DETECTIONS, VIDEOS
from pipeline.video.probe import probe_video

LABELS = [Label(1, "stand", "pose"), Label(2, "wave", "pose")]
Row = tuple[float, int | None, tuple[float, float, float, float], dict[int, float]]
"Seconds, track, box, scores by action."


def film_result(path: Path, rows: Sequence[Row], *, video_id: str = "a") -> Predicted:
    """What `predict` would give for a film."""
    media = probe_video(path)
    film = {
        "video_id": video_id, "path": str(path), "sha256": digest_file(path), "fps": 1 / media.frame_seconds,
        "duration_seconds": media.end_seconds(media.seconds[-1]), "frames": media.expected_frames, "grid_frames": 1,
        "width": media.width, "height": media.height,
    }  # fmt: skip
    detections, persons = tables(video_id, rows)
    return Predicted(
        detections, persons, pa.Table.from_pylist([film], VIDEOS), LABELS, {"thresholds": {"1": 0.5, "2": 0.25}}
    )


def tables(video_id: str, rows: Sequence[Row]) -> tuple[pa.Table, pa.Table]:
    """DETECTIONS and BOXES of a film."""
    detections = [
        {**_key(video_id, seconds, box), "action_id": action, "score": score}
        for seconds, _, box, scores in rows
        for action, score in scores.items()
    ]
    persons = [
        {**_key(video_id, seconds, box), "score": 0.9, "source": "made", "label": None, "track_id": track}
        for seconds, track, box, _ in rows
    ]
    return pa.Table.from_pylist(detections, DETECTIONS), pa.Table.from_pylist(persons, BOXES)


def _key(video_id: str, seconds: float, box: tuple[float, ...]) -> dict[str, object]:
    sides = dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))
    return {"video_id": video_id, "timestamp": seconds, "time_seconds": seconds, **sides}

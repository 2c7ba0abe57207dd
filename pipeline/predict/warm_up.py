"""Run a model once before a camera is opened, so that its first clips do not wait while libraries get ready."""

import numpy as np
import pyarrow as pa

from pipeline.boxes.detecting import SearchedFilm
from pipeline.predict.find_persons import FrameDetector, TableOfBoxes
from pipeline.predict.live_scorer import LiveScorer
from pipeline.predict.load_model import Model
from pipeline.predict.predict_film import PLAIN
from pipeline.predict.recent_frames import Due, Recent
from pipeline.tables.schemas import BOX_COLUMNS, BOXES
from pipeline.video.extract import encode_rgb
from pipeline.video.store import Row

USUAL_SIDE = 480
"Where frames are stored at the camera's own size, which is not known yet."
NOBODY = "warm_up"


def warm_up(model: Model, detector: FrameDetector) -> None:
    """Load a detector, and forward one grey picture, 16:9 as of most cameras, through it and through all of a model.

    Libraries prepare code for a shape when they first see it, and GPUs their memory. Nothing of it is kept.
    """
    side = model.settings.short_side or USUAL_SIDE
    grey = np.full((side, side * 16 // 9, 3), 127, np.uint8)
    frames = Recent(NOBODY, model.settings.fps, [Row(encode_rgb(grey, model.settings.frames.quality), 0.0, 0)], None)
    detector.boxes(SearchedFilm(NOBODY, 0.0, np.zeros(1)), frames, PLAIN)
    scorer = LiveScorer(model, TableOfBoxes(_one_person(), NOBODY), NOBODY)
    scorer.step(Due(0.0, True, frames, 0.0))


def _one_person() -> pa.Table:
    box = dict(zip(BOX_COLUMNS, (0.25, 0.25, 0.75, 0.75), strict=True))
    row = {"video_id": NOBODY, "timestamp": 0.0, "time_seconds": 0.0, **box, "score": 1.0, "source": NOBODY}
    return pa.Table.from_pylist([{**row, "label": None, "track_id": None}], BOXES)

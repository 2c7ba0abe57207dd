from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.base.errors import DamagedError, InputError
from pipeline.predict.predicted import OUT, Predicted, read_predicted
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import BOXES, DETECTIONS, VIDEOS

KEY = {"video_id": ["a"], "timestamp": [1.0], "time_seconds": [1.5], "x1": [0.1], "y1": [0.2], "x2": [0.3], "y2": [0.4]}
FILM = {
    "video_id": ["a"], "path": ["films/a.mp4"], "sha256": ["0" * 64], "fps": [25.0], "duration_seconds": [4.0],
    "frames": [100], "grid_frames": [60], "width": [64], "height": [48],
}  # fmt: skip


def predicted() -> Predicted:
    return Predicted(
        detections=pa.table({**KEY, "action_id": [2], "score": [0.7]}, DETECTIONS),
        persons=pa.table({**KEY, "score": [0.9], "source": ["motion"], "label": [None], "track_id": [3]}, BOXES),
        videos=pa.table(FILM, VIDEOS),
        labels=[Label(1, "stand", "pose"), Label(2, "wave", "pose")],
        model={"head": "lfb_nl", "thresholds": {"1": 0.5, "2": 0.25}},
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    predicted().write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(OUT)
    read = read_predicted(tmp_path)
    assert read == predicted()


def test_a_damaged_or_absent_file_is_named(tmp_path: Path) -> None:
    predicted().write(tmp_path)
    model = tmp_path / "model.json"
    text = model.read_text()
    model.chmod(0o644)
    model.write_text(text.replace("0.25", "0.75"))
    with pytest.raises(DamagedError, match=r"model\.json"):
        read_predicted(tmp_path)
    (tmp_path / "persons.parquet").unlink()
    with pytest.raises(InputError, match=r"persons\.parquet: no such table$"):
        read_predicted(tmp_path)


def test_another_folder_is_named(tmp_path: Path) -> None:
    message = "is not a folder that `actionbank predict --out` wrote: it has no detections.parquet"
    with pytest.raises(InputError, match=f"{tmp_path}: {message}$"):
        read_predicted(tmp_path)

"""`--batch` is in no key: features and scores have the same bytes with any batch size."""

from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch

from pipeline.base.files import digest_file, digest_tree
from pipeline.base.hardware import Hardware
from pipeline.base.randomness import rng_of
from pipeline.features.film_parts import PartSettings, make_parts
from pipeline.features.requests import FilmBoxes
from pipeline.scoring.score_films import score_films
from pipeline.scoring.settings import ScoreSettings
from pipeline.tables.keyframes import Keyframe, KeyframeBoxes
from pipeline.video.manifest import write_manifest
from pipeline.video.store import FrameStore, Row, write_frames
from tests.rank_jobs import CLIP, CPU, detector, make_films

SECONDS = 19
BATCHES = (1, 2, 8, 64)
BOXES = np.array([[0.1, 0.1, 0.6, 0.9], [0.4, 0.2, 0.9, 0.8]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of more seconds than a forward pass takes, and a detector."""
    folder = tmp_path_factory.mktemp("batch")
    make_films(folder)
    frames = rng_of("film", "long").integers(0, 256, (10 * SECONDS + 10, 32, 40, 3), np.uint8)
    origin = {"source_sha256": "long", "grid_frames": len(frames), "stored_height": 32, "stored_width": 40}
    path = folder / "frames" / "long.arrow"
    rows = [Row(simplejpeg.encode_jpeg(frame, 90), at / 10, at) for at, frame in enumerate(frames)]
    count = write_frames(path, rows, lambda: origin)
    videos = {"long": {**origin, "rows": count, "sha256": digest_file(path)}}
    write_manifest(folder / "frames", videos, fps=10.0, short_side=None, quality=90)
    return folder


def test_a_bank(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = np.repeat(np.arange(SECONDS, dtype=np.float64), 2)
    film = FilmBoxes(
        "long", 0.0, SECONDS + 1.0, np.arange(SECONDS, dtype=np.float64), detected_timestamp=at,
        detected_xyxy=np.tile(BOXES, (SECONDS, 1)), detected_score=np.tile([0.9, 0.8], SECONDS),
        annotated_timestamp=np.array([0.5, 1.0]), annotated_xyxy=BOXES,
    )  # fmt: skip
    settings = PartSettings("fp32", "none", "fp32", {"checkpoint_sha256": "x"})
    digests = set()
    for batch in BATCHES:
        monkeypatch.setenv("DVC_ROOT", str(tmp_path / str(batch)))
        parts = make_parts(
            [film], checkpoint=folder / "model.safetensors", frames=folder / "frames", settings=settings,
            hardware=Hardware(torch.device("cpu"), 1, batch), what="bank",
        )  # fmt: skip
        digests.add(digest_tree(parts["long"]))
    assert len(digests) == 1


def test_scores(folder: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = detector().eval()
    labels = np.ones((2, 1), bool)
    keyframes = [
        KeyframeBoxes(Keyframe("long", at, float(at)), BOXES, labels, BOXES[::-1] * 0.9, np.ones(2))
        for at in range(SECONDS)
    ]
    scored = [
        score_films(model, FrameStore(folder / "frames"), keyframes, ScoreSettings(CPU, "fp32"), clip=CLIP, batch=batch)
        for batch in BATCHES
    ]
    for kind in ("detected", "ground_truth"):
        first, *others = (np.concatenate([each.scores for each in scores[kind]]).tobytes() for scores in scored)
        assert all(other == first for other in others)

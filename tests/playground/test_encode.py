import hashlib
from pathlib import Path

import av
import decord
import numpy as np
import pytest

from pipeline.playground.encode import write_video
from pipeline.playground.make import FilmSpec, render_film
from tests.playground.conftest import SEED


@pytest.mark.parametrize("fps", [15, 24, 25, 30])
def test_a_film_file_has_its_frames_at_their_times(tmp_path: Path, fps: int) -> None:
    levels = np.linspace(30, 220, 2 * fps)
    stacks = (np.full((1, 48, 64, 3), level, np.uint8) for level in levels)
    path = tmp_path / "film.mp4"
    assert write_video(path, stacks, fps=fps) == 2 * fps
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert (video.codec_context.name, video.width, video.height, video.average_rate) == ("h264", 64, 48, fps)
        assert container.metadata.keys() == {"major_brand", "minor_version", "compatible_brands"}
        decoded = [(float(frame.time), frame.to_ndarray(format="rgb24").mean()) for frame in container.decode(video)]
    assert np.allclose([time for time, _ in decoded], np.arange(2 * fps) / fps, atol=1e-3)
    assert np.allclose([level for _, level in decoded], levels.astype(np.uint8), atol=3)
    reader = decord.VideoReader(str(path))
    assert len(reader) == 2 * fps
    assert np.allclose(reader.get_frame_timestamp(range(2 * fps))[:, 0], np.arange(2 * fps) / fps, atol=1e-3)


def test_the_same_film_has_the_same_bytes(tmp_path: Path) -> None:
    spec = FilmSpec(SEED, "train", 0, 20, 20, 96, 72)
    digests = set()
    for name in "ab":
        (tmp_path / name).mkdir()
        digests.add(hashlib.sha256(render_film(tmp_path / name, spec).read_bytes()).hexdigest())
    assert len(digests) == 1
    other = render_film(tmp_path, FilmSpec(SEED + 1, "train", 0, 20, 20, 96, 72))
    assert hashlib.sha256(other.read_bytes()).hexdigest() not in digests

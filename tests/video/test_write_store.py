from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.base.problems import Problem
from pipeline.video.folder import VideoFolder
from pipeline.video.settings import Frames
from pipeline.video.store import FrameStore
from pipeline.video.write_store import write_store
from tests.video.test_packs import video

FRAMES = Frames(fps=25, short_side="none", allow_smaller=False, quality=90, max_bad_fraction=0.5)


def write(tmp_path: Path, videos: str, bad: int = 0, **settings: float) -> str:
    """A store of small videos that PyAV decoded, among which files of zero bytes were found."""
    items = {name: video(tmp_path / "work", 3) for name in videos}
    paths = {name: Path("videos", f"{name}.mp4") for name in videos}
    problems = [Problem(f"{n:02}.mp4", f"{n:02}", "0 bytes", "a video file") for n in range(bad)]
    found = VideoFolder(paths, problems, 7)
    folder = tmp_path / "out"
    folder.mkdir()
    return write_store(folder, items, found, root=Path("videos"), frames=FRAMES.model_copy(update=settings), packs=None)


def test_the_store_and_what_is_said_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert write(tmp_path, "ab", bad=1) == (
        "2 videos (2 by pyav) of 8 grid frames; 0 extracted now, 1 (00) unreadable, 0 kept without some frames, "
        "7 other files ignored"
    )
    assert FrameStore(tmp_path / "out").video_ids == ["a", "b"]
    printed = capsys.readouterr()
    assert "00.mp4: 00: found 0 bytes, expected a video file" in printed.out + printed.err


def test_of_many_the_first_ten_are_named(tmp_path: Path) -> None:
    ten = ", ".join(f"{n:02}" for n in range(10))
    assert f" 11 ({ten}, ...) unreadable" in write(tmp_path, "a", bad=11, max_bad_fraction=1)


def test_too_many_bad_videos_leave_no_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"frames\.max_bad_fraction"):
        write(tmp_path, "a", bad=2)
    assert not (tmp_path / "out/manifest.json").exists()

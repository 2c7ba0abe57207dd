import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.code_version import import_closure
from pipeline.base.command import run
from pipeline.base.files import digest_tree
from pipeline.base.packing import pack_of
from pipeline.tables.film_ids import ID_EXPECTED
from pipeline.tables.schemas import VIDEOS, read_table
from pipeline.video.store import FrameStore
from stages.extract_frames import app, extract_frames
from tests.stages.projects import REPOSITORY, write_params
from tests.video.films import cut_film, number_of, write_film, write_sound
from tests.video.test_pictures import write_pictures

OUT = Path("data/small/frames")


@pytest.fixture
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of videos of a project, which is the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("ACTIONBANK_PARAMS", raising=False)
    set_params(tmp_path)
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder


def set_params(project: Path, *, pack: int | str = "none", **frames: Any) -> None:
    values = {"fps": 15.0, "short_side": 48, "allow_smaller": True, "quality": 90, "max_bad_fraction": 0.05}
    write_params(project, dataset={"name": "small", "videos": "videos", "pack": pack}, frames={**values, **frames})


def fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", ["extract_frames"])
    with pytest.raises(SystemExit) as stopped:
        run(app)
    assert stopped.value.code == 1
    return capsys.readouterr().err


def test_the_out(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_params(videos.parent, max_bad_fraction=0.4)
    write_film(videos / "a.mp4")
    cut_film(videos / "a.mp4", videos / "b.mp4", 0.5)
    write_sound(videos / "c.mp4")
    (videos / "d,e.mp4").touch()
    (videos / "notes.txt").touch()
    (videos / "more").mkdir()
    write_film(videos / "more" / "f.ts", frames=30)
    extract_frames(workers=2)
    printed = capsys.readouterr()
    assert printed.out == (
        f"{OUT}: 3 videos (3 by pyav) of 82 grid frames; 4 extracted now, 2 (d,e, c) unreadable, "
        "0 kept without some frames, 1 other files ignored\n"
    )
    assert printed.err == (
        f"d,e.mp4: d,e: found a name that cannot be an id, expected {ID_EXPECTED}\n"
        "c.mp4: c: found no video stream (streams: audio), expected a video stream\n"
    )
    assert sorted(path.name for path in OUT.iterdir()) == [
        "a.arrow",
        "b.arrow",
        "f.arrow",
        "manifest.json",
        "problems.json",
        "videos.parquet",
    ]
    problems = json.loads((OUT / "problems.json").read_text())
    assert (problems["total"], [each["item"] for each in problems["problems"]]) == (5, ["d,e", "c"])
    table = read_table(OUT / "videos.parquet", VIDEOS).to_pylist()
    assert [(row["video_id"], row["path"], row["frames"], row["grid_frames"]) for row in table] == [
        ("a", "a.mp4", 60, 36),
        ("b", "b.mp4", 47, 28),
        ("f", "more/f.ts", 30, 18),
    ]
    store = FrameStore(OUT)
    assert (store.fps, store.size("a")) == (15.0, (48, 72))
    manifest = json.loads((OUT / "manifest.json").read_text())
    assert (manifest["short_side"], manifest["quality"], manifest["fps"]) == (48, 90, 15.0)
    # No path, host or time of this machine.
    assert str(videos.parent) not in (OUT / "manifest.json").read_text()


def test_the_last_line_and_problems_json_name_the_bad_films(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_params(videos.parent, max_bad_fraction=1.0, short_side="none", fps=25.0)
    write_film(videos / "-good.mp4", frames=10)
    cut = write_film(videos / "cut.mp4", frames=100, muxer_options={"movflags": "faststart"})
    cut.write_bytes(cut.read_bytes()[: int(cut.stat().st_size * 0.99)])
    for number in range(11):
        (videos / f"v{number:02}.mp4").touch()
    extract_frames(workers=2)
    found = json.loads((OUT / "problems.json").read_text())
    assert [each["item"] for each in found["problems"]] == ["cut", *(f"v{number:02}" for number in range(11))]
    named = ", ".join(f"v{number:02}" for number in range(10))
    assert (
        capsys.readouterr()
        .out.splitlines()[-1]
        .endswith(f"11 ({named}, ...) unreadable, 1 (cut) kept without some frames, 0 other files ignored")
    )
    assert [number_of(frame) for frame in FrameStore(OUT).read_clip("-good", range(10))] == list(range(10))


def test_the_source_size_is_kept_on_demand(videos: Path) -> None:
    set_params(videos.parent, short_side="none", fps=25.0)
    write_film(videos / "a.mp4")
    extract_frames(workers=1)
    clip = FrameStore(OUT).read_clip("a", range(60))
    assert [number_of(frame) for frame in clip] == list(range(60))


def test_one_more_video_is_one_more_extraction(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_film(videos / "a.mp4", frames=20)
    write_film(videos / "b.mp4", frames=30)
    extract_frames(workers=2)
    first = {path.name: path.read_bytes() for path in OUT.glob("*.arrow")}
    write_film(videos / "c.mp4", frames=10)
    extract_frames(workers=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("; ")[1].split(",")[0] for line in lines] == ["2 extracted now", "1 extracted now"]
    assert first == {name: (OUT / name).read_bytes() for name in first}
    (videos / "a.mp4").rename(videos / "z.mp4")
    extract_frames(workers=2)
    assert "; 0 extracted now" in capsys.readouterr().out
    assert FrameStore(OUT).video_ids == ["b", "c", "z"]


def test_packs(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_params(videos.parent, short_side="none", fps=25.0, pack=2, max_bad_fraction=0.5)
    for number, name in enumerate("abc"):  # a and b share a pack
        write_film(videos / f"{name}.mp4", frames=10 + number)
    (videos / "d.mp4").touch()
    extract_frames(workers=2)
    assert sorted(path.name for path in OUT.iterdir()) == [
        "manifest.json",
        *(f"pack-{number}-of-2.arrow" for number in sorted({pack_of(name, 2) for name in "abc"})),
        "problems.json",
        "videos.parquet",
    ]
    packed = FrameStore(OUT)
    assert [number_of(frame) for frame in packed.read_clip("c", range(12))] == list(range(12))
    clips = {name: packed.read_clip(name, range(10)) for name in packed.video_ids}
    digests = {name: packed.digest(name) for name in packed.video_ids}
    kept = {path.name: path.read_bytes() for path in OUT.iterdir()}
    set_params(videos.parent, short_side="none", fps=25.0, max_bad_fraction=0.5)
    extract_frames(workers=2)
    assert "; 0 extracted now" in capsys.readouterr().out.splitlines()[1]
    alone = FrameStore(OUT)
    assert sorted(path.name for path in OUT.glob("*.arrow")) == ["a.arrow", "b.arrow", "c.arrow"]
    assert {name: alone.digest(name) for name in alone.video_ids} == digests
    assert all(np.array_equal(alone.read_clip(name, range(10)), clip) for name, clip in clips.items())
    for name in ("problems.json", "videos.parquet"):
        assert (OUT / name).read_bytes() == kept[name]


def test_too_many_bad_videos(videos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_film(videos / "a.mp4", frames=5)
    (videos / "b.mp4").touch()
    assert fails(monkeypatch, capsys) == (
        "b.mp4: b: found 0 bytes, expected a video file\n"
        "error: 1 of 2 videos are bad, more than frames.max_bad_fraction 0.05 lets pass; the first: "
        "b.mp4: b: found 0 bytes, expected a video file\n"
    )
    assert not OUT.exists()


def test_no_videos(videos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    videos.rmdir()
    assert fails(monkeypatch, capsys) == "error: videos: no such folder of videos (dataset.videos)\n"


def start_stage(project: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "ACTIONBANK_WORKERS": "1"}
    return subprocess.Popen([sys.executable, "-m", "stages.extract_frames"], cwd=project, env=environment)


def test_a_killed_run_goes_on_where_it_was(videos: Path) -> None:
    project = videos.parent
    for number in range(6):
        write_film(videos / f"v{number}.mp4", frames=200 + number, width=192, height=128)
    items = project / ".work" / "extract_frames"
    stage = start_stage(project)
    for _ in range(6000):
        finished = [path for path in items.glob("*") if not path.name.startswith(".")]
        if finished or stage.poll() is not None:
            break
        time.sleep(0.005)
    stage.send_signal(signal.SIGKILL)
    assert stage.wait() == -signal.SIGKILL
    kept = {path.name: path.stat().st_mtime_ns for path in items.glob("*") if not path.name.startswith(".")}
    assert 0 < len(kept) < 6
    assert not (project / OUT).exists()
    resumed = start_stage(project)
    assert resumed.wait() == 0
    after = {path.name: path.stat().st_mtime_ns for path in items.glob("*") if not path.name.startswith(".")}
    assert len(after) == 6
    assert kept.items() <= after.items()
    uninterrupted = project / "uninterrupted"
    uninterrupted.mkdir()
    (uninterrupted / "videos").symlink_to(videos)
    (uninterrupted / "params.yaml").write_bytes((project / "params.yaml").read_bytes())
    assert start_stage(uninterrupted).wait() == 0
    assert digest_tree(uninterrupted / OUT) == digest_tree(project / OUT)


def test_models_and_evaluation_are_out_of_reach() -> None:
    closure = import_closure("stages.extract_frames")
    assert "pipeline/video/decode.py" in closure
    for folder in ("models", "evaluation", "bank", "training", "inference", "datasets", "interop"):
        assert not [path for path in closure if path.startswith(f"pipeline/{folder}/")]


def test_folders_of_pictures(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pictures(videos / "ava/a", 40)
    write_film(videos / "b.mp4")
    extract_frames(workers=1)
    told = capsys.readouterr()
    assert told.err.splitlines()[0] == (
        "videos: 1 folder of pictures whose frame rate nothing tells (ava/a) are passed over: set dataset.frame_rate "
        "(new-dataset: --frame-rate) to how many pictures a second has (30 for AVA as MMAction2 and LFB extract it), "
        "or write frame_rates.csv (video_id,fps) into the folder"
    )
    assert FrameStore(OUT).video_ids == ["b"]
    values = {"name": "small", "videos": "videos", "pack": "none", "frame_rate": 20.0}
    frames = {"fps": 10.0, "short_side": "none", "allow_smaller": True, "quality": 90, "max_bad_fraction": 0.6}
    write_params(videos.parent, dataset=values, frames=frames)
    (videos / "ava/a/img_00010.jpg").unlink()
    extract_frames(workers=1)
    told = capsys.readouterr()
    assert told.err.splitlines()[0] == (
        "ava/a: a: found 39 pictures (they are kept): there is no picture 10, expected 40 pictures of 96x64"
    )
    assert told.out.splitlines()[-1] == (
        "data/small/frames: 2 videos (1 by pyav, 1 by simplejpeg) of 44 grid frames; 2 extracted now, 0 unreadable, "
        "1 (a) kept without some frames, 0 other files ignored"
    )
    store = FrameStore(OUT)
    assert [number_of(each) for each in store.read_clip("a", range(4))] == [0, 2, 4, 6]
    table = read_table(OUT / "videos.parquet", VIDEOS).to_pylist()[0]
    assert {key: table[key] for key in ("video_id", "path", "fps", "duration_seconds", "frames", "width")} == {
        "video_id": "a", "path": "ava/a", "fps": 20, "duration_seconds": 2, "frames": 39, "width": 96,
    }  # fmt: skip
    extract_frames(workers=1)
    assert "0 extracted now" in capsys.readouterr().out

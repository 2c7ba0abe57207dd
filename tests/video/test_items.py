import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import InputError
from pipeline.base.files import digest_tree, read_json, remove_folder
from pipeline.base.make_items import Job
from pipeline.base.problems import Problem
from pipeline.tables.schemas import VIDEOS, read_table
from pipeline.video import children as children_module
from pipeline.video import items
from pipeline.video.children import ChildDied, ChildHung, ChildLost
from pipeline.video.extract import FrameSettings, extract_video
from pipeline.video.items import VideoMaker, assemble_videos, extract_videos, video_item
from tests.video.films import write_film

SETTINGS = FrameSettings(25.0, None, 90)
Runner = Callable[..., None]


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))
    return tmp_path / "root" / ".work" / "extract_frames"


def item(path: Path) -> items.VideoItem:
    return video_item(path, settings=SETTINGS, code="c0", stop=threading.Event())


def children(monkeypatch: pytest.MonkeyPatch, *outcomes: Exception | None) -> list[str]:
    """Let the child processes fail one after the other as told; returns why the usual way was avoided in each."""
    avoided: list[str] = []
    waiting = list(outcomes)

    def run(work: Callable[..., None], arguments: dict[str, Any], **_: Any) -> None:
        avoided.append(arguments["hung"])
        assert list(arguments["folder"].iterdir()) == []
        (arguments["folder"] / ".frames.arrow.partial").touch()
        if outcome := waiting.pop(0):
            raise outcome
        (arguments["folder"] / ".frames.arrow.partial").unlink()
        work(**arguments)

    monkeypatch.setattr(items, "run_in_child", run)
    return avoided


def test_an_item_is_made_once(tmp_path: Path, work: Path) -> None:
    path = write_film(tmp_path / "f.mp4", frames=10)
    first, again = item(path), item(path)
    assert (first.is_new, again.is_new) == (True, False)
    assert first.folder == again.folder
    assert sorted(each.name for each in first.folder.iterdir()) == ["frames.arrow", "item.json", "video.json"]
    path.rename(tmp_path / "g.mp4")
    assert not item(tmp_path / "g.mp4").is_new
    for settings, code in ((FrameSettings(25.0, None, 91), "c0"), (SETTINGS, "c1")):
        assert video_item(tmp_path / "g.mp4", settings=settings, code=code, stop=threading.Event()).is_new
    assert len([each for each in work.iterdir() if each.is_dir()]) == 3


def test_a_file_that_is_no_film_is_an_item_too(tmp_path: Path) -> None:
    (tmp_path / "f.mp4").touch()
    assert item(tmp_path / "f.mp4").is_new
    assert not item(tmp_path / "f.mp4").is_new


@pytest.mark.parametrize(
    "failure",
    [
        ChildHung("no new frame for 60 s"),
        ChildDied("its process was killed by SIGKILL"),
        ChildDied("its process died with exit code 255"),
        ChildLost("OSError: [Errno 28] No space left on device"),
    ],
)
def test_a_lost_child_is_tried_once_more_in_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: ChildLost
) -> None:
    path = write_film(tmp_path / "f.mp4", frames=10)
    seen = children(monkeypatch, failure, None)
    made = item(path)
    assert seen == ["", ""]
    assert sorted(each.name for each in made.folder.iterdir()) == ["frames.arrow", "item.json", "video.json"]
    undisturbed = digest_tree(made.folder)
    remove_folder(made.folder)
    children(monkeypatch, None)
    assert digest_tree(item(path).folder) == undisturbed


def test_a_decoder_that_runs_and_gives_nothing_twice_is_not_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = children(monkeypatch, *[ChildHung("no new frame for 60 s")] * 2, None)
    made = item(write_film(tmp_path / "f.mp4", frames=10))
    assert seen == ["", "", "no new frame for 60 s"]
    record = read_json(made.folder / "video.json")
    told = [record[key] for key in ("decoder", "decoder_reason", "pixels", "pixels_reason")]
    assert told == ["decord", "", "rgb", "no new frame for 60 s"]


ADVICE = "run it again with fewer workers; a film that ends it every time can be encoded anew, or taken out"


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        (
            [ChildDied("its process was killed by SIGKILL")] * 2,
            f"its process was killed by SIGKILL, twice; nothing is stored for it; {ADVICE}",
        ),
        (
            [ChildHung("no new frame for 60 s"), ChildDied("its process was killed by SIGSEGV")],
            f"its process was killed by SIGSEGV, twice; nothing is stored for it; {ADVICE}",
        ),
        ([ChildHung("no new frame for 60 s")] * 3, f"no new frame for 60 s, twice; nothing is stored for it; {ADVICE}"),
        (
            [ChildLost("OSError: [Errno 28] No space left on device")] * 2,
            "OSError: [Errno 28] No space left on device, twice; nothing is stored for it",
        ),
    ],
)
def test_a_child_lost_twice_is_a_failure_and_nothing_is_stored(
    tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch, outcomes: list[ChildLost], said: str
) -> None:
    path = write_film(tmp_path / "f.mp4", frames=10)
    seen = children(monkeypatch, *outcomes, None)
    with pytest.raises(InputError) as error:
        item(path)
    assert str(error.value) == f"{path}: {said}"
    assert set(seen[:2]) == {""}
    assert list(work.iterdir()) == []
    assert item(path).is_new


def test_a_file_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        item(tmp_path / "f.mp4")
    assert str(error.value) == f"{tmp_path / 'f.mp4'}: No such file or directory; nothing is stored for it"


def test_a_file_without_permission_is_a_failure_and_no_bad_film(
    tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(items, "digest_file", refuse)  # the tests may run as root, which may read everything
    with pytest.raises(InputError) as error:
        item(write_film(tmp_path / "f.mp4", frames=3))
    assert str(error.value) == f"{tmp_path / 'f.mp4'}: Permission denied; nothing is stored for it"
    assert not work.exists()


def test_one_failure_lets_the_others_finish(tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = {name: write_film(tmp_path / f"{name}.mp4", frames=5 + n) for n, name in enumerate("abc")}
    paths["b"].unlink()
    with pytest.raises(InputError) as error:
        extract_videos(paths, settings=SETTINGS, code="c0", workers=1)
    assert str(error.value) == (
        "1 of 3 videos failed, the others are kept in .work; "
        f"{paths['b']}: No such file or directory; nothing is stored for it"
    )
    assert len([each for each in work.iterdir() if each.is_dir()]) == 2


def test_a_bug_stops_the_others(tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = {name: write_film(tmp_path / f"{name}.mp4", frames=5 + n) for n, name in enumerate("abc")}
    children(monkeypatch, RuntimeError("Traceback ..."), *[ChildLost("stopped")] * 4)
    with pytest.raises(RuntimeError, match=r"Traceback"):
        extract_videos(paths, settings=SETTINGS, code="c0", workers=1)
    assert list(work.iterdir()) == []


def test_assembly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "videos"
    (root / "sub").mkdir(parents=True)
    paths = {
        "bad": root / "bad.mp4",
        "cut": write_film(root / "cut.mp4", frames=100, muxer_options={"movflags": "faststart"}),
        "good": write_film(root / "sub" / "good.mp4", frames=10),
    }
    paths["bad"].touch()
    data = paths["cut"].read_bytes()
    paths["cut"].write_bytes(data[: int(len(data) * 0.99)])
    made = extract_videos(paths, settings=SETTINGS, code="c0", workers=2)
    assert list(made) == ["bad", "cut", "good"]
    out = tmp_path / "out"
    out.mkdir()
    records, problems = assemble_videos(made, paths, root=root, folder=out)
    lost = records["cut"]["frames_failed"]
    assert 0 < lost <= 5
    assert problems == [
        Problem("bad.mp4", "bad", "0 bytes", "a video file"),
        Problem("cut.mp4", "cut", f"{100 - lost} frames decodable (the video is kept)", "100 frames"),
    ]
    assert list(records) == ["cut", "good"]
    assert sorted(each.name for each in out.iterdir()) == ["cut.arrow", "good.arrow", "videos.parquet"]
    assert (out / "good.arrow").samefile(made["good"].folder / "frames.arrow")
    table = read_table(out / "videos.parquet", VIDEOS).to_pylist()
    assert table[1] == {
        "video_id": "good",
        "path": "sub/good.mp4",
        "sha256": records["good"]["source_sha256"],
        "fps": 25.0,
        "duration_seconds": 0.4,
        "frames": 10,
        "grid_frames": 10,
        "width": 96,
        "height": 64,
    }
    before = digest_tree(out)
    again = tmp_path / "again"
    again.mkdir()
    assemble_videos(extract_videos(paths, settings=SETTINGS, code="c0", workers=1), paths, root=root, folder=again)
    assert digest_tree(again) == before


def test_the_child_is_the_extraction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    monkeypatch.setattr(items, "run_in_child", lambda work, arguments, **more: called.append((work, more)))
    item(write_film(tmp_path / "f.mp4", frames=3))
    ((function, more),) = called
    assert function is extract_video
    assert more["silence_seconds"] == 60


def test_what_extracts_can_be_sent_to_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There it keeps its children, as that process does nothing else."""
    monkeypatch.setattr(children_module._Kept, "idle", None)
    here = VideoMaker(SETTINGS, "c0")
    here.stop.set()
    there = pickle.loads(pickle.dumps(here))
    assert children_module._Kept.idle == []
    assert (there.settings, there.code, there.stop.is_set()) == (SETTINGS, "c0", False)
    write_film(tmp_path / "f.mp4", frames=3)
    monkeypatch.setattr(items, "run_in_child", lambda work, arguments, **more: work(**arguments))
    made = there(Job("f", (tmp_path / "f.mp4", None)))
    assert (made.folder, made.is_new) == (item(tmp_path / "f.mp4").folder, True)

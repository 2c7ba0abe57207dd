"""Extract many videos: each is an item of the work directory, made in a watched child, a few at a time."""

import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from pipeline.base.errors import InputError
from pipeline.base.executors import item_executor
from pipeline.base.faults import message_of
from pipeline.base.files import digest_file, link_file, read_json
from pipeline.base.make_items import Job, Needs, make_items, refuse_failures
from pipeline.base.packing import pack_name, packed
from pipeline.base.problems import Problem
from pipeline.base.progress import progress
from pipeline.base.work import item_folder, item_key, make_item
from pipeline.tables.schemas import VIDEOS, write_table
from pipeline.video.children import ChildDied, ChildHung, ChildLost, keep_children, kept_children, preload, run_in_child
from pipeline.video.chosen_frames import Wanted
from pipeline.video.extract import FrameSettings, extract_video
from pipeline.video.extract_pictures import extract_pictures
from pipeline.video.packs import write_pack
from pipeline.video.pictures import digest_pictures
from pipeline.video.store import batch_count

STAGE = "extract_frames"
PACKS = "frame_packs"
SILENCE_SECONDS = 60.0


@dataclass(frozen=True)
class VideoItem:
    """A finished item: `frames.arrow` and `video.json`, or `problem.json`."""

    folder: Path
    source_sha256: str
    is_new: bool


def video_item(
    path: Path,
    *,
    settings: FrameSettings,
    code: str,
    stop: threading.Event,
    silence_seconds: float = SILENCE_SECONDS,
    frame_rate: float | None = None,
) -> VideoItem:
    """Return the item of one video; make it if it does not exist.

    Args:
        path: the video file, or a folder of pictures.
        settings: see `FrameSettings`.
        code: the code version.
        stop: when set, the work ends at once with an `InputError`.
        silence_seconds: a decoder that gives no frame for this long is killed.
        frame_rate: of a folder of pictures, in pictures per second; None for a file.

    Raises:
        InputError: the video could not be extracted for a reason that is not in the file: no disk, no memory, or a
            decoder that was killed, crashed or hung, twice. Nothing is stored then.
    """
    is_new = False

    def make(folder: Path) -> None:
        nonlocal is_new
        is_new = True
        write_item(
            path, folder, settings=settings, source_sha256=source_sha256, stop=stop, silence_seconds=silence_seconds,
            frame_rate=frame_rate,
        )  # fmt: skip

    try:
        source_sha256 = digest_file(path) if frame_rate is None else digest_pictures(path)
        rate = {} if frame_rate is None else {"frame_rate": frame_rate}
        key = item_key(source_sha256=source_sha256, settings=asdict(settings), code=code, **rate)
        return VideoItem(make_item(STAGE, key, make), source_sha256, is_new)
    except OSError as error:
        is_own = error.filename is None or str(error.filename) == str(path)
        cause = error.strerror or str(error) if is_own else message_of(error)
        raise InputError(f"{path}: {cause}; nothing is stored for it") from None


def write_item(
    path: Path,
    folder: Path,
    *,
    settings: FrameSettings,
    source_sha256: str,
    stop: threading.Event,
    silence_seconds: float = SILENCE_SECONDS,
    frame_rate: float | None = None,
    wanted: Wanted | None = None,
) -> None:
    """Write the item of one video into an empty folder; arguments and errors are those of `video_item`.

    With `wanted` (see `extract_video`) it is an item of some frames, which must not be kept as that of the video. A
    folder of pictures is stored whole.
    """
    arguments = {"path": path.absolute(), "folder": folder.absolute(), "settings": settings}
    arguments["source_sha256"] = source_sha256
    if frame_rate is None:
        _extract(path, folder, {**arguments, "wanted": wanted}, stop, silence_seconds)
    else:
        _extract_pictures(path, {**arguments, "frame_rate": frame_rate}, stop, silence_seconds)


def _extract(
    path: Path, folder: Path, arguments: dict[str, Any], stop: threading.Event, silence_seconds: float
) -> None:
    """Extract in a child process; if the child is lost, try once more in the same way.

    A process that dies, even repeatedly, proves nothing about its film: lack of memory and a crash of the decoder look
    the same. A decoder that runs without giving a frame, twice, does prove something: then the next way is tried
    (`ways_of`).
    """
    reason = ""
    lost: ChildLost | None = None
    hung = 0
    for turn in range(3):
        for rest in folder.iterdir():
            rest.unlink()
        try:
            run_in_child(
                extract_video,
                {**arguments, "hung": reason},
                silence_seconds=silence_seconds,
                stop=stop,
            )
            return
        except ChildLost as error:
            hung += isinstance(error, ChildHung)
            if hung == 2:
                reason = str(error)
            if stop.is_set() or turn == 2 or (turn == 1 and hung < 2):
                lost = error
                break
    advice = "run it again with fewer workers; a film that ends it every time can be encoded anew, or taken out"
    raise InputError(
        f"{path}: {lost}, twice; nothing is stored for it"
        + (f"; {advice}" if isinstance(lost, ChildDied | ChildHung) else "")
    ) from None


def _extract_pictures(path: Path, arguments: dict[str, Any], stop: threading.Event, silence_seconds: float) -> None:
    """Extract a folder of pictures in a child process; if the child is lost, try once more."""
    for is_last in (False, True):
        for rest in arguments["folder"].iterdir():
            rest.unlink()
        try:
            run_in_child(extract_pictures, arguments, silence_seconds=silence_seconds, stop=stop)
            return
        except ChildLost as error:
            if is_last or stop.is_set():
                raise InputError(f"{path}: {error}, twice; nothing is stored for it; run it again") from None


class VideoMaker:
    """Makes the item of a job, whose `given` is the path of a video, and the rate of a folder of pictures or None."""

    def __init__(self, settings: FrameSettings, code: str) -> None:
        self.settings, self.code = settings, code
        self.stop = threading.Event()
        "When set, the work ends."

    def __reduce__(self) -> Any:
        return _maker_elsewhere, (self.settings, self.code)

    def __call__(self, job: Job) -> VideoItem:
        """Return the item; see `video_item`."""
        path, rate = job.given
        return video_item(path, settings=self.settings, code=self.code, stop=self.stop, frame_rate=rate)


def _maker_elsewhere(settings: FrameSettings, code: str) -> VideoMaker:
    """Make a `VideoMaker` in a process that does nothing else."""
    keep_children()
    preload(sys.modules[__name__])
    return VideoMaker(settings, code)


def extract_videos(
    paths: Mapping[str, Path],
    *,
    settings: FrameSettings,
    code: str,
    workers: int,
    rates: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, VideoItem]:
    """Extract all videos; return their items by video id, in the order of `paths`.

    Args:
        paths: files, and folders of pictures.
        settings: see `FrameSettings`.
        code: the code version.
        workers: videos at a time.
        rates: pictures per second of the folders of pictures, by video id.

    Raises:
        InputError: videos could not be extracted for reasons that are not in them; the items of the others are kept.
    """
    items: dict[str, VideoItem] = {}

    def made(video_id: str, item: VideoItem) -> None:
        items[video_id] = replace(item, folder=item_folder(STAGE, item.folder.name))  # as this process names it

    make, needs = VideoMaker(settings, code), Needs(module="stages.extract_frames")
    jobs = (Job(video_id, (path, rates.get(video_id))) for video_id, path in paths.items())
    with kept_children(), item_executor(workers, needs) as executor:
        try:
            failures = make_items(make, jobs, count=len(paths), executor=executor, what=STAGE, unit="video", made=made)
        except BaseException:  # after an interrupt or a bug the children must stop too
            make.stop.set()
            raise
    refuse_failures({video_id: str(error) for video_id, error in failures.items()}, len(paths), "video")
    return {video_id: items[video_id] for video_id in paths}


def assemble_videos(
    items: Mapping[str, VideoItem], paths: Mapping[str, Path], *, root: Path, folder: Path, packs: int | None = None
) -> tuple[dict[str, dict[str, Any]], list[Problem]]:
    """Link the items' frames, or packs of them, into a store's folder, and write `videos.parquet` beside them.

    A video with a few lost frames is kept and reported.

    Args:
        items: by video id.
        paths: the video files, by video id.
        root: the folder of videos; paths in `videos.parquet` are relative to it.
        folder: the store's folder.
        packs: number of files that the videos share; None gives each video a file of its own.

    Returns:
        (the records of readable videos for the manifest, the problems)
    """
    records: dict[str, dict[str, Any]] = {}
    problems: list[Problem] = []
    for video_id, item in items.items():
        name = paths[video_id].relative_to(root).as_posix()
        if (item.folder / "problem.json").exists():
            problems.append(Problem(name, video_id, **read_json(item.folder / "problem.json")))
            continue
        record = read_json(item.folder / "video.json")
        if told := record.get("frames_told"):  # of a folder of pictures
            found = f"{record['frames_decoded']} pictures (they are kept): {told}"
            size = f"{record['source_width']}x{record['source_height']}"
            problems.append(Problem(name, video_id, found, f"{record['frames_expected']} pictures of {size}"))
        elif record["frames_failed"]:
            found = f"{record['frames_decoded']} frames decodable (the video is kept)"
            problems.append(Problem(name, video_id, found, f"{record['frames_expected']} frames"))
        records[video_id] = record
    rows = [
        {
            "video_id": video_id,
            "path": paths[video_id].relative_to(root).as_posix(),
            "sha256": record["source_sha256"],
            "fps": record["source_fps"],
            "duration_seconds": record["duration_seconds"],
            "frames": record["frames_decoded"],
            "grid_frames": record["grid_frames"],
            "width": record["source_width"],
            "height": record["source_height"],
        }
        for video_id, record in records.items()
    ]
    write_table(pa.Table.from_pylist(rows, VIDEOS), folder / "videos.parquet", VIDEOS)
    folders = {video_id: items[video_id].folder for video_id in records}
    if packs is not None:
        return _assemble_packs(folders, records, folder, packs), problems
    for video_id, source in folders.items():
        link_file(source / "frames.arrow", folder / f"{video_id}.arrow")
    return records, problems


def _assemble_packs(
    folders: Mapping[str, Path], records: Mapping[str, dict[str, Any]], folder: Path, packs: int
) -> dict[str, dict[str, Any]]:
    """Link the packs into `folder`, and return the records with each video's place. A pack is an item of `.work`."""
    placed: dict[str, dict[str, Any]] = {}
    groups = packed(records, packs)
    for pack, video_ids in progress(groups.items(), what=PACKS, total=len(groups), unit="pack"):
        sources = {video_id: folders[video_id] / "frames.arrow" for video_id in video_ids}

        def make(made: Path, sources: dict[str, Path] = sources) -> None:
            write_pack(made / "pack.arrow", sources.items())

        key = item_key(pack={video_id: folders[video_id].name for video_id in video_ids})
        name = f"{pack_name(pack, packs)}.arrow"
        link_file(make_item(PACKS, key, make) / "pack.arrow", folder / name)
        first_batch = 0
        for video_id in video_ids:
            placed[video_id] = {**records[video_id], "file": name, "first_batch": first_batch}
            first_batch += batch_count(records[video_id]["rows"])
    return placed

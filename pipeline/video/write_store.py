"""Write the out of extract_frames: the frame store, the problems of bad videos, and a summary in words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.base.problems import Problem, print_first, report_problems
from pipeline.video.extract import frame_settings
from pipeline.video.folder import VideoFolder
from pipeline.video.items import VideoItem, assemble_videos
from pipeline.video.manifest import write_manifest
from pipeline.video.settings import ClipFrames, Frames

FILES = ("manifest.json", "videos.parquet", "problems.json", "*.arrow")
NAMED = 10


def write_store(
    folder: Path,
    items: Mapping[str, VideoItem],
    found: VideoFolder,
    *,
    root: Path,
    frames: Frames | ClipFrames,
    packs: int | None,
) -> str:
    """Write FILES, and print the first problems.

    Args:
        folder: the empty folder to write into.
        items: of the videos that were found, by video id.
        found: the videos.
        root: their folder.
        frames: the settings of the stored frames.
        packs: number of files that the videos share; None gives each video a file of its own.

    Returns:
        How many videos were stored, and how many others were bad or ignored, in words.

    Raises:
        InputError: a larger share of videos is bad than `frames.max_bad_fraction` accepts.
    """
    videos, problems = assemble_videos(items, found.paths, root=root, folder=folder, packs=packs)
    problems = [*found.problems, *problems]
    print_first(problems)
    report_problems(
        problems,
        total=len(found.paths) + len(found.problems),
        max_bad_fraction=frames.max_bad_fraction,
        key="frames.max_bad_fraction",
        folder=folder,
        unit="videos",
    )
    write_manifest(folder, videos, **asdict(frame_settings(frames)), pack=packs)
    return _told(videos, problems, new=sum(item.is_new for item in items.values()), ignored=found.ignored)


def _told(videos: Mapping[str, dict[str, Any]], problems: Sequence[Problem], *, new: int, ignored: int) -> str:
    decoders = Counter(each["decoder"] for each in videos.values())
    grid_frames = sum(each["grid_frames"] for each in videos.values())
    damaged = [problem.item for problem in problems if problem.item in videos]
    unreadable = [problem.item for problem in problems if problem.item not in videos]
    by_decoder = ", ".join(f"{count} by {name}" for name, count in sorted(decoders.items())) or "none"
    return (
        f"{len(videos)} videos ({by_decoder}) of {grid_frames} grid frames; {new} extracted now, "
        f"{_named(unreadable)} unreadable, {_named(damaged)} kept without some frames, {ignored} other files ignored"
    )


def _named(video_ids: Sequence[str]) -> str:
    """Write how many there are, and which: "2 (a, b)"; only the first ten are named, problems.json lists all."""
    if not video_ids:
        return "0"
    more = ", ..." if len(video_ids) > NAMED else ""
    return f"{len(video_ids)} ({', '.join(video_ids[:NAMED])}{more})"

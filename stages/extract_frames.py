"""Extract the frames of a folder of videos into a frame store.

    python -m stages.extract_frames

Reads every video below the folder `dataset.videos`, files and folders of numbered pictures (`dataset.frame_rate`); a
file's name without its suffix, or the folder's name, is the video's id. Writes
`data/<name>/frames`: `<video_id>.arrow` with the frames that a grid of `frames.fps` shows, scaled down to
`frames.short_side`, as JPEGs of `frames.quality`; `videos.parquet`; `problems.json` with the videos that cannot be
read, and those that are kept though some of their frames are lost; `manifest.json`. With `dataset.pack` N the frames
are in N files, `pack-<n>-of-<N>.arrow`, instead. A video that was extracted before with the same parameters is taken
from `.work`, whatever became of the others, and so is a pack of which no video changed.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline import params as parameters
from pipeline.base import command
from pipeline.base.code import code_version
from pipeline.base.command import WorkersOption, new_app, run, worker_count
from pipeline.base.files import replace_folder
from pipeline.base.problems import report_problems
from pipeline.base.runs import recorded_run
from pipeline.params import load_params
from pipeline.video import extract, extract_pictures
from pipeline.video.children import preload
from pipeline.video.extract import FrameSettings
from pipeline.video.folder import NO_RATE, describe_unrated, find_videos
from pipeline.video.items import assemble_videos, extract_videos
from pipeline.video.manifest import write_manifest

app = new_app()
NAMED = 10
OUT = ("manifest.json", "videos.parquet", "problems.json", "*.arrow")


@app.command()
def extract_frames(workers: WorkersOption = 0) -> None:
    """Decode videos into a frame store; a bad video is reported and left out."""
    params = load_params()
    frames, dataset = params.frames, params.dataset
    short_side = None if frames.short_side == "none" else frames.short_side
    packs = None if dataset.pack == "none" else dataset.pack
    settings = FrameSettings(frames.fps, short_side, frames.quality)
    root, out = Path(dataset.videos), Path("data", dataset.name, "frames")
    found = find_videos(root, frame_rate=None if dataset.frame_rate == "none" else dataset.frame_rate)
    if found.unrated:
        print(f"{root}: {describe_unrated(root, found.unrated)} are passed over: {NO_RATE}", file=sys.stderr)
    code = code_version("stages.extract_frames")
    # Each child imports this file: what it needs is imported once for all.
    preload(extract, extract_pictures, command, parameters)
    with recorded_run("extract_frames", "", dataset=dataset.name, items=len(found.paths)) as record:
        record["workers"] = worker_count(workers)
        items = extract_videos(
            found.paths, settings=settings, code=code, workers=worker_count(workers), rates=found.rates
        )
        record["new"] = sum(item.is_new for item in items.values())
        with replace_folder(out, OUT) as folder:
            videos, problems = assemble_videos(items, found.paths, root=root, folder=folder, packs=packs)
            problems = [*found.problems, *problems]
            for problem in problems[:10]:
                print(problem, file=sys.stderr)
            report_problems(
                problems,
                total=len(found.paths) + len(found.problems),
                max_bad_fraction=frames.max_bad_fraction,
                key="frames.max_bad_fraction",
                folder=folder,
                unit="videos",
            )
            write_manifest(folder, videos, **asdict(settings), pack=packs)
    decoders = Counter(each["decoder"] for each in videos.values())
    grid_frames = sum(each["grid_frames"] for each in videos.values())
    damaged = [problem.item for problem in problems if problem.item in videos]
    unreadable = [problem.item for problem in problems if problem.item not in damaged]
    by_decoder = ", ".join(f"{count} by {name}" for name, count in sorted(decoders.items())) or "none"
    print(
        f"{out}: {len(videos)} videos ({by_decoder}) of {grid_frames} grid frames; {record['new']} extracted now, "
        f"{_named(unreadable)} unreadable, {_named(damaged)} kept without some frames, "
        f"{found.ignored} other files ignored"
    )


def _named(video_ids: Sequence[str]) -> str:
    """How many, and which: "2 (a, b)"; of many the first ten, the others stand in problems.json."""
    if not video_ids:
        return "0"
    more = ", ..." if len(video_ids) > NAMED else ""
    return f"{len(video_ids)} ({', '.join(video_ids[:NAMED])}{more})"


if __name__ == "__main__":
    run(app)

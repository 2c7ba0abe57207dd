"""Extract the frames of a folder of videos into a frame store.

    python -m stages.extract_frames
    python -m stages.extract_frames --track recognition

Reads every video below the folder `dataset.videos`: video files, and folders of numbered pictures
(`dataset.frame_rate`). The id of a video is the file's name without its suffix, or the folder's name. Writes
`data/<name>/frames`: `<video_id>.arrow` with the frames on a grid of `frames.fps`, scaled down to
`frames.short_side`, as JPEGs of `frames.quality`; `videos.parquet`; `problems.json` with the videos that cannot be
read, and those that are kept although some of their frames are lost; `manifest.json`. With `dataset.pack` N the frames
are in N files, `pack-<n>-of-<N>.arrow`, instead. A video that was extracted before with the same parameters is taken
from `.work`, even if other videos failed; so is a pack in which no video has changed.
"""

import sys
from pathlib import Path

from pipeline.base.command import TrackOption, WorkersOption, new_app, run, worker_count
from pipeline.base.files import replace_folder

app = new_app()


@app.command()
def extract_frames(workers: WorkersOption = 0, track: TrackOption = "detection") -> None:
    """Decode videos into a frame store; a bad video is reported and left out."""
    from pipeline import params as parameters
    from pipeline.base import command
    from pipeline.base.code_version import code_version
    from pipeline.base.runs import recorded_run
    from pipeline.video import write_store
    from pipeline.video.children import preload
    from pipeline.video.extract import frame_settings
    from pipeline.video.folder import NO_RATE, describe_unrated, find_videos
    from pipeline.video.items import extract_videos

    params = parameters.load_track(track)
    frames, dataset, at_a_time = params.frames, params.dataset, worker_count(workers)
    root, out = Path(dataset.videos), Path("data", dataset.name, "frames")
    found = find_videos(root, frame_rate=None if dataset.frame_rate == "none" else dataset.frame_rate)
    if found.unrated:
        print(f"{root}: {describe_unrated(root, found.unrated)} are passed over: {NO_RATE}", file=sys.stderr)
    settings, code = frame_settings(frames), code_version("stages.extract_frames")
    # Each child process imports this module, so its imports are loaded once before they start.
    preload(write_store, command, parameters)
    with recorded_run("extract_frames", "", dataset=dataset.name, items=len(found.paths)) as record:
        record["workers"] = at_a_time
        items = extract_videos(found.paths, settings=settings, code=code, workers=at_a_time, rates=found.rates)
        record["new"] = sum(item.is_new for item in items.values())
        packs = None if dataset.pack == "none" else dataset.pack
        with replace_folder(out, write_store.FILES) as folder:
            told = write_store.write_store(folder, items, found, root=root, frames=frames, packs=packs)
    print(f"{out}: {told}")


if __name__ == "__main__":
    run(app)

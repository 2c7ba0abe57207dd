"""Packs of the frame store: one Arrow IPC file with the record batches of many short videos.

Kinetics has hundreds of thousands of clips; with one file each they are slow to list, to cache and to send. The videos
of a pack follow each other in the order of their ids, each with the unchanged batches of its own file. The metadata of
a video's last batch also holds its id. A pack's bytes depend only on its videos.
"""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from pipeline.base.files import atomic_path
from pipeline.video.store import FRAMES, VIDEO


def write_pack(path: Path, videos: Iterable[tuple[str, Path]]) -> None:
    """Write the pack of some videos atomically, one record batch in memory at a time.

    Args:
        path: the file to be made.
        videos: (video id, the video's own file), in order of the ids.
    """
    with (
        atomic_path(path, read_only=True) as partial,
        pa.OSFile(str(partial), "wb") as sink,
        pa.ipc.new_file(sink, FRAMES) as pack,
    ):
        for video_id, source in videos:
            with pa.memory_map(str(source)) as mapped, pa.ipc.open_file(mapped) as reader:
                last = reader.num_record_batches - 1
                for number in range(last):
                    pack.write_batch(reader.get_batch(number))
                part = reader.get_batch_with_custom_metadata(last)
                pack.write_batch(part.batch, custom_metadata={**part.custom_metadata, VIDEO: video_id.encode()})

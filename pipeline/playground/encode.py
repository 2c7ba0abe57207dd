"""Encode H.264 in MP4 with libx264, such that the same frames give the same bytes."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

# One thread: the number of threads changes the bytes. mbtree reads uninitialised memory, so its result varies
# from run to run. bitexact leaves out the tags that name the encoder.
CODEC_OPTIONS = {"preset": "veryfast", "crf": "24", "threads": "1", "flags": "+bitexact", "x264-params": "mbtree=0"}


def write_video(path: Path, stacks: Iterable[np.ndarray], *, fps: int) -> int:
    """Encode frames and return how many there were.

    Args:
        path: the MP4 file.
        stacks: uint8 [F, height, width, 3], RGB; sides must be even.
        fps: frames per second.
    """
    count = 0
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options=dict(CODEC_OPTIONS))
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 2 * fps
        for stack in stacks:
            if count == 0:
                stream.height, stream.width = stack.shape[1:3]
            for image in stack:
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts = count
                frame.time_base = Fraction(1, fps)
                container.mux(stream.encode(frame))
                count += 1
        container.mux(stream.encode(None))
    return count

"""Cameras for tests: one that is made of frames, and a server that serves a film as a stream."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.predict.camera import CameraLost, Taken
from pipeline.video.decode import Picture, decode_pictures
from pipeline.video.probe import UPRIGHT, probe_video


def frames_of(path: Path) -> list[Taken]:
    """All frames of a film, as a camera gives them."""
    media = probe_video(path)
    frames = decode_pictures(path, media)
    return [Taken(seconds, media.end_seconds(seconds) - seconds, picture) for seconds, picture in frames]


def picture_of(rgb: NDArray[np.uint8]) -> Picture:
    """A picture that shows this [height, width, 3]."""
    return Picture(av.VideoFrame.from_ndarray(rgb, format="rgb24"), rgb.shape[0], rgb.shape[1], UPRIGHT)


class FakeCamera:
    """Gives frames as fast as they are taken; may vanish after some of them."""

    def __init__(self, frames: Sequence[Taken], *, name: str = "camera:0", lost_after: int | None = None) -> None:
        self.name, self.given, self.is_closed = name, 0, False
        self._frames, self._lost_after = frames, lost_after

    def frames(self) -> Iterator[Taken]:
        for number, frame in enumerate(self._frames):
            if number == self._lost_after:
                raise CameraLost(f"{self.name}: was lost after {frame.seconds:.1f} s: No such device")
            self.given += 1
            yield frame

    def close(self) -> None:
        self.is_closed = True


@contextlib.contextmanager
def served(data: bytes, *, seconds: float = 0.0, broken_at: int | None = None, hang: bool = False) -> Iterator[str]:
    """Serve bytes evenly over some seconds at an address of this machine; broken off, or silent, after some of them."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
            self.send_response(206 if "Range" in self.headers else 200)
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - first))
            self.send_header("Connection", "close")
            self.end_headers()
            end = len(data) if broken_at is None else broken_at
            parts = 20
            with contextlib.suppress(ConnectionError):
                for part in range(parts):
                    self.wfile.write(data[max(first, end * part // parts) : end * (part + 1) // parts])
                    self.wfile.flush()
                    time.sleep(seconds / parts)
            if hang:
                stop.wait(30)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/film"
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join()

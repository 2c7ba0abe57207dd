"""Write a film again with what was predicted drawn on it: H.264, with its times, size and sound."""

import contextlib
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from pipeline.base.errors import InputError, counted
from pipeline.base.files import atomic_path, digest_file, refuse_special
from pipeline.predict.drawing import draw_scene
from pipeline.predict.moving import film_scene
from pipeline.predict.predicted import Predicted
from pipeline.predict.sound import Sound
from pipeline.video.decode import decode_video
from pipeline.video.probe import DecodeError, Media, open_video, probe_video

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
# One thread: the number of threads changes the bytes. mbtree reads uninitialised memory, so its result varies from run
# to run. bitexact leaves out the tags that name the encoder.
CODEC_OPTIONS = {
    "preset": "veryfast",
    "crf": "20",
    "threads": "1",
    "flags": "+bitexact",
    "x264-params": "mbtree=0:log-level=-1",
}
KEYFRAME_SECONDS = 2
BT709 = 1
"Of colour primaries and of the transfer function."


def render_film(predicted: Predicted, video_id: str, out: Path, *, source: Path | None = None) -> int:
    """Write a film with boxes, ids, actions and strips of time, and return how many frames it has.

    Every frame of the source is there at its time, turned as it is displayed. H.264 has even sizes, so an odd width or
    height grows by one pixel. Sound is copied where the new file can hold it, else encoded again as AAC. The same
    film and predictions give the same bytes.

    Args:
        predicted: what was predicted.
        video_id: which of its films.
        out: the file to be written, by the end of its name MP4, MOV or Matroska.
        source: where the film is; None takes the place where it was read.

    Raises:
        InputError: there is no such film, it is another one than was predicted, or it is `out` itself.
        DecodeError: the film cannot be decoded.
    """
    film = _film(predicted, video_id)
    source = source or Path(film["path"])
    _check_source(source, film)
    if out.exists() and out.samefile(source):
        raise InputError(f"{out}: is the film itself; choose another name")
    media = probe_video(source)
    scene = film_scene(predicted, video_id)
    duration_seconds = float(film["duration_seconds"])
    with atomic_path(out) as partial, contextlib.ExitStack() as opened:
        target = _open_target(opened, partial, out)
        frames = decode_video(source, media, decoder="pyav")
        first = next(frames, None)
        if first is None:
            raise DecodeError(source, found="no frame that can be decoded", expected="at least one")
        writer = _Writer(target, media, first[1].shape[:2], _shape_ratio(source, first[1]))
        sounds = _sounds(opened, source, target, media)
        for seconds, frame in chain([first], frames):
            draw_scene(frame, scene, seconds, duration_seconds)
            writer.write(frame, seconds)
            for sound in sounds:
                sound.write_until(seconds)
        writer.finish()
        for sound in sounds:
            sound.finish()
    return writer.frames


def check_free(out: Path, *, force: bool) -> None:
    """Check that a film may be written under a name.

    Raises:
        InputError: its end does not say which kind of file it is; or something is there, unless it is a file and
            `force` is set.
    """
    if out.suffix.lower() not in FORMATS:
        raise InputError(f"{out}: ends with '{out.suffix}', expected one of {', '.join(FORMATS)}")
    if out.is_dir():
        raise InputError(f"{out}: is a folder, expected the name of a film")
    refuse_special(out)
    if out.exists() and not force:
        raise InputError(f"{out}: is there; --force replaces it")


def only_film(predicted: Predicted, folder: Path) -> str:
    """Return the video_id of the one film.

    Args:
        predicted: what was predicted.
        folder: where it was read, for the message.

    Raises:
        InputError: there is none, or there are several.
    """
    ids: list[str] = predicted.videos["video_id"].to_pylist()
    if len(ids) != 1:
        named = f" ({_some(ids)})" if ids else ""
        raise InputError(f"{folder}: holds {counted(len(ids), 'film')}{named}; --video says which one")
    return ids[0]


def _film(predicted: Predicted, video_id: str) -> dict[str, Any]:
    for row in predicted.videos.to_pylist():
        if row["video_id"] == video_id:
            return dict(row)
    raise InputError(f"--video: no film is called {video_id}: found {_some(predicted.videos['video_id'].to_pylist())}")


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")


def _check_source(source: Path, film: dict[str, Any]) -> None:
    if source.is_dir():
        raise InputError(f"{source}: is a folder of pictures, which is not rendered; expected a film in one file")
    if not source.is_file():
        raise InputError(f"{source}: no such file; --source says where the film {film['video_id']} is now")
    if (found := digest_file(source)) != film["sha256"]:
        raise InputError(
            f"{source}: is another film than was predicted: sha256 {found[:12]}, expected {film['sha256'][:12]}"
        )


def _open_target(opened: contextlib.ExitStack, partial: Path, out: Path) -> Any:
    kind = FORMATS[out.suffix.lower()]
    options = {"fflags": "+bitexact"}
    if kind != "matroska":
        options["movflags"] = "+faststart"
    return opened.enter_context(av.open(str(partial), "w", format=kind, options=options))


def _sounds(opened: contextlib.ExitStack, source: Path, target: Any, media: Media) -> list[Sound]:
    """Add the streams of sound of a film, each read on its own."""
    with av.open(str(source), metadata_errors="replace") as container:
        count = sum(1 for each in container.streams.audio if each.codec_context is not None)
    sounds = []
    for number in range(count):
        container = opened.enter_context(av.open(str(source), metadata_errors="replace"))
        streams = [each for each in container.streams.audio if each.codec_context is not None]
        start = Fraction(media.start) * media.time_base
        sounds.append(Sound(container, streams[number], target, start))
    return sounds


def _shape_ratio(source: Path, frame: NDArray[np.uint8]) -> Fraction | None:
    """Return width to height of a pixel of the film as it is displayed; None if pixels are square."""
    with open_video(source) as (_, stream):
        ratio = stream.sample_aspect_ratio
        if not ratio or ratio == 1:
            return None
        is_turned = frame.shape[:2] == (stream.width, stream.height) and stream.width != stream.height
        return 1 / Fraction(ratio) if is_turned else Fraction(ratio)


class _Writer:
    """Encodes frames at their times."""

    def __init__(self, target: Any, media: Media, size: tuple[int, ...], ratio: Fraction | None) -> None:
        self.frames = 0
        self._target, self._media, self._last = target, media, -1
        self._reformatter = VideoReformatter()
        rate = Fraction(1 / media.frame_seconds).limit_denominator(1001)
        self._stream: Any = target.add_stream("libx264", rate=rate, options=dict(CODEC_OPTIONS))
        self._stream.height, self._stream.width = (side + side % 2 for side in size)
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = media.time_base
        context = self._stream.codec_context
        context.time_base = media.time_base
        context.gop_size = max(1, round(KEYFRAME_SECONDS * rate))
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries = context.color_trc = BT709
        if ratio is not None:
            context.sample_aspect_ratio = ratio

    def write(self, frame: NDArray[np.uint8], seconds: float) -> None:
        """Encode a frame [height, width, 3] that is displayed from a time on."""
        picture = av.VideoFrame.from_ndarray(_with_even_sides(frame), format="rgb24")
        picture = self._reformatter.reformat(
            picture,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC,
            threads=1,
        )
        base = self._media.time_base
        picture.time_base = base
        picture.pts = self._last = max(self._last + 1, round(seconds / base))
        picture.duration = max(1, round((self._media.end_seconds(seconds) - seconds) / base))
        self._target.mux(self._stream.encode(picture))
        self.frames += 1

    def finish(self) -> None:
        """Write what the encoder holds back."""
        self._target.mux(self._stream.encode(None))


def _with_even_sides(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return frame

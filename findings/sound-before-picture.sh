#!/bin/sh
# A film whose sound begins one second before its picture, as cutting without decoding and many recorders leave it
# (mostly by some tens of milliseconds).
#
# One would expect: a moment of the film has one time, and frame n is the same picture for all readers.
# What happens: PyAV says that the first picture is shown at 1.0 s, as the file's clock does. decord and OpenCV say
#   0.0: they subtract where the picture begins. imageio-ffmpeg fills the missing second with 25 copies of the first
#   picture, so that its frame 25 is frame 0 of the others, and its own `count_frames_and_secs` says 60 where it gives
#   85. Without the sound track, imageio-ffmpeg too gives 60 and begins with the first picture.
# Who meets it: whoever joins times of a player (an annotation tool's, which follows the file's clock) with frames of
#   decord or OpenCV, or frame numbers of imageio-ffmpeg with anybody's.
# What to do: write down which zero is meant. Subtract the time of the first frame that PyAV tells from a player's
#   times before they are used with decord or OpenCV. Remove the sound before counting frames with imageio-ffmpeg.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
uv venv --quiet --python '>=3.11,<3.13' "$dir/venv"
uv pip install --quiet --python "$dir/venv/bin/python" \
    av==18.1.0 decord==0.6.0 imageio-ffmpeg==0.8.1 numpy==2.4.6 opencv-python-headless==5.0.0.93
cd "$dir"
venv/bin/python - <<'END'
import subprocess
import sys
from importlib.metadata import version

import av
import cv2
import decord
import imageio_ffmpeg
import numpy as np

FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"]

# 60 grey pictures at 25 per second, each 3 levels brighter than the one before.
pictures = np.repeat(30 + 3 * np.arange(60, dtype=np.uint8), 320 * 240)
raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", "320x240", "-r", "25", "-i", "-", "-pix_fmt", "yuv420p"]
subprocess.run([*FFMPEG, *raw, "-c:v", "libx264", "picture.mp4"], input=pictures.tobytes(), check=True)
sound = ["-f", "lavfi", "-i", "sine=duration=4"]
copies = ["-map", "0:v", "-c:v", "copy"]
subprocess.run([*FFMPEG, "-itsoffset", "1", "-i", "picture.mp4", *copies, "silent.mp4"], check=True)
late = [*FFMPEG, "-itsoffset", "1", "-i", "picture.mp4", *sound, *copies, "-map", "1:a", "-c:a", "aac", "film.mp4"]
subprocess.run(late, check=True)


def imageio_numbers(path: str) -> list[int]:
    frames = imageio_ffmpeg.read_frames(path)
    next(frames)
    return [round((np.frombuffer(each, np.uint8).mean() - 30) / 3) for each in frames]


film = cv2.VideoCapture("film.mp4")
film.read()
numbers = imageio_numbers("film.mp4")
seen = {
    "PyAV: first picture at": next(av.open("film.mp4").decode(video=0)).time,
    "decord: first picture at": float(decord.VideoReader("film.mp4").get_frame_timestamp(0)[0]),
    "OpenCV: first picture at": film.get(cv2.CAP_PROP_POS_MSEC) / 1000,
    "imageio-ffmpeg: frames": len(numbers),
    "imageio-ffmpeg: picture of frame 24, 25, 26": numbers[24:27],
    "imageio-ffmpeg: frames that it counts": imageio_ffmpeg.count_frames_and_secs("film.mp4")[0],
    "imageio-ffmpeg: frames without the sound": len(imageio_numbers("silent.mp4")),
}
for name in ("av", "decord", "opencv-python-headless", "imageio-ffmpeg"):
    print(name, version(name))
print("expected: the first picture at 1.0 s for all (or at 0.0 for all), 60 frames, frame n shows picture n")
print(*(f"seen:     {key} {value}" for key, value in seen.items()), sep="\n")
stated = [1.0, 0.0, 0.0, 85, [0, 0, 1], 60, 60]
sys.exit(0 if list(seen.values()) == stated else f"no longer so; stated: {stated}")
END

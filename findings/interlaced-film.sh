#!/bin/sh
# An ordinary interlaced film (camcorders, broadcast, old surveillance recorders): H.264 4:2:0, top field first.
#
# One would expect: a newer OpenCV reads it as an older one did, or `read()` returns False.
# What happens: since the wheels hold FFmpeg 8 (4.13.0.92, and 5.0.0.93 too), `read()` returns True for every frame and
#   no frame holds the film's picture: the FFmpeg inside refuses the conversion to BGR ("Cannot convert interlaced to
#   progressive frames"), which is a line on stderr and nothing more. Number, size, rate and times of the frames are
#   right. 4.12.0.88 reads the same file correctly.
# Who meets it: detectors and trackers that read with OpenCV and were updated. They find nobody in such films, which
#   looks like an empty scene, not like a fault.
# What to do: keep OpenCV below 4.13 for films that FFmpeg calls "top first" or "bottom first", or read them with PyAV
#   or decord; or deinterlace first. Look at one frame of each film.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cat > "$dir/film.py" <<'END'
import subprocess

import imageio_ffmpeg
import numpy as np

# A bright band moves down over a grey picture, 25 frames.
pictures = np.full((25, 240, 320), 60, np.uint8)
for number, picture in enumerate(pictures):
    picture[8 * number : 8 * number + 40] = 200
raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", "320x240", "-r", "25", "-i", "-", "-pix_fmt", "yuv420p"]
fields = ["-c:v", "libx264", "-flags", "+ilme+ildct", "-x264-params", "interlaced=1:tff=1"]
ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"]
subprocess.run([*ffmpeg, *raw, *fields, "-vf", "setfield=tff", "film.mp4"], input=pictures.tobytes(), check=True)
np.save("pictures.npy", pictures)
END
cat > "$dir/read.py" <<'END'
import sys

import cv2
import numpy as np

pictures = np.load("pictures.npy").astype(int)
film = cv2.VideoCapture("film.mp4")
read, differences = 0, []
while True:
    taken, frame = film.read()
    if not taken:
        break
    differences.append(np.abs(frame.mean(axis=2) - pictures[read]).mean())
    read += 1
right = sum(bool(each < 5) for each in differences)
print(f"OpenCV {cv2.__version__}: {read} frames read, {right} of them the film's")
sys.exit(0 if (read, right) == (25, int(sys.argv[1])) else f"no longer so; stated: {sys.argv[1]} of 25")
END
cd "$dir"
for each in "4.12.0.88 25" "4.13.0.92 0" "5.0.0.93 0"; do
    opencv=${each% *} right=${each#* }
    uv venv --quiet --clear --python '>=3.11,<3.13' venv
    uv pip install --quiet --python venv/bin/python numpy==2.2.6 imageio-ffmpeg==0.8.1 "opencv-python-headless==$opencv"
    venv/bin/python film.py
    echo "opencv-python-headless $opencv, imageio-ffmpeg 0.8.1; expected: 25 frames read, all of them the film's"
    venv/bin/python read.py "$right" 2> stderr || { tail -3 stderr; exit 1; }
    grep -o -m 1 'Cannot convert.*' stderr || true
done

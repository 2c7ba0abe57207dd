#!/bin/sh
# decord and PyAV in one process, in either order. Both wheels bring a libvpx of their own.
#
# One would expect: the order of two imports makes no difference.
# What happens: after `import decord`, PyAV cannot encode VP8 or VP9 any more: "Failed to initialize encoder: ABI version
#   mismatch" in its log, which is off by default, and the exception says "Invalid argument". decord loads its libraries
#   so that their names count for the whole process, and PyAV's FFmpeg takes decord's older libvpx for its own. With
#   `import av` first both work. H.264 works in either order.
# Who meets it: whoever reads films with decord and writes WebM with PyAV, and sees a program break when imports are
#   sorted or a new module imports decord first.
# What to do: import av before decord, or let decord work in a process of its own.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
uv venv --quiet --python '>=3.11,<3.13' "$dir/venv"
uv pip install --quiet --python "$dir/venv/bin/python" av==18.1.0 decord==0.6.0 numpy==2.4.6
cd "$dir"
cat > encode.py <<'END'
import importlib
import sys

for name in sys.argv[1:]:
    importlib.import_module(name)
import av
import av.logging
import numpy as np

av.logging.set_level(av.logging.ERROR)
found = []
for codec, name in (("libx264", "h264.mp4"), ("libvpx", "vp8.webm"), ("libvpx-vp9", "vp9.webm")):
    frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
    with av.logging.Capture() as log:
        try:
            with av.open(name, "w") as film:
                stream = film.add_stream(codec, rate=10, width=64, height=64, pix_fmt="yuv420p")
                for packet in [*stream.encode(frame), *stream.encode()]:
                    film.mux(packet)
            found.append(f"{codec} encoded")
        except av.error.ArgumentError:
            found.append(f"{codec} refused ({log[0][2].strip()})")
print(", ".join(found))
END
venv/bin/python - <<'END'
import subprocess
import sys
from importlib.metadata import version

print("av", version("av"), "decord", version("decord"))
seen = {}
for order in (("av", "decord"), ("decord", "av")):
    words = [sys.executable, "encode.py", *order]
    seen[order] = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    print(f"{order[0]} first: {seen[order]}")
mismatch = "refused (Failed to initialize encoder: ABI version mismatch)"
ok = seen[("av", "decord")] == "libx264 encoded, libvpx encoded, libvpx-vp9 encoded"
ok &= seen[("decord", "av")] == f"libx264 encoded, libvpx {mismatch}, libvpx-vp9 {mismatch}"
print("as described" if ok else "this has changed: look at the script again")
sys.exit(not ok)
END

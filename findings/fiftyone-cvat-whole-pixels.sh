#!/bin/sh
# CVAT for video 1.1 with boxes in hundredths of a pixel, as CVAT writes them, read by FiftyOne.
#
# One would expect: the sides that stand in the file; FiftyOne holds a box as fractions of the frame, with all digits.
# What happens: each side is rounded to a whole pixel before it becomes a fraction. A person who is 12.50 pixels wide may
#   be 13 wide, and a box may be half a pixel off on every side, without a word.
# Who meets it: whoever brings small persons from CVAT to FiftyOne. At 20 pixels a rounded box has an IoU of 0.90 with its
#   own, and a track that moves slowly stands still and jumps.
# What to do: read the sides from the XML; a film scaled up before it is annotated loses less.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
uv venv --quiet --python '>=3.11,<3.13' "$dir/venv"
uv pip install --quiet --python "$dir/venv/bin/python" fiftyone==1.22.1
cd "$dir"
HOME="$dir" FIFTYONE_DO_NOT_TRACK=1 venv/bin/python - <<'END' 2> log || { tail -3 log; exit 1; }
import sys
from importlib.metadata import version
from pathlib import Path

from fiftyone.utils.cvat import load_cvat_video_annotations

WIDTH, HEIGHT, BOX = 320, 240, (10.5, 20.49, 23.0, 40.51)
FILE = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <size>10</size>
      <labels><label><name>person</name><attributes></attributes></label></labels>
      <original_size><width>{}</width><height>{}</height></original_size>
      <source>film.mp4</source>
    </task>
  </meta>
  <track id="0" label="person" source="manual">
    <box frame="0" keyframe="1" outside="0" occluded="0" xtl="{}" ytl="{}" xbr="{}" ybr="{}" z_order="0"></box>
    <box frame="1" keyframe="1" outside="1" occluded="0" xtl="{}" ytl="{}" xbr="{}" ybr="{}" z_order="0"></box>
  </track>
</annotations>
"""
Path("film.xml").write_text(FILE.format(WIDTH, HEIGHT, *BOX, *BOX))
(track,) = load_cvat_video_annotations("film.xml")[-1]
labels = track.to_labels()
(found,) = labels.values()
x, y, width, height = found.bounding_box
seen = [round(each, 6) for each in (x * WIDTH, y * HEIGHT, (x + width) * WIDTH, (y + height) * HEIGHT)]
print("fiftyone", version("fiftyone"))
print("expected: sides", list(BOX))
print("seen:     sides", seen)
stated = [10.0, 20.0, 23.0, 41.0]
sys.exit(0 if seen == stated else f"no longer so; stated: sides {stated}")
END

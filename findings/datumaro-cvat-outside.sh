#!/bin/sh
# CVAT for video 1.1, a person who leaves: the track ends with a box `outside="1"`, as CVAT writes it. Read by Datumaro
# and written as MOT and as COCO.
#
# One would expect: the person is there on frames 0 to 2, and not on frame 3, where `outside` says that they are gone.
# What happens: the box on frame 3 is a box like any other. Datumaro keeps `outside: true` as an attribute, and formats
#   without attributes (MOT, for one) lose it: one box too many at the end of every stretch in which somebody is seen.
#   COCO has it under `attributes`, which few readers look at.
# Who meets it: whoever turns CVAT videos into training data with Datumaro: as many false boxes as people leave.
# What to do: remove the annotations whose attribute `outside` is true before the export.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
uv venv --quiet --python '>=3.11,<3.13' "$dir/venv"
uv pip install --quiet --python "$dir/venv/bin/python" datumaro==1.13.12 numpy==2.4.6
cd "$dir"
venv/bin/python - <<'END' 2> log || { tail -3 log; exit 1; }
import json
import sys
from importlib.metadata import version
from pathlib import Path

from datumaro.components.dataset import Dataset

BOX = """<box frame="{0}" keyframe="{1}" outside="{2}" occluded="0" xtl="{3}.00" ytl="20.00" xbr="60.00" ybr="120.00" z_order="0">
      <attribute name="action">walk</attribute>
    </box>"""
FILE = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <name>film</name>
      <size>6</size>
      <mode>interpolation</mode>
      <start_frame>0</start_frame>
      <stop_frame>5</stop_frame>
      <labels>
        <label>
          <name>person</name>
          <attributes>
            <attribute>
              <name>action</name>
              <mutable>True</mutable>
              <input_type>select</input_type>
              <default_value>walk</default_value>
              <values>walk\nsit</values>
            </attribute>
          </attributes>
        </label>
      </labels>
      <original_size><width>320</width><height>240</height></original_size>
      <source>film.mp4</source>
    </task>
  </meta>
  <track id="0" label="person" source="manual">
    %s
  </track>
</annotations>
"""
boxes = [BOX.format(frame, keyframe, outside, 10 + frame) for frame, keyframe, outside in
         [(0, 1, 0), (1, 0, 0), (2, 0, 0), (3, 1, 1)]]
Path("cvat").mkdir()
Path("cvat/film.xml").write_text(FILE % "\n    ".join(boxes))

data = Dataset.import_from("cvat", "cvat")
data.export("mot", "mot_seq_gt")
data.export("coco", "coco_instances")
mot = [int(row.split(",")[0]) - 1 for row in Path("mot/gt/gt.txt").read_text().splitlines()]
coco = json.loads(next(Path("coco/annotations").glob("*.json")).read_text())["annotations"]
outside = [each["attributes"]["outside"] for each in coco]
print("datumaro", version("datumaro"))
print("expected: boxes on frames [0, 1, 2]")
print("seen:     MOT, boxes on frames", mot)
print("seen:     COCO,", len(coco), "boxes; attribute outside:", outside)
stated = [0, 1, 2, 3]
right = mot == stated and outside == [False, False, False, True]
sys.exit(0 if right else f"no longer so; stated: boxes on frames {stated}")
END

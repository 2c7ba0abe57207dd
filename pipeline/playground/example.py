"""Make a folder like that of a user with own films: several frame rates, CVAT files, no boxes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from pipeline.base.files import replace_folder, write_text
from pipeline.playground.actions import CLASSES, MOMENTARY
from pipeline.playground.canvas import WORLD_HEIGHT
from pipeline.playground.encode import write_video
from pipeline.playground.render import keyframe_boxes, render
from pipeline.playground.script import Script, write_script

SEED = 7
SECONDS = 40
WIDTH, HEIGHT = 160, 120
ACTIONS = tuple(each.name for each in CLASSES[: len(MOMENTARY)])


@dataclass(frozen=True)
class Example:
    """One film of the folder."""

    name: str
    fps: int


FILMS = (Example("hall", 15), Example("yard", 24), Example("stage", 25), Example("street", 30))


def make_example(folder: Path, films: Sequence[Example] = FILMS, *, seconds: int = SECONDS) -> None:
    """Write `videos/<name>.mp4` and `annotations/<name>.xml` below a folder, the same bytes every time.

    The camera stands still, so that the detector without weights finds the persons.
    """
    with replace_folder(folder / "videos") as videos, replace_folder(folder / "annotations") as annotations:
        for index, film in enumerate(films):
            world_width = WORLD_HEIGHT * WIDTH / HEIGHT
            script = write_script(
                SEED, "train", index, min_seconds=seconds, max_seconds=seconds, world_width=world_width
            )
            script = replace(script, fps=film.fps, cuts=(), empty=(), excluded=(), still=True)
            frames = render(script, seed=SEED, width=WIDTH, height=HEIGHT)
            write_video(videos / f"{film.name}.mp4", frames, fps=film.fps)
            write_text(annotations / f"{film.name}.xml", cvat_xml(film.name, script))


def cvat_xml(name: str, script: Script) -> str:
    """Return what CVAT for video 1.1 exports for a film: a track for each figure, with a box set in every second."""
    frames = [int((second + 0.5) * script.fps) for second in range(script.seconds)]
    boxes = keyframe_boxes(script, SEED, np.array(frames) / script.fps) * [WIDTH, HEIGHT, WIDTH, HEIGHT]
    actions = {
        (second, figure): ACTIONS[ids[0] - 1]
        for second in range(script.seconds)
        for figure, ids in script.labels(second)
    }
    tracks = "".join(
        f'  <track id="{figure}" label="person" source="manual">\n'
        + "".join(
            _box(frame, boxes[second, figure].tolist(), actions[second, figure]) for second, frame in enumerate(frames)
        )
        + "  </track>\n"
        for figure in range(len(script.figures))
    )
    size = script.seconds * script.fps
    values = "\n".join(map(escape, ACTIONS))
    return f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <name>{name}</name>
      <size>{size}</size>
      <mode>interpolation</mode>
      <labels>
        <label>
          <name>person</name>
          <attributes>
            <attribute>
              <name>action</name>
              <mutable>True</mutable>
              <input_type>select</input_type>
              <default_value>{escape(ACTIONS[0])}</default_value>
              <values>{values}</values>
            </attribute>
          </attributes>
        </label>
      </labels>
      <segments><segment><id>1</id><start>0</start><stop>{size - 1}</stop></segment></segments>
      <original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size>
      <source>{name}.mp4</source>
    </task>
  </meta>
{tracks}</annotations>
"""


def _box(frame: int, xyxy: list[float], action: str) -> str:
    sides = " ".join(f'{key}="{value:.2f}"' for key, value in zip(("xtl", "ytl", "xbr", "ybr"), xyxy, strict=True))
    return (
        f'    <box frame="{frame}" outside="0" occluded="0" keyframe="1" {sides}>'
        f'<attribute name="action">{escape(action)}</attribute></box>\n'
    )

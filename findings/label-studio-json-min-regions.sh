#!/bin/sh
# Label Studio, persons as boxes in a video, each with an action as a choice per region; exported as JSON-MIN.
#
# One would expect: JSON-MIN is a shorter JSON: who does what can still be told.
# What happens: boxes and choices become two lists, and neither holds the id that joined them. Two projects that say
#   the opposite of each other (left walks and right sits; left sits and right walks) give the same bytes: the choices
#   stand in the order in which somebody clicked them. JSON keeps the ids.
# Who meets it: whoever exports JSON-MIN because it is easier to read, and joins the two lists by their order.
# What to do: export JSON, join the results by `id`.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
uv venv --quiet --python '>=3.11,<3.13' "$dir/venv"
uv pip install --quiet --python "$dir/venv/bin/python" label-studio-sdk==2.1.2
cd "$dir"
venv/bin/python - <<'END'
import json
import sys
from importlib.metadata import version
from pathlib import Path

from label_studio_sdk.converter import Converter

CONFIG = """<View>
  <Video name="video" value="$video"/>
  <VideoRectangle name="box" toName="video"/>
  <Labels name="label" toName="video"><Label value="person"/></Labels>
  <Choices name="action" toName="video" perRegion="true"><Choice value="walk"/><Choice value="sit"/></Choices>
</View>"""
LEFT_EDGES = {"left": 10, "right": 60}


def result(person: str, kind: str, **more: list[str]) -> dict:
    box = {"frame": 1, "time": 0.04, "enabled": True, "rotation": 0, "y": 20, "width": 20, "height": 50}
    value = {"framesCount": 50, "duration": 2.0, "sequence": [{**box, "x": LEFT_EDGES[person]}], **more}
    name = {"videorectangle": "box", "labels": "label", "choices": "action"}[kind]
    return {"id": person, "from_name": name, "to_name": "video", "type": kind, "origin": "manual", "value": value}


def export(name: str, actions: dict[str, str]) -> tuple[str, str]:
    results = [result(each, "videorectangle") for each in ("left", "right")]
    results += [result(each, "labels", labels=["person"]) for each in ("left", "right")]
    # In the order in which they were clicked.
    results += [result(person, "choices", choices=[action]) for person, action in actions.items()]
    annotation = {"id": 1, "completed_by": 1, "created_at": "2026-01-01T00:00:00Z", "result": results}
    tasks = Path(f"{name}.json")
    tasks.write_text(json.dumps([{"id": 1, "data": {"video": "film.mp4"}, "annotations": [annotation]}]))
    converter = Converter(CONFIG, ".")
    converter.convert_to_json_min(str(tasks), f"{name}_min", is_dir=False)
    converter.convert_to_json(str(tasks), f"{name}_whole", is_dir=False)
    return Path(f"{name}_min/result.json").read_text(), Path(f"{name}_whole/result.json").read_text()


one, one_whole = export("one", {"left": "walk", "right": "sit"})
other, other_whole = export("other", {"right": "walk", "left": "sit"})
exported = json.loads(one)[0]
print("label-studio-sdk", version("label-studio-sdk"))
print("expected: JSON-MIN of 'left walks, right sits' differs from that of 'right walks, left sits', as JSON does")
print("seen:     JSON differs:", one_whole != other_whole)
print("seen:     JSON-MIN differs:", one != other)
print("seen:     action:", exported["action"], "ids left:", [each for each in exported["box"] if "id" in each])
stated = one == other and one_whole != other_whole and exported["action"] == ["walk", "sit"]
sys.exit(0 if stated else "no longer so; stated: the same bytes in JSON-MIN")
END

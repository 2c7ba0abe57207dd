#!/bin/sh
# Datumaro reads AVA annotations whose label map has gaps in its ids, as the 60 classes have that AVA evaluates
# (1, 3, 4, ...), or as any list of one's own has from which classes were removed. (Datumaro reads the list only if it
# is called `ava_action_list_v2.2.pbtxt`.)
#
# One would expect: `label_id: 3` in the label map names the 3 in the rows.
# What happens: names are counted in the order of the file and the ids of the map are not looked at, so that every row
#   behind the first gap gets the name of a later class, and the last ids name nothing. Its own export writes the
#   wrong pairs of id and name into a new label map; the rows keep their numbers.
# Who meets it: whoever looks at, filters, merges or converts AVA (60 classes) with Datumaro.
# What to do: fill the gaps of the label map with unused names before the import (ids 1 to 80 without a gap are read
#   rightly), and take the original label map after an export.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
uv venv --quiet --python '>=3.11,<3.13' "$dir/venv"
uv pip install --quiet --python "$dir/venv/bin/python" datumaro==1.13.12 numpy==2.4.6 protobuf==7.36.2
cd "$dir"
venv/bin/python - <<'END'
import re
import sys
from importlib.metadata import version
from pathlib import Path

from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset

ROWS = ["film,0902,0.1,0.1,0.5,0.9,1,0", "film,0903,0.1,0.1,0.5,0.9,3,0", "film,0904,0.1,0.1,0.5,0.9,5,0"]


def read(folder: str, classes: dict[int, str]) -> tuple[dict[int, str | None], dict[str, int]]:
    """The name that each id of the rows gets, and the ids in the label map that the export writes."""
    annotations = Path(folder, "annotations")
    annotations.mkdir(parents=True)
    Path(folder, "frames").mkdir()
    entries = [f'label {{\n  name: "{name}"\n  label_id: {number}\n}}\n' for number, name in classes.items()]
    (annotations / "ava_action_list_v2.2.pbtxt").write_text("".join(entries))
    (annotations / "ava_train_v2.2.csv").write_text("\n".join(ROWS) + "\n")
    data = Dataset.import_from(folder, "ava")
    names = [each.name for each in data.categories()[AnnotationType.label]]
    labels = [each.label for item in data for each in item.annotations]
    data.export(f"{folder}_out", "ava", save_dataset_meta=True)
    text = Path(f"{folder}_out", "annotations", "ava_action_list_v2.2.pbtxt").read_text()
    written = {name: int(number) for name, number in re.findall(r'name: "(.*)"\s+label_id: (\d+)', text)}
    return {each: names[each] if each < len(names) else None for each in labels}, written


whole, _ = read("whole", {1: "bend", 2: "crawl", 3: "crouch", 4: "dance", 5: "fall"})
gaps, written = read("gaps", {1: "bend", 3: "crouch", 4: "dance", 5: "fall"})
print("datumaro", version("datumaro"))
expected = {1: "bend", 3: "crouch", 5: "fall"}
print("expected:", expected, "with and without a class 2 in the label map")
print("seen:     with class 2   ", whole)
print("seen:     without class 2", gaps)
print("seen:     label map that it writes", written)
stated = {1: "bend", 3: "dance", 5: None}
right = whole == expected and gaps == stated and written == {"bend": 1, "crouch": 2, "dance": 3, "fall": 4}
sys.exit(0 if right else f"no longer so; stated: {stated} without class 2")
END

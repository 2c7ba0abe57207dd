"""Check pose targets, the choice of objects and the places of persons and objects against AlphAction's.

Upstream draws some of too many rows from torch's generator; here its draws are made in its order. Ours takes the best
objects by score, and lets persons look at all others. A fixture of this kind also says what upstream does at corner
cases of inputs that it does not give (`model_corner_cases`, `no_object_file`): nothing here computes that.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.interop.alphaction_losses import compare_pose_rule, near
from pipeline.interop.compare_fixture import Difference, ParityReport
from pipeline.interop.reading import reading
from pipeline.models.heads.interaction import seat_persons
from pipeline.video.size import scaled_size

OBJECTS, SHORT_SIDE, LONG_SIDE = 5, 256, 464
ROUNDED = 1e-4
"The fixture has boxes with four decimals."
_FEATURES = re.compile(r"RandomState\((\d+)\)\.standard_normal\(\(n, ?(\d+)\)\)")


def is_targets(facts: Mapping[str, Any]) -> bool:
    """Return whether a fixture's JSON is of this kind."""
    return {"pose_rule", "object_transforms_training", "objects_per_person"} <= facts.keys()


def check_targets(path: Path, facts: Mapping[str, Any]) -> ParityReport:
    """Compare targets, losses and metrics, and the objects and persons that upstream chooses.

    Args:
        path: the fixture's JSON; there is no npz.
        facts: what the JSON holds.

    Raises:
        InputError: the fixture is not whole, or has a rule that is not known here.
    """
    with reading(path):
        differences = [
            *compare_pose_rule(facts["pose_rule"]),
            *_compare_chosen(facts["object_transforms_training"]),
            *(_compare_places(number, each) for number, each in enumerate(facts["objects_per_person"])),
            *(_compare_persons(key, each) for key, each in facts.items() if key.startswith("persons_")),
        ]
    words = f"1e-5 |x|, of rounded boxes {ROUNDED:g}"
    return ParityReport(path.stem, str(facts["upstream"]), None, None, differences, words)


def _compare_chosen(cases: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """Compare the size of frames, and which objects are kept: upstream's worst comes first, and none is flipped."""
    found = []
    for number, case in enumerate(cases):
        width, height = case["size_wh"]
        new_height, new_width = scaled_size(height, width, SHORT_SIDE, LONG_SIDE)
        boxes = np.array(case["in_xywh"], np.float64).reshape(-1, 4)
        # Upstream's boxes end at their last pixel.
        boxes[:, 2:] += boxes[:, :2] - 1
        scores = np.array(case["in_scores"] or [], np.float64)
        best = np.argsort(-scores, kind="stable")[:OBJECTS][::-1]
        scaled = boxes[best] * np.tile([new_width / width, new_height / height], 2)
        stated = np.array(case["kept_xyxy"], np.float64).reshape(-1, 4)
        name = f"objects{number}"
        found.append(near(f"{name}/size", [new_width, new_height], case["resized_to"], relative=0))
        found.append(near(f"{name}/kept_xyxy", scaled, stated, relative=0, absolute=ROUNDED))
        found.append(near(f"{name}/kept_scores", scores[best], case["kept_scores"] or [], relative=1e-6))
    return found


def _compare_places(number: int, case: Mapping[str, Any]) -> Difference:
    """Compare the rows of objects that each person sees."""
    rule = _FEATURES.search(case["features"])
    if rule is None:
        raise InputError(f"features are {case['features']!r}, expected RandomState(N).standard_normal((n,channels))")
    objects, persons = torch.tensor(case["objects"]), torch.tensor(case["persons"])
    shape = (int(objects.sum()), int(rule[2]))
    rows = torch.from_numpy(np.random.RandomState(int(rule[1])).standard_normal(shape).astype(np.float32))
    generator = torch.Generator().manual_seed(case["torch_manual_seed"])
    kept = [_draw(each, generator) for each in torch.split(rows, objects.tolist())]
    clip_index = torch.repeat_interleave(torch.tensor([len(each) for each in kept]))
    seats = seat_persons(clip_index, len(persons), OBJECTS, draw=False)
    seen = seats.group(torch.cat(kept))[torch.repeat_interleave(persons)]
    stated = np.array(case["out"], np.float64).reshape(case["out_shape"])[..., 0, 0, 0]
    return near(f"objects_per_person{number}", seen, stated, relative=0, absolute=1e-5)


def _compare_persons(name: str, case: Mapping[str, Any]) -> Difference:
    """Compare which persons of a clip with too many all others look at."""
    persons, places, *_ = case["out_shape"]
    generator = torch.Generator().manual_seed(case["torch_manual_seed"])
    kept = _draw(torch.arange(persons), generator, places)
    seats = seat_persons(torch.zeros(places, dtype=torch.int64), 1, places, draw=False)
    seen = seats.group(kept)[torch.zeros(persons, dtype=torch.int64)]
    stated = np.tile(case["permutation_first25"], (persons, 1))
    if not case["same_subset_for_every_query"]:
        raise InputError(f"{name}: queries see different persons, which is not known here")
    return near(f"{name}/permutation", seen, stated, relative=0)


def _draw(rows: Tensor, generator: torch.Generator, places: int = OBJECTS) -> Tensor:
    """Return the rows of a clip; of more than there are places, those that upstream draws."""
    return rows if len(rows) <= places else rows[torch.randperm(len(rows), generator=generator)[:places]]

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.plain_hiera import Sizes
from pipeline.base.errors import InputError
from pipeline.interop.check_fixture import check_fixture
from tests.interop.changed_fixture import changed
from tests.interop.made_hiera import SMALL, fixture
from tests.parity import FOLDER

BASE = FOLDER.parent / "hiera" / "hiera_base_16x224.json"


@pytest.mark.slow
def test_every_number_is_upstreams() -> None:
    report = check_fixture(BASE)
    assert report.passed
    assert report.parameters == (171_004_944, 171_004_944)
    assert report.largest < 2e-5
    assert sum(each.values for each in report.differences) == 9_325


def test_upstreams_numbers_of_base_plus_at_a_small_size(tmp_path: Path) -> None:
    facts = json.loads(BASE.read_text())
    name = "base_plus_16x64x96"
    path = tmp_path / "part.json"
    path.write_text(json.dumps({key: facts[key] for key in ("upstream", name, "video_parameters")}))
    with np.load(BASE.with_suffix(".npz")) as arrays:
        np.savez(path.with_suffix(".npz"), **{key: arrays[key] for key in arrays if key.startswith(name)})
    report = check_fixture(path)
    assert report.passed
    assert report.parameters == (69_084_016, 69_084_016)
    assert {"video_parameters/tiny", f"{name}/logits", f"{name}/roi_pooled"} < {e.tensor for e in report.differences}


def test_other_networks_are_checked_too(tmp_path: Path) -> None:
    tall, long = Sizes((2, 1, 2, 1), 12, 1, 1, 24, 8), Sizes((1, 1, 1, 1), 8, 4, 3, 8, 24)
    report = check_fixture(fixture(tmp_path, {"small": SMALL, "tall": tall, "long": long}))
    assert report.passed
    assert report.largest < 2e-5
    assert len(report.differences) == 3 * 11


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fixture(tmp_path_factory.mktemp("made"), {"small": SMALL}, upstream="other numbers")


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"stage_ends": [0, 2, 3, 4]}, "small/stage_ends"),
        ({"drop_path_all_zero": False}, "small/drop_path_all_zero"),
        ({"pos_embed_shapes": {"pos_embed_temporal": [1, 3, 8]}}, "small/pos_embed_temporal"),
        ({"clip": "RandomState(4).standard_normal((1, 3, 4, 64, 32)) float32"}, "small/logits"),
    ],
)
def test_a_number_that_is_another_is_found(made: Path, changes: dict[str, Any], wrong: str) -> None:
    report = check_fixture(changed(made, ["small"], **changes))
    assert wrong in [each.tensor for each in report.differences if not each.within]


@pytest.mark.parametrize(
    ("block", "changes", "message"),
    [
        ("small.config", {"mask_unit_size": [1, 4, 4]},
         r"small\.config\.mask_unit_size is \[1, 4, 4\], supported: \[1, 8, 8\]"),
        ("small.config", {"input_size": [3, 64, 32]},
         r"small\.config\.input_size is \[3, 64, 32\], supported: an even number of frames, and sides that are multi"),
        ("small.config", {"stages": [1, 2]}, r"small\.config\.stages is \[1, 2\], supported: the blocks of four "),
        ("small.config", {"rel_pos": True}, r"small\.config\.rel_pos is True, which is not known here"),
        ("small", {"clip": "RandomState(0).standard_normal((1, 3, 4, 32, 64))"},
         r"small\.clip has the shape \[1, 3, 4, 32, 64\], expected \[clips, 3, 4, 64, 32\]"),
        ("small", {"state_dict": [["norm.weight", [64]]]}, r"state dict does not fit the model: \d+ keys missing"),
        ("small", {"intermediates": None}, r"not a whole fixture: TypeError"),
        ("", {"video_parameters": {"giant": 3}}, r"video_parameters\.giant is not known here, supported: tiny, small"),
        ("", {"large": 3}, r"large is 3, expected a mapping"),
    ],
)  # fmt: skip
def test_what_is_not_known_or_not_whole_is_refused(
    made: Path, block: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=rf"^\S*changed\.json: {message}"):
        check_fixture(changed(made, filter(None, block.split(".")), **changes))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"small/other": "small/prob"}, "tensor small/other is not known here"),
        ({"tall/logits": "small/prob"}, "tensor tall/logits is of no network of the fixture"),
        ({"small/logits": None}, "small/logits is missing"),
    ],
)
def test_tensors_are_those_of_the_networks(made: Path, names: dict[str, str | None], message: str) -> None:
    path = changed(made, [])
    with np.load(made.with_suffix(".npz")) as archive:
        arrays = dict(archive)
    for name, source in names.items():
        if source is None:
            del arrays[name]
        else:
            arrays[name] = arrays[source]
    np.savez(path.with_suffix(".npz"), **arrays)
    with pytest.raises(InputError, match=rf"^\S*changed\.json: {message}$"):
        check_fixture(path)

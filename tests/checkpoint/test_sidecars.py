import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.errors import InputError
from pipeline.checkpoint.sidecars import REMEDY, Checkpoint, HandedOn, hand_on
from pipeline.checkpoint.specs import BackboneSpec, DetectorSpec, HeadSpec, RecognizerSpec
from pipeline.checkpoint.weights import read_checkpoint, save_checkpoint
from pipeline.models.settings import Labels, LongTermHead
from tests.checkpoint.sidecars import (
    BACKBONE,
    BASELINE,
    CONVERTED,
    HANDED_ON,
    HEAD,
    INPUT,
    OPTIONAL,
    SHAPES,
    WINDOW,
    checkpoint,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
UNKNOWN = st.dictionaries(
    # Half a surrogate pair is no text of UTF-8, and so in no file of JSON that can be read.
    st.text(st.characters(exclude_characters=".", exclude_categories=["Cs"]), max_size=9).map("x_{}".format),
    JSON,
    max_size=3,
)


def without(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The same without these dotted keys, where it has them."""
    left = copy.deepcopy(value)
    for key in keys:
        *blocks, last = key.split(".")
        block = left
        for each in blocks:
            block = block.get(each) or {}
        block.pop(last, None)
    return left


@given(
    name=st.sampled_from(sorted(SHAPES)),
    dropped=st.sets(st.sampled_from(sorted(OPTIONAL))),
    inner=st.sets(st.sampled_from(sorted(OPTIONAL))),
    unknown=UNKNOWN,
)
def test_a_sidecar_comes_back_as_it_was(name: str, dropped: set[str], inner: set[str], unknown: dict[str, Any]) -> None:
    value = without(SHAPES[name], *dropped, *(f"detector.{each}" for each in inner))
    labels = value.get("labels", {})
    if labels.get("background") and "kind" not in labels:  # a column of the softmax wants one
        del labels["background"]
    nested = value.get("detector", {}).get("labels", {})
    if nested.get("background") and "kind" not in nested:
        del nested["background"]
    value |= unknown
    found = Checkpoint.from_json(value, "x.json")
    assert found.to_json() == value
    assert json.dumps(found.to_json(), sort_keys=True) == json.dumps(value, sort_keys=True)
    assert Checkpoint.from_json(json.loads(json.dumps(found.to_json())), "y.json") == found


@pytest.mark.parametrize(
    ("name", "form", "kind"),
    [
        ("backbone", BackboneSpec, "backbone"), ("baseline", DetectorSpec, "detector"),
        ("converted", DetectorSpec, "detector"), ("head", HeadSpec, "head"), ("linear", HeadSpec, "head"),
        ("all", HeadSpec, "detector"), ("converted reader", HeadSpec, "detector"),
        ("handed on", HandedOn, "detector"), ("recognizer", RecognizerSpec, "recognizer"),
    ],
)  # fmt: skip
def test_the_shape_tells_the_spec(name: str, form: type, kind: str) -> None:
    found = Checkpoint.from_json(SHAPES[name], "x.json")
    assert (type(found.spec), found.kind) == (form, kind)


def test_a_recognizer_is_asked_for_where_one_is_expected() -> None:
    assert Checkpoint.from_json(SHAPES["recognizer"], "x.json").recognizer().segments == 8
    with pytest.raises(InputError, match=r"^x\.json: is a detector with head acrn, expected a recognizer$"):
        Checkpoint.from_json(SHAPES["baseline"], "x.json").recognizer()
    message = r"^x\.json: is a recognizer with head trn_multiscale, expected a detector whose head reads no bank$"
    with pytest.raises(InputError, match=message):
        Checkpoint.from_json(SHAPES["recognizer"], "x.json").detector()


def test_what_is_not_said_is_the_default() -> None:
    old = without(HEAD, "labels", "head.mlp", "head.window.span", "roi.aligned", "input.offset_frames")
    spec = Checkpoint.from_json(old, "x.json").scored()
    assert isinstance(spec, HeadSpec)
    assert (spec.labels, spec.head.mlp) == (Labels(), False)
    assert spec.head.window is not None
    assert spec.head.window.span == "centred"
    assert spec.roi is not None
    assert spec.roi.aligned
    assert spec.clip.offset_frames == 0
    assert Checkpoint.from_json({"sha256": "0"}, "x.json").spec == BackboneSpec()


def test_what_is_made_is_written_whole(tmp_path: Path) -> None:
    spec = checkpoint(BASELINE).detector()
    path = tmp_path / "head.safetensors"
    digest = save_checkpoint(path, {"a": torch.zeros(1)}, Checkpoint(spec=spec, record={"channels": 3}))
    found = read_checkpoint(path)
    assert (found.spec, found.record, found.sha256) == (spec, {"channels": 3}, digest)
    assert found.absent == frozenset()


@pytest.mark.parametrize("name", ["baseline", "converted"])
def test_a_baseline_is_handed_on_as_it_is(name: str) -> None:
    head = LongTermHead(name="baseline", reads="features", standardise="none")
    made = hand_on(checkpoint(SHAPES[name]), head=head, scope="all", threads=2)
    newer = {"head": {**HANDED_ON["head"], "memory": "bank", "objects": None}}
    assert made.to_json() == {**HANDED_ON, **newer, "labels": SHAPES[name]["labels"], "detector": SHAPES[name]}
    assert made.original.to_json() == SHAPES[name]
    assert made.scored().classes == 5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": "many"}, "classes: Input should be a valid integer.* (found 'many')"),
        ({"head": 5}, "head: Input should be a valid dictionary.* (found '5')"),
        ({"head": {"mlp": False}}, "head: has no 'name'"),
        ({"kind": "tail"}, "kind: Input should be 'backbone', 'detector', 'head' or 'recognizer' (found 'tail')"),
        ({"input": {**INPUT, "frames": None}}, "input.frames: Input should be a valid integer (found 'None')"),
        ({"input": {**INPUT, "frame": 4}}, "input.frame: Extra inputs are not permitted (found '4')"),
        ({"roi": {"size": 8}}, "roi.size: Extra inputs are not permitted (found '8')"),
        ({"history": {}}, "history: Input should be a valid list (found '{}')"),
        ({"head": {**HEAD["head"], "window": {**WINDOW, "mask": "some"}}},
         "head.window.mask: Input should be 'none' or 'valid' (found 'some')"),
        ({"head": {**HEAD["head"], "window": None}}, "head.reads is bank, and there is no head.window"),
        ({"head": {**HEAD["head"], "memory": "asynchronous"}}, "head.standardise is train, and the rows of head.memory "
                                                               "asynchronous change in training; expected none"),
        ({"labels": {"background": True}}, "labels.background is a column of the softmax, and labels.kind is multi"),
        ({"scope": "all"}, "kind is 'head', expected 'detector' in scope all"),
        ({"scope": "all", "kind": "detector", "roi": None}, "scope is all, and backbone, input or roi is null"),
    ],
)  # fmt: skip
def test_a_key_of_another_kind_names_file_and_key(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        Checkpoint.from_json({**HEAD, **values}, "head.json")
    begins, _, ends = message.partition(".*")
    assert str(error.value).startswith(f"head.json: {begins}")
    assert str(error.value).endswith(f"{ends}; {REMEDY}")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("head", "scope"), ("head", "threads"), ("head", "head.standardise"), ("head", "input.frames"),
        ("baseline", "backbone"), ("baseline", "columns"), ("handed on", "threads"), ("handed on", "detector.roi"),
        ("head", "head.window.seconds"),
    ],
)  # fmt: skip
def test_a_missing_key_names_file_and_key(tmp_path: Path, name: str, key: str) -> None:
    path = tmp_path / "head.json"
    path.write_text(json.dumps(without(SHAPES[name], key)))
    *blocks, last = key.split(".")
    with pytest.raises(InputError) as error:
        read_checkpoint(path.with_suffix(".safetensors"))
    assert str(error.value) == f"{': '.join([str(path), *blocks])}: has no {last!r}; {REMEDY}"


@pytest.mark.parametrize("text", ["[]", "{}", '"a"', "3"])
def test_what_is_no_sidecar_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "head.json").write_text(text)
    with pytest.raises(InputError, match=r"head\.json: no sidecar of a checkpoint: it has no sha256"):
        read_checkpoint(tmp_path / "head.safetensors")


def test_another_checkpoint_than_the_wanted_is_refused_by_its_name() -> None:
    for value, named in (
        (BACKBONE, "backbone"),
        (HEAD, "head with head lfb_nl"),
        (HANDED_ON, "detector with head baseline"),
    ):
        with pytest.raises(InputError, match=rf"^x\.json: is a {named}, expected a detector whose head reads no bank$"):
            checkpoint(value).detector()
    for value in (BACKBONE, BASELINE, CONVERTED):
        with pytest.raises(InputError, match=rf"^x\.json: has no 'scope'; {REMEDY[:9]}"):
            checkpoint(value).scored()
    with pytest.raises(InputError, match=r"^x\.json: detector: is a detector with head baseline, expected"):
        checkpoint({**HANDED_ON, "detector": HANDED_ON})

"""What the places of attention stand for: against the rows that the head really got."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from torch import nn

from pipeline.bank.reader import Bank, open_bank
from pipeline.base.errors import InputError
from pipeline.base.hardware import Hardware
from pipeline.checkpoint.specs import HeadSpec
from pipeline.features.windows import WindowOptions, WindowSource, window_source
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.models.settings import Labels, LongTermHead, ObjectSettings, WindowSettings
from pipeline.params import load_params
from pipeline.params.head_rows import row_source
from pipeline.predict.attention_table import ATTENTION, SEEN_BOX
from pipeline.predict.explain_rows import Explanation, explain_rows
from pipeline.predict.explain_split import explain_split
from pipeline.predict.load_model import load_model
from pipeline.predict.predict_film import PredictOptions
from pipeline.scoring.keyframe_rows import KeyframeRows, scoring_rows
from pipeline.scoring.predictor import Predictor
from pipeline.tables.keyframes import Keyframe, KeyframeBoxes
from pipeline.tables.schemas import BOX_COLUMNS
from pipeline.tables.select_boxes import ANY_SCORE
from tests.bank.banks import make_rows, write_small_bank
from tests.predict.conftest import FILM, Trained
from tests.predict.test_predict_film import predicted
from tests.windows import window_of

CPU = Hardware(torch.device("cpu"), 1, 8)
OBJECTS = ObjectSettings(per_keyframe=2, score=0.5)
WINDOW = window_of(5, 2)
TIMES = [900.0, 901.0, 902.0, 904.0]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    """Film v with 3, 1, 2 and 3 persons, none in second 903; film w with one second of two persons."""
    films = {"v": make_rows(dict(zip(TIMES, (3, 1, 2, 3), strict=True))), "w": make_rows({900.0: 2}, seed=1)}
    objects = make_rows({900.0: 3, 902.0: 1}, seed=2)
    seconds = np.arange(900, 905)
    truth = make_rows({900.0: 1}, scored=False)
    return open_bank(
        write_small_bank(
            tmp_path / "val.zarr", films, split="val", objects=objects, seconds_seen=seconds, ground_truth=truth
        )
    )


def rows_of(bank: Bank, head: LongTermHead) -> KeyframeRows:
    nobody = (np.empty((0, 4)), np.empty((0, 3), bool), np.empty((0, 4)), np.empty(0))
    at = [("v", time) for time in TIMES] + [("w", 900.0)]
    keyframes = [KeyframeBoxes(Keyframe(video, time, time - 899.5), *nobody) for video, time in at]
    return scoring_rows(bank, keyframes, "detections", rule=ANY_SCORE, objects=head.objects)


def explain(bank: Bank, name: str, window: WindowSettings = WINDOW, **how: Any) -> tuple[Explanation, WindowSource]:
    reads_objects = name.startswith("aia")
    head = LongTermHead(
        name=name, reads="bank", standardise="none", window=window, objects=OBJECTS if reads_objects else None
    )
    settings = HeadSettings(
        roi_channels=4, bank_channels=4, classes=3, mask=window.mask, window_seconds=5, per_second=2,
        objects=2 if reads_objects else 0, exclude_keyframe=window.exclude_keyframe,
    )  # fmt: skip
    torch.manual_seed(0)
    model = build_head(name, settings, {"latent": 8}).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    spec = HeadSpec(
        scope="head", head=head, backbone=None, width=None, input=None, roi=None, labels=Labels(), columns=3,
        classes=3, roi_channels=4, bank_channels=4, dropout=0.5, feature_dropout=0.0, threads=1,
    )  # fmt: skip
    source = window_source([bank], window, device=CPU.device, options=WindowOptions("streamed"))
    return explain_rows(Predictor(spec, model, CPU, "fp32"), rows_of(bank, head), source, bank, **how), source


def box_of(row: dict[str, Any], names: tuple[str, ...] = BOX_COLUMNS) -> tuple[float, ...]:
    return tuple(row[name] for name in names)


@pytest.mark.parametrize("exclude", [False, True])
def test_rows_are_those_that_the_window_holds(bank: Bank, exclude) -> None:
    """Every row of the bank has features of its own, which tell which rows the head got."""
    found, source = explain(bank, "lfb_nl", replace(WINDOW, exclude_keyframe=exclude))
    seen: dict[tuple[str, float], set[tuple[float, ...]]] = {}
    for row in found.attention.to_pylist():
        assert (row["block"], row["seen"]) == ("M", "row")
        key = seen.setdefault((row["video_id"], row["timestamp"]), set())
        key.add((row["seen_time_seconds"] + 899.5, *box_of(row, SEEN_BOX)))
    for video, timestamp in [("v", time) for time in TIMES] + [("w", 900.0)]:
        window = source.for_evaluation()([video], np.array([timestamp]), torch.zeros(1, dtype=torch.long))
        got = window.rows[window.mask].numpy()
        stored = [bank.column(video, "detections", name) for name in ("features", "timestamp", "boxes_xyxy")]
        features, times, boxes = (np.asarray(each) for each in stored)
        rows = [int(np.flatnonzero((features == each).all(axis=1))[0]) for each in got]
        expected = {(float(times[row]), *boxes[row].astype(float).tolist()) for row in rows}
        assert seen.get((video, timestamp), set()) == expected
    assert (("w", 900.0) in seen) != exclude


@pytest.mark.parametrize("name", ["lfb_nl", "lfb_nl_split", "aia_serial", "aia_split"])
def test_the_weights_of_a_person_add_up_to_one(bank: Bank, name) -> None:
    found, _ = explain(bank, name)
    table = found.attention
    assert table.schema == ATTENTION
    total: dict[tuple[Any, ...], float] = {}
    for row in table.to_pylist():
        key = (row["video_id"], row["timestamp"], box_of(row), row["block"], row["layer"])
        total[key] = total.get(key, 0) + row["weight"]
    assert list(total.values()) == pytest.approx([1.0] * len(total), abs=1e-6)
    persons = {(key[0], key[1], key[2]) for key in total}
    assert len(persons) == 3 + 1 + 2 + 3 + 2
    scored = {
        (each.keyframe.video_id, each.keyframe.timestamp, tuple(box))
        for each in found.scored for box in each.boxes_xyxy.tolist()
    }  # fmt: skip
    assert persons == scored


def test_persons_and_objects_of_the_clip_are_named(bank: Bank) -> None:
    found, _ = explain(bank, "aia_serial")
    rows = [row for row in found.attention.to_pylist() if row["video_id"] == "v" and row["timestamp"] == 900.0]
    persons = {box_of(row) for row in rows}
    for kind, block in (("person", "P"), ("object", "O")):
        assert {row["seen"] for row in rows if row["block"] == block} == {kind}
        assert {row["seen_time_seconds"] for row in rows if row["block"] == block} == {0.5}
    assert {box_of(row, SEEN_BOX) for row in rows if row["block"] == "P"} == persons
    objects = np.asarray(bank.column("v", "objects", "boxes_xyxy")), bank.column("v", "objects", "timestamp")
    stored = {tuple(box) for box in objects[0][objects[1] == 900.0].astype(float).tolist()}
    named = {box_of(row, SEEN_BOX) for row in rows if row["block"] == "O"}
    assert len(named) == 2
    assert named < stored
    # In its own second AIA's memory holds the persons of the clip, as many as it has slots.
    own = [row for row in rows if row["block"] == "M" and row["seen_time_seconds"] == 0.5]
    assert {row["seen"] for row in own} == {"person"}
    assert len({box_of(row, SEEN_BOX) for row in own}) == 2
    assert {row["seen"] for row in rows if row["block"] == "M" and row["seen_time_seconds"] != 0.5} == {"row"}


def test_the_halves_of_a_window(bank: Bank) -> None:
    found, _ = explain(bank, "lfb_nl_split")
    for row in found.attention.to_pylist():
        past = row["seen_time_seconds"] <= row["time_seconds"]
        future = row["seen_time_seconds"] >= row["time_seconds"]
        assert past if row["block"] == "past" else future
    assert set(found.attention["block"].to_pylist()) == {"past", "future"}


def test_empty_slots_take_part_where_the_mask_is_none(bank: Bank) -> None:
    found, _ = explain(bank, "lfb_nl", replace(WINDOW, mask="none"))
    rows = found.attention.to_pylist()
    empty = [row for row in rows if row["seen"] == "empty"]
    assert empty
    assert all(row["seen_time_seconds"] is None and row["seen_x1"] is None for row in empty)
    one = [row for row in rows if row["video_id"] == "w" and row["layer"] == 1]
    assert len(one) == 2 * 10  # two persons, all slots


def test_the_largest_weights_come_first_and_only_so_many(bank: Bank) -> None:
    every, _ = explain(bank, "lfb_nl")
    few, _ = explain(bank, "lfb_nl", top=2)
    expected: dict[tuple[Any, ...], list[float]] = {}
    for row in every.attention.to_pylist():
        key = (row["video_id"], row["timestamp"], box_of(row), row["layer"])
        expected.setdefault(key, []).append(row["weight"])
    found: dict[tuple[Any, ...], list[float]] = {}
    for row in few.attention.to_pylist():
        key = (row["video_id"], row["timestamp"], box_of(row), row["layer"])
        found.setdefault(key, []).append(row["weight"])
    assert list(found) == list(expected)
    assert found == {key: sorted(weights, reverse=True)[:2] for key, weights in expected.items()}


def test_a_head_without_attention_is_refused(bank: Bank) -> None:
    head = LongTermHead(name="lfb_max", reads="bank", standardise="none", window=WINDOW)
    model = build_head("lfb_max", HeadSettings(roi_channels=4, bank_channels=4, classes=3))
    spec = HeadSpec(
        scope="head", head=head, backbone=None, width=None, input=None, roi=None, labels=Labels(), columns=3,
        classes=3, roi_channels=4, bank_channels=4, dropout=0.5, feature_dropout=0.0, threads=1,
    )  # fmt: skip
    message = (
        "^head lfb_max: it attends to nothing, so there is nothing to explain; expected a head with attention, such as "
        "lfb_nl, lfb_nl_split or one of aia$"
    )
    with pytest.raises(InputError, match=message):
        explain_rows(Predictor(spec, model, CPU, "fp32"), rows_of(bank, head), None, bank)


@pytest.mark.parametrize("name", ["bank", "aia"])
def test_a_film_that_is_predicted_is_explained_by_the_same_numbers(
    name: str, trained: Callable[[str], Trained], tmp_path: Path
) -> None:
    """On a film of the validation split the same as of its bank; where frames are scored, what is known adds up."""
    project = trained(name)
    model = load_model(project.folder, device="cpu", workers=1)
    found = predicted(project, model, tmp_path, explain=1000)
    plain = predicted(project, model, tmp_path / "plain")
    assert found.detections.equals(plain.detections), "to listen changes nothing"
    assert plain.attention.num_rows == 0
    total: dict[tuple[Any, ...], float] = {}
    for row in found.attention.to_pylist():
        key = (row["timestamp"], box_of(row), row["block"], row["layer"])
        total[key] = total.get(key, 0) + row["weight"]
    assert list(total.values()) == pytest.approx([1.0] * len(total), abs=1e-5)
    assert {key[1] for key in total} == {box_of(row) for row in found.persons.to_pylist()}
    if name == "aia":
        seen = {(row["block"], row["seen"]) for row in found.attention.to_pylist()}
        assert seen == {("P", "person"), ("O", "object"), ("M", "row"), ("M", "person")}
        return
    with contextlib.chdir(project.folder):
        params = load_params()
        source = row_source(params, CPU)
        of_bank = explain_split(source, boxes="detected", rule=params.evaluation.rule, films=[FILM]).attention
    annotated = pc.is_in(found.attention["timestamp"], pc.unique(of_bank["timestamp"]))
    assert found.attention.filter(annotated).combine_chunks() == of_bank


def test_a_head_without_attention_cannot_be_asked_for_it(trained: Callable[[str], Trained]) -> None:
    model = load_model(trained("all").folder, device="cpu", workers=1)
    with pytest.raises(
        InputError, match=r"^head acrn: it attends to nothing, so there is nothing to explain; expected"
    ):
        PredictOptions(explain=5).check(model)

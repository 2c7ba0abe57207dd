"""Which rows train and are scored: against plain loops over keyframes, on random banks."""

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.bank import held_features
from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.reader import Bank, open_bank
from pipeline.bank.writer import assemble_bank
from pipeline.base.errors import DamagedError, InputError
from pipeline.scoring.keyframe_rows import KeyframeRows, scoring_rows
from pipeline.tables.iou import match_proposals
from pipeline.tables.keyframes import Keyframe, KeyframeBoxes, pack_keyframes
from pipeline.tables.select_boxes import BoxRule
from pipeline.training.row_steps import training_rows
from tests.bank.banks import PROVENANCE, write_small_part

CLASSES = 3
SECONDS = 6


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Few distinct corners, so that boxes are often equal or overlap much."""
    return np.concatenate([rng.integers(0, 3, (count, 2)) * 0.1, 0.5 + rng.integers(0, 3, (count, 2)) * 0.1], axis=1)


def random_film(
    rng: np.random.Generator, video: str, channels: int
) -> tuple[FeatureRows, FeatureRows, list[KeyframeBoxes]]:
    """Detections, annotated rows (some of boxes that no keyframe has) and keyframes (some of other seconds)."""
    keyframes = []
    truth = []
    for second in range(SECONDS):
        boxes = np.unique(random_boxes(rng, int(rng.integers(0, 4))), axis=0)
        truth.append(boxes)
        kept = boxes[rng.random(len(boxes)) < 0.8]
        if rng.random() < 0.8:
            labels = rng.random((len(kept), CLASSES)) < 0.5
            keyframes.append(KeyframeBoxes(Keyframe(video, second, second), kept, labels, kept[:0], np.empty(0)))
    counts = [len(boxes) for boxes in truth]
    annotated = FeatureRows(
        rng.standard_normal((sum(counts), channels)),
        np.repeat(np.arange(SECONDS, dtype=float), counts),
        np.concatenate(truth),
    )
    found = int(rng.integers(0, 12))
    detections = FeatureRows(
        rng.standard_normal((found, channels)),
        rng.integers(0, SECONDS, found).astype(float),
        random_boxes(rng, found),
        0.5 + rng.integers(0, 5, found) / 10,
    )
    return detections, annotated, keyframes


def random_bank(folder: Path, seed: int, codec: str) -> tuple[Bank, list[KeyframeBoxes]]:
    rng = np.random.default_rng(seed)
    films = {video: random_film(rng, video, 4) for video in "abc"}
    parts = {
        video: write_small_part(
            folder / video,
            video,
            films[video][0],
            ground_truth=films[video][1],
            codec=codec,
            seconds_seen=range(SECONDS),
        )
        for video in "ab"  # film c is in no bank
    }
    assemble_bank(folder / "bank.zarr", parts=parts, split="train", provenance=PROVENANCE)
    return open_bank(folder / "bank.zarr"), [each for _, _, keyframes in films.values() for each in keyframes]


def at(bank: Bank, each: KeyframeBoxes, row_set: str) -> FeatureRows | None:
    if not bank.has_rows(each.keyframe.video_id, row_set):
        return None
    rows = bank.rows(each.keyframe.video_id, row_set)
    return rows.take(np.flatnonzero(rows.timestamp == each.keyframe.timestamp))


def plain_detections(rows: FeatureRows, rule: BoxRule) -> FeatureRows:
    """Those of one keyframe that pass."""
    assert rows.score is not None
    scores = rows.score.tolist()
    best = max(scores, default=0.0)
    threshold = float(np.float32(rule.threshold))
    lowest = min(threshold, best) if rule.lower else threshold
    return rows.take(np.array([place for place, score in enumerate(scores) if score >= lowest], np.int64))


def plain_training_rows(bank, keyframes, *, rule, match_iou):
    """(features, boxes, labels) of each keyframe, by the words of `training_rows`."""
    for each in keyframes:
        annotated, detected = (at(bank, each, name) for name in ("ground_truth", "detections"))
        chosen = []
        if annotated is not None and detected is not None:
            for feature, box in zip(annotated.features, annotated.boxes_xyxy, strict=True):
                for truth, labels in zip(each.ground_truth_xyxy, each.labels, strict=True):
                    if (truth == box).all():
                        chosen.append((feature, box, labels))
            detected = plain_detections(detected, rule)
            match, _ = match_proposals(detected.boxes_xyxy, each.ground_truth_xyxy, match_iou=match_iou)
            for feature, box, owner in zip(detected.features, detected.boxes_xyxy, match, strict=True):
                if owner >= 0:
                    chosen.append((feature, box, each.labels[owner]))
        yield chosen


def same(rows: KeyframeRows, expected: list[list[tuple]]) -> None:
    assert np.diff(rows.starts).tolist() == [len(each) for each in expected]
    flat = [row for each in expected for row in each]
    taken = rows.features.take(np.arange(len(flat))).numpy()
    assert taken.tolist() == [row[0].tolist() for row in flat]
    assert rows.boxes_xyxy.tolist() == [row[1].tolist() for row in flat]
    if flat and len(flat[0]) > 2:
        assert rows.labels is not None
        assert rows.labels.tolist() == [row[2].tolist() for row in flat]
    for keyframe in range(len(expected)):
        mine, _ = rows.select(np.array([keyframe]))
        assert rows.features.take(mine).tolist() == [row[0].tolist() for row in expected[keyframe]]


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    codec=st.sampled_from(["none", "zstd"]),
    rule=st.builds(BoxRule, st.sampled_from([0.5, 0.7, 0.9, 1.0]), st.booleans()),
    match_iou=st.sampled_from([0.4, 0.7, 0.9]),
    open_arrays=st.sampled_from([1, 500]),
)
def test_rows_are_those_of_plain_loops(
    tmp_path_factory: pytest.TempPathFactory, seed: int, codec: str, rule: BoxRule,
    match_iou: float, open_arrays: int,
) -> None:  # fmt: skip
    bank, keyframes = random_bank(tmp_path_factory.mktemp("bank"), seed, codec)
    with patch.object(held_features, "MOST_MAPPED", open_arrays):
        rows = training_rows(bank, keyframes, rule=rule, match_iou=match_iou)
        same(rows, list(plain_training_rows(bank, keyframes, rule=rule, match_iou=match_iou)))
        for row_set in ("detections", "ground_truth"):
            scored = scoring_rows(bank, keyframes, row_set, rule=rule)
            expected = []
            for each in keyframes:
                found = at(bank, each, row_set)
                if found is not None and row_set == "detections":
                    found = plain_detections(found, rule)
                pairs = () if found is None else zip(found.features, found.boxes_xyxy, strict=True)
                expected.append(list(pairs))
            same(scored, expected)


def test_an_uncompressed_bank_is_not_copied(tmp_path: Path) -> None:
    bank, keyframes = random_bank(tmp_path, 1, "none")
    rows = scoring_rows(bank, keyframes, "detections", rule=BoxRule(0.5))
    assert len(rows.features) > 3
    # The files are read when rows are taken, not before: one changed meanwhile is seen, and refused.
    changed = bank.rows("a", "detections").features
    path = next((tmp_path / "bank.zarr" / "a" / "detections" / "features").rglob("c/0/0"))
    data = bytearray(path.read_bytes())
    data[: changed.nbytes] = bytes(changed.nbytes)
    path.write_bytes(data)
    with pytest.raises(DamagedError, match="features/c/0/0: is damaged"):
        rows.features.take(np.arange(1))


def test_a_missing_row_names_the_first_keyframe_without_it(tmp_path: Path) -> None:
    bank, keyframes = random_bank(tmp_path, 1, "none")
    place = next(i for i, each in enumerate(keyframes) if len(each.ground_truth_xyxy) and each.keyframe.video_id == "b")
    boxes = keyframes[place].ground_truth_xyxy.copy()
    boxes[0, 0] += 0.05
    broken = KeyframeBoxes(keyframes[place].keyframe, boxes, keyframes[place].labels, boxes[:0], np.empty(0))
    expected = (
        rf"1 of {len(boxes)} annotated boxes of video b, timestamp {broken.keyframe.timestamp:g} have no row; "
        "the bank was made from other annotations"
    )
    with pytest.raises(InputError, match=expected):
        training_rows(
            bank, [*keyframes[:place], broken, *keyframes[place + 1 :]], rule=BoxRule(0.5), match_iou=0.9,
        )  # fmt: skip


def test_packed_keyframes_are_the_same_keyframes(tmp_path: Path) -> None:
    _, keyframes = random_bank(tmp_path, 2, "none")
    packed = pack_keyframes(keyframes)
    assert pack_keyframes(packed) is packed
    for chosen in (packed, packed[::2], packed.select(np.array([3, 1]))):
        plain = {len(packed): keyframes, 2: [keyframes[3], keyframes[1]]}.get(len(chosen), keyframes[::2])
        assert len(chosen) == len(plain)
        for one, other in zip(chosen, plain, strict=True):
            assert one.keyframe == other.keyframe
            np.testing.assert_array_equal(one.ground_truth_xyxy, other.ground_truth_xyxy)
            np.testing.assert_array_equal(one.labels, other.labels)
    assert len(pack_keyframes([])) == 0


def test_keyframes_beyond_the_end_of_a_film_have_no_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box = np.array([[0.1, 0.1, 0.4, 0.8]])
    rows = FeatureRows(np.ones((1, 4), np.float32), np.array([900.0]), box, np.array([0.9]))
    attributes = {"checkpoint_sha256": PROVENANCE["checkpoint_sha256"], "duration_seconds": 1.5}
    part = write_small_part(
        tmp_path / "a", "a", rows, ground_truth=rows, seconds_seen=[900.0, 901.0], attributes=attributes
    )
    assemble_bank(tmp_path / "train.zarr", parts={"a": part}, split="train", provenance=PROVENANCE)
    bank = open_bank(tmp_path / "train.zarr")

    def train(*times: float) -> KeyframeRows:
        labels = np.ones((1, 2), bool)
        keyframes = [KeyframeBoxes(Keyframe("a", 900 + at, at), box, labels, box[:0], np.empty(0)) for at in times]
        return training_rows(bank, keyframes, rule=BoxRule(0.5), match_iou=0.5)

    assert np.diff(train(0.0, 1.5, 2.0).starts).tolist() == [2, 0, 0]
    assert capsys.readouterr().err == (
        "2 keyframes of train in 1 films lie beyond the film's end and are left out; the first: a at 901.5, "
        "1.5 s into a film of 1.5 s\n"
    )
    with pytest.raises(InputError, match="timestamp 901 have no row; the bank was made from other annotations"):
        train(0.0, 1.0)

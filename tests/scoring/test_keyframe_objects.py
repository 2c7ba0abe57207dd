"""Objects of keyframes out of a bank, and a head that reads them: trained and scored without a frame."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.reader import Bank, open_bank
from pipeline.base.errors import InputError
from pipeline.models.context import Context, ObjectRows
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.settings import ObjectSettings
from pipeline.scoring.keyframe_objects import objects_at, say_without_objects
from pipeline.scoring.keyframe_rows import score_rows, scoring_rows
from pipeline.scoring.settings import ScoreSettings
from pipeline.tables.keyframes import Keyframe, KeyframeBoxes, pack_keyframes
from pipeline.tables.select_boxes import ANY_SCORE
from pipeline.training.row_steps import head_loss, row_steps, training_rows
from pipeline.training.steps import Stretch
from tests.bank.banks import PROVENANCE, write_small_bank
from tests.training.settings import training_settings

BOX = np.array([[0.1, 0.1, 0.5, 0.9]])
TWO = ObjectSettings(per_keyframe=2, score=0.3)


def rows(*each: tuple[float, float, float], scored: bool = True) -> FeatureRows:
    """Rows (timestamp, first channel, score) of 3 channels."""
    at, value, score = map(np.array, zip(*each, strict=True))
    return FeatureRows(np.outer(value, [1.0, 0.5, 0.25]), at, BOX.repeat(len(at), 0), score if scored else None)


def small_bank(folder: Path, objects: FeatureRows | None, best: int | None = 3) -> Bank:
    """Films a and b with a person at seconds 0 to 3, and the objects."""
    persons = rows(*((at, 10 + at, 0.9) for at in range(4)))
    truth = rows(*((at, 20 + at, 0.0) for at in range(4)), scored=False)
    provenance = PROVENANCE if best is None else {**PROVENANCE, "objects": best}
    path = write_small_bank(
        folder / "train.zarr", {"a": persons, "b": persons}, provenance=provenance, dtype="fp32",
        ground_truth=truth, objects=objects, seconds_seen=[0, 1, 2, 3],
    )  # fmt: skip
    return open_bank(path)


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return small_bank(tmp_path, rows((0, 1, 0.9), (0, 2, 0.5), (0, 3, 0.7), (1, 4, 0.3), (1, 5, 0.2), (3, 6, 0.8)))


def keyframe(video: str, at: float) -> KeyframeBoxes:
    return KeyframeBoxes(Keyframe(video, at, at), BOX, np.array([[True, False]]), BOX[:0], np.empty(0))


KEYFRAMES = [keyframe(video, at) for video in ("a", "b") for at in (0.0, 1.0, 2.0, 3.0)] + [keyframe("c", 0.0)]


def first(found: ObjectRows) -> list[list[float]]:
    """The first channel of each place."""
    assert torch.equal(found.rows[:, :, 1], found.rows[:, :, 0] / 2)
    values: list[list[float]] = found.rows[:, :, 0].tolist()
    return values


def test_the_best_objects_of_each_keyframe(bank: Bank) -> None:
    found = objects_at(bank, pack_keyframes(KEYFRAMES), TWO).of(np.arange(9))
    expected = [[1, 3], [4, 0], [0, 0], [6, 0]]
    assert first(found) == expected * 2 + [[0, 0]]
    assert found.mask.tolist() == [[each > 0 for each in row] for row in first(found)]
    assert first(objects_at(bank, pack_keyframes(KEYFRAMES), TWO).of(np.array([7, 0]))) == [[6, 0], [1, 3]]
    strict = objects_at(bank, pack_keyframes(KEYFRAMES), ObjectSettings(per_keyframe=1, score=0.5))
    assert first(strict.of(np.arange(4))) == [[1], [0], [0], [6]]


def test_a_score_is_compared_in_the_stored_type(bank: Bank) -> None:
    """0.3 as float32 is above 0.3, and 0.7 and 0.9 are below."""
    for score in (0.9, 0.7, 0.3):
        found = objects_at(bank, pack_keyframes(KEYFRAMES), ObjectSettings(per_keyframe=3, score=score)).of(
            np.arange(4)
        )
        assert int(found.mask.sum()) == {0.9: 1, 0.7: 3, 0.3: 5}[score]


def test_a_bank_without_objects_gives_empty_places(tmp_path: Path) -> None:
    found = objects_at(small_bank(tmp_path, None, best=None), pack_keyframes(KEYFRAMES), TWO)
    assert found.of(np.arange(9)).rows.shape == (9, 2, 3)
    assert not found.of(np.arange(9)).mask.any()
    assert not found.of(np.arange(9)).rows.any()


def test_a_bank_that_stores_fewer_than_a_head_reads_is_refused(bank: Bank) -> None:
    with pytest.raises(InputError) as error:
        objects_at(bank, pack_keyframes(KEYFRAMES), ObjectSettings(per_keyframe=4, score=0.0))
    assert str(error.value) == (
        f"{bank.where}: stores at most 3 objects of each second (bank.objects), and head.objects.per_keyframe is 4"
    )


class Sums(nn.Module):
    """A person's feature plus the sum of its keyframe's objects."""

    def forward(self, roi: Tensor, context: Context) -> Tensor:
        assert context.objects is not None
        return roi + context.objects.rows.sum(1)[context.clip_index]


def sums() -> Head:
    settings = HeadSettings(roi_channels=3, bank_channels=0, classes=2, dropout=0, objects=2)
    return Head(Sums(), settings, channels=3, needs=frozenset({"objects"}))


def test_scores_are_those_of_each_keyframe_with_its_objects(bank: Bank) -> None:
    torch.manual_seed(0)
    head = sums().eval()
    found = score_rows(
        head,
        scoring_rows(bank, KEYFRAMES, "detections", rule=ANY_SCORE, objects=TWO),
        ScoreSettings(torch.device("cpu"), "fp32"),
    )
    for at, scored in enumerate(found[:4]):
        total = 10 + at + sum([[1, 3], [4, 0], [0, 0], [6, 0]][at])
        expected = torch.sigmoid(head.classifier(torch.tensor([[1, 0.5, 0.25]]) * total))
        np.testing.assert_allclose(scored.scores, expected.detach().numpy(), atol=1e-6)


def test_a_training_batch_has_the_objects_of_its_keyframes(bank: Bank) -> None:
    labelled = training_rows(bank, KEYFRAMES, rule=ANY_SCORE, match_iou=0.9, objects=TWO)
    settings = training_settings(global_batch=3, bn_batch=3, seed=3)
    seen: dict[float, list[float]] = {}
    for step in row_steps(labelled, Stretch(0, 0, 2), settings, window_of=None):
        for batch in step.parts:
            assert batch.rows is not None
            assert batch.objects is not None
            seen |= {float(batch.rows[r, 0]): first(batch.objects)[c] for r, c in enumerate(batch.clip_index.tolist())}
            head_loss(sums())(batch).backward()
    assert seen == {
        at + base: expected for at, expected in enumerate([[1, 3], [4, 0], [0, 0], [6, 0]]) for base in (10.0, 20.0)
    }
    plain = training_rows(bank, KEYFRAMES, rule=ANY_SCORE, match_iou=0.9)
    steps = row_steps(plain, Stretch(0, 0, 2), settings, window_of=None)
    assert all(part.objects is None for step in steps for part in step.parts), (
        "nothing is loaded for a head that reads no objects"
    )


def test_a_split_without_any_object_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    train = np.array([[True, False], [False, False]])
    say_without_objects("aia", {"train": train, "val": ~(train | True), "test": np.zeros((0, 2), bool)})
    assert capsys.readouterr().err == (
        "objects of val: none of 2 keyframes has one, so what looks at objects in head aia sees none (dataset.objects, "
        "bank.objects)\n"
    )

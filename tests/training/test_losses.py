import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.models.settings import LabelGroup, Labels, columns
from pipeline.training.batch import Batch
from pipeline.training.clip_steps import detector_loss
from pipeline.training.losses import group_losses, make_loss, multilabel_loss, singlelabel_loss, softmax_targets

CASES = json.loads((Path(__file__).parents[1] / "fixtures" / "parity" / "mmaction2" / "losses.json").read_text())[
    "cases"
]


def _run(case: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss and its gradient by every column of upstream's logits.

    A multi-label model has no background column here, so upstream's is cut off; a single-label one has it.
    """
    head = case["head"]
    logits = torch.tensor(case["logits"], requires_grad=True)
    first = int(head["background_class"])
    labels = torch.tensor(case["labels"])[:, first:]
    focal = {"alpha": head.get("focal_alpha", 1.0), "gamma": head.get("focal_gamma", 0.0)}
    kind = Labels() if head["multilabel"] else Labels("single", background=head["background_class"])
    ours = logits[:, first:] if head["multilabel"] else logits
    assert ours.shape[1] == columns(labels.shape[1], kind)
    loss = make_loss(kind, normalise=head["background_class"], **focal)(ours, labels)
    loss.backward()
    assert logits.grad is not None
    return loss.detach(), logits.grad


@pytest.mark.parametrize(
    "case", [each for each in CASES if each["name"] != "all_negative"], ids=lambda case: case["name"]
)
def test_losses_and_gradients_are_upstreams(case: dict) -> None:
    loss, gradient = _run(case)
    assert loss.item() == pytest.approx(case["outputs"]["loss_action_cls"], rel=1e-5)
    torch.testing.assert_close(gradient, torch.tensor(case["grad_loss_wrt_logits"]), rtol=1e-5, atol=1e-7)


def test_the_fixture_has_the_case_without_positives_and_here_it_changes_nothing() -> None:
    (case,) = [each for each in CASES if each["name"] == "all_negative"]
    assert case["outputs"]["loss_action_cls"] == "nan"
    loss, gradient = _run(case)
    assert loss.item() == 0
    assert (gradient == 0).all()


def test_the_fixture_holds_every_kind_of_case() -> None:
    names = {each["name"] for each in CASES}
    assert {"singlelabel_ce_background_multihot", "singlelabel_ce_no_background_multihot", "singlelabel_focal"} < names
    assert {"multilabel_bce_no_background", "multilabel_focal_alpha3_gamma1"} < names


@pytest.mark.parametrize("background", [False, True])
def test_several_labels_of_a_person_share_the_weight_of_one_unless_told(background: bool) -> None:
    kind = Labels("single", background=background)
    logits = torch.randn(3, columns(4, kind), generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0.0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]])
    logs = logits[:, int(background) :].log_softmax(dim=1)
    one, two = -logs[0, 1], -(logs[1, 0] + logs[1, 2])
    torch.testing.assert_close(make_loss(kind)(logits, labels), (one + two / 2) / 2)
    torch.testing.assert_close(make_loss(kind, normalise=False)(logits, labels), (one + two) / 2)
    assert torch.equal(
        make_loss(kind)(logits[:1], labels[:1]), make_loss(kind, normalise=False)(logits[:1], labels[:1])
    )


@pytest.mark.parametrize("loss_of", [multilabel_loss, singlelabel_loss])
@pytest.mark.parametrize("rows", [0, 3])
def test_batches_without_positives_give_zero_loss_and_zero_gradients(loss_of, rows: int) -> None:
    logits = torch.randn(rows, 4, requires_grad=True)
    loss = loss_of(logits, torch.zeros(rows, 4), alpha=2.0, gamma=0.5)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("loss_of", [multilabel_loss, singlelabel_loss])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_perfect_and_hopeless_logits_keep_gradients_finite(loss_of, gamma: float) -> None:
    logits = torch.tensor([[300.0, -300, -300], [-300, 300, 300]], requires_grad=True)
    loss = loss_of(logits, torch.tensor([[1.0, 0, 0], [1, 0, 0]]), gamma=gamma)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("loss_of", [multilabel_loss, singlelabel_loss])
def test_gradients(loss_of) -> None:
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]])
    assert torch.autograd.gradcheck(lambda x: loss_of(x, labels, alpha=0.5, gamma=1.5), (logits,))


def test_half_precision_logits_are_scored_in_float32() -> None:
    logits = torch.randn(4, 3).bfloat16()
    labels = torch.eye(4, 3).bfloat16()
    assert multilabel_loss(logits, labels).dtype == torch.float32
    assert torch.equal(multilabel_loss(logits, labels), multilabel_loss(logits.float(), labels.float()))


def test_a_detector_is_trained_by_the_loss_it_is_given() -> None:
    logits, labels = torch.randn(3, 4), torch.eye(3)
    batch = Batch(
        labels=labels, clip_index=torch.zeros(3, dtype=torch.int64), clips=torch.zeros(1), boxes_xyxy=torch.zeros(3, 4)
    )
    loss = make_loss(Labels("single", background=True), alpha=2.0, gamma=1.0)
    assert detector_loss(lambda *_, **__: logits, loss)(batch) == loss(logits, labels)  # type: ignore[arg-type]
    assert detector_loss(lambda *_, **__: logits[:, 1:])(batch) == multilabel_loss(logits[:, 1:], labels)  # type: ignore[arg-type]


def grouped(*, several: str = "first", unlabelled: str = "first", **of_softmax: Any) -> Labels:
    groups = (
        LabelGroup(classes=3, kind="softmax", weight=1.2, **of_softmax),
        LabelGroup(classes=2, kind="sigmoid", weight=2.0),
    )
    return Labels("grouped", several=several, unlabelled=unlabelled, groups=groups)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("several", "unlabelled", "expected"),
    [
        ("first", "first", [[1, 0, 0], [0, 0, 1], [0, 1, 0]]),
        ("first", "ignore", [[0, 0, 0], [0, 0, 1], [0, 1, 0]]),
        ("soft", "ignore", [[0, 0, 0], [0, 0, 1], [0, 0.5, 0.5]]),
        ("error", "first", [[1, 0, 0], [0, 0, 1], [0, 0.5, 0.5]]),
    ],
)
def test_targets_of_a_softmax_group(several: str, unlabelled: str, expected: list[list[float]]) -> None:
    labels = torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 1, 1]])
    assert softmax_targets(labels, grouped(several=several, unlabelled=unlabelled)).tolist() == expected


def test_a_single_label_may_be_the_first_of_several() -> None:
    logits = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    several, first = torch.tensor([[0.0, 1, 1, 0], [1, 0, 0, 1]]), torch.tensor([[0.0, 1, 0, 0], [1, 0, 0, 0]])
    taken = make_loss(Labels("single", several="first"))(logits, several)
    assert torch.equal(taken, make_loss(Labels("single"))(logits, first))


def test_the_loss_of_groups_is_a_weighted_sum_over_the_rows_with_a_label() -> None:
    logits = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([[0.0, 1, 0, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]])
    pose = logits[:2, :3].softmax(dim=1)[[0, 1], [1, 0]]
    right = torch.where(labels[:2, 3:] > 0, logits[:2, 3:].sigmoid(), 1 - logits[:2, 3:].sigmoid())
    expected = 1.2 * -((1 - pose) ** 2 * pose.log()).sum() + 2 * -((1 - right) ** 2 * right.log()).sum() / 2
    loss = make_loss(grouped(), alpha=0.5, gamma=2.0)(logits, labels)
    torch.testing.assert_close(loss, expected / 2)
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[2] == 0).all()
    ignored = group_losses(logits, labels, grouped(unlabelled="ignore"), gamma=2.0)
    torch.testing.assert_close(ignored[0], -((1 - pose[0]) ** 2 * pose[0].log()))


def test_a_softmax_may_have_a_binary_loss_of_each_probability() -> None:
    kind = grouped(loss="binary")
    logits = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([[0.0, 1, 1, 1, 0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0]])
    scores, wanted = logits[:, :3].softmax(dim=1), labels[:, :3].double()
    expected = F.binary_cross_entropy(scores, wanted, reduction="none").mean(dim=1).sum()
    found = group_losses(logits, labels, kind, gamma=0.0)[0]
    torch.testing.assert_close(found, expected)
    ours, theirs = (torch.autograd.grad(each, logits)[0] for each in (found, expected))
    torch.testing.assert_close(ours, theirs)
    sure = torch.tensor([[200.0, -200, 0, 0, 0]], requires_grad=True)
    hopeless = group_losses(sure, torch.tensor([[0.0, 1, 0, 0, 0]]), kind, gamma=2.0)[0]
    (gradient,) = torch.autograd.grad(hopeless, sure)
    assert hopeless.isfinite()
    assert gradient.isfinite().all()


def test_groups_without_a_labelled_row_have_no_loss_and_no_gradient() -> None:
    logits = torch.randn(2, 5, requires_grad=True)
    loss = make_loss(grouped(), gamma=2.0)(logits, torch.zeros(2, 5))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


# What AlphAction computed for the logits 2 * RandomState(5).standard_normal((6, 80)), divided by six boxes.
POSES = [[], [13], [0, 5], [5, 9, 20], [40, 41], [12, 79, 63]]
AVA = Labels(
    "grouped", several="first", unlabelled="first",
    groups=(
        LabelGroup(classes=14, kind="softmax", weight=1.2), LabelGroup(classes=49, kind="sigmoid", weight=49.0),
        LabelGroup(classes=17, kind="sigmoid", weight=17.0),
    ),
)  # fmt: skip


def test_losses_of_groups_are_alphactions() -> None:
    logits = torch.from_numpy((2 * np.random.RandomState(5).standard_normal((6, 80))).astype(np.float32))
    labels = torch.zeros(6, 80)
    for row, ids in enumerate(POSES):
        labels[row, ids] = 1
    losses = [each.item() / 6 for each in group_losses(logits, labels, AVA, gamma=2.0)]
    assert losses == pytest.approx([4.831298351287842, 0.7379570603370667, 0.8219470381736755], rel=1e-6)
    total = sum(group.weight * loss for group, loss in zip(AVA.groups, losses, strict=True))
    assert total == pytest.approx(55.9305534362793, rel=1e-6)


def test_what_a_batch_has_computed_is_handed_out_with_it() -> None:
    rows, kept = torch.ones(2, 3), list[object]()
    batch = Batch(torch.ones(2, 3), torch.zeros(2).long(), clips=torch.zeros(1), boxes_xyxy=torch.zeros(2, 4))

    def detector(*_: object, keep: object = None) -> torch.Tensor:
        if callable(keep):
            keep(rows)
        return torch.zeros(2, 3)

    for keep in (None, lambda given, found: kept.append((given, found))):
        detector_loss(detector, multilabel_loss, keep)(batch)  # type: ignore[arg-type]
    assert kept == [(batch, rows)]

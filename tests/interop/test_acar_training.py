import pytest

from pipeline.interop.acar_training import LABELS, published_rate


def test_the_weights_of_groups_make_a_mean_over_all_classes() -> None:
    assert [group.weight * 60 for group in LABELS.groups] == pytest.approx(LABELS.sizes)
    assert LABELS.sizes == [13, 47]


def test_milestones_are_cut_to_whole_steps() -> None:
    # 5.6 and 5.8 epochs of 7 steps are 39.2 and 40.6 steps.
    rates = [published_rate("r50", step, 7) for step in (38, 39, 40)]
    assert rates == pytest.approx([0.064, 0.0064, 0.00064])
    # 4.6 * 100 is a little below 460 as a float, and upstream cuts it too.
    assert published_rate("r101", 458, 100) == pytest.approx(0.064)
    assert published_rate("r101", 459, 100) == pytest.approx(0.0064)

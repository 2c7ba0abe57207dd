"""The point of the whole: a bank lets a head see what a clip cannot show."""

from pathlib import Path

import pytest

from benchmarks.playground import KINDS, Scores, make_data, run_seed

ONE_THREAD = ["baseline.threads=1", "head_train.threads=1"]


def lifts(scores: dict[str, Scores], kind: str) -> list[float]:
    """How far LFB-NL's long-term AP lies above the baseline's and above linear's."""
    long_term = {head: each[kind]["long-term"] for head, each in scores.items()}
    return [long_term["lfb_nl"] - long_term[control] for control in ("baseline, end to end", "linear")]


@pytest.mark.timeout(1500)
def test_one_seed_lifts_the_long_term_group_on_ground_truth_boxes(tmp_path: Path) -> None:
    """One seed in the fast tests: at least 0.35; the slow test holds three seeds to 0.45."""
    make_data(tmp_path, ONE_THREAD)
    scores = run_seed(tmp_path, 0, ["linear", "lfb_nl"], ONE_THREAD)
    assert min(lifts(scores, "ground_truth")) >= 0.35, scores
    assert min(lifts(scores, "detected")) >= 0.25, scores
    assert scores["linear"]["ground_truth"]["momentary"] >= 0.9, scores


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_three_seeds_lift_the_long_term_group_by_045(tmp_path: Path) -> None:
    make_data(tmp_path, [])
    seeds = [run_seed(tmp_path, seed, ["linear", "lfb_nl"], []) for seed in range(3)]
    for scores in seeds:
        assert min(lifts(scores, "ground_truth")) >= 0.45, scores
        for control in ("baseline, end to end", "linear"):
            # Three signals: the motion alone gives one in three, and what a small val split adds by luck.
            assert 0.2 <= scores[control]["ground_truth"]["long-term"] <= 0.5, scores
    assert {*seeds[0]["linear"]} == {*KINDS}

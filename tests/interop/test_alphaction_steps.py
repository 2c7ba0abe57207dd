"""Training steps of AlphAction: the shipped fixture, and what makes one unreadable."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.base.code_version import REPOSITORY
from pipeline.base.errors import InputError
from pipeline.interop import alphaction_steps
from pipeline.interop.alphaction import our_key, upstream_key
from pipeline.interop.alphaction_steps import check_train_steps, is_train_steps
from pipeline.interop.check_fixture import check_fixture
from pipeline.models.build import build_backbone
from pipeline.models.detector import Detector
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.table import build_head

SHIPPED = REPOSITORY / "tests/fixtures/parity/aia_training/train_steps.json"
Facts = dict[str, Any]


def facts_of() -> Facts:
    read: Facts = json.loads(SHIPPED.read_text())
    return read


@pytest.mark.slow
def test_the_shipped_fixture_passes() -> None:
    """Three steps of the whole network; rounding decides the third, so the number of threads is upstream's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        report = check_fixture(SHIPPED)
    finally:
        torch.set_num_threads(threads)
    assert report.parameters == (75_559_384, 75_559_384)
    assert [each.tensor for each in report.differences if not each.within] == []
    assert len(report.differences) == 48
    assert (report.name, report.upstream) == ("train_steps", "AlphAction 4ea202d7491e")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of the same form with narrow layers in the place of the published one, to run in seconds."""

    def head(name: str, settings: HeadSettings, options: dict[str, Any]) -> Any:
        return build_head(name, settings, {**options, "latent": 8, "hidden": 8} if options else {"hidden": 8})

    monkeypatch.setattr(alphaction_steps, "build_backbone", partial(build_backbone, width=8))
    monkeypatch.setattr(alphaction_steps, "build_head", head)


def narrow_facts() -> tuple[Facts, dict[str, Any]]:
    """The facts for a narrow network: one step, with the numbers of the whole network for what is computed."""
    facts = facts_of()
    facts["input"] = facts["input"].replace("(2,3,64,64,96)", "(2,3,64,32,48)")
    facts["iterations"] = facts["iterations"][:1]
    for held in facts["prefilled_pool"]:
        held["features"] = held["features"].replace("2304", "288")
    return facts, {key: each for key, each in np.load(SHIPPED.with_suffix(".npz")).items() if key.startswith("it1/")}


def test_a_narrow_network_takes_a_step_and_differs_where_its_size_counts(narrow: None, tmp_path: Path) -> None:
    facts, arrays = narrow_facts()
    np.savez(tmp_path / "x.npz", **arrays)
    report = check_train_steps(tmp_path / "x.json", facts)
    assert report.parameters is not None
    assert report.parameters[0] < report.parameters[1] == 75_559_384
    found = {each.tensor: each.within for each in report.differences}
    assert [name for name, within in found.items() if within] == [
        "further groups", "it1/current_loss", "it1/no_grad", "it1/lr_first_group",
    ]  # fmt: skip
    counts = {each.tensor: each for each in report.differences if each.tensor.startswith("group of ")}
    assert len(counts) == 4


def test_groups_have_the_published_numbers_of_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device: the weights of the whole network are not drawn."""
    facts = facts_of()
    monkeypatch.setattr(alphaction_steps, "rule_weight", lambda key, shape: torch.empty(shape, device="meta"))
    run = alphaction_steps._start(facts)
    found = alphaction_steps._compare_groups(run, facts)
    assert [each.tensor for each in found] == [
        "group of weights", "group of biases", "group of interaction weights", "group of interaction biases",
        "further groups",
    ]  # fmt: skip
    assert all(each.within for each in found)
    facts["param_groups"][2]["count"] = 38
    assert [each.within for each in alphaction_steps._compare_groups(run, facts)] == [True, True, False, True, True]


@pytest.mark.parametrize(
    ("head", "options"),
    [("two_layer", {}), ("aia_parallel", {"latent": 8}), ("aia_dense_serial", {"latent": 8})],
)
def test_every_key_has_upstreams_name_and_back(head: str, options: dict[str, Any]) -> None:
    with torch.device("meta"):
        backbone = build_backbone("alphaction_slowfast_r50_4x16", width=8)
        reads = 288 if options else 0
        settings = HeadSettings(
            roi_channels=288,
            bank_channels=reads,
            classes=80,
            window_seconds=3,
            per_second=2,
            objects=2 if options else 0,
        )
        detector = Detector(backbone, build_head(head, settings, options))
    for key in detector.state_dict():
        assert our_key(upstream_key(key), interacts=bool(options)) == key
    with pytest.raises(ValueError, match=r"^head\.other\.weight: AlphAction has no such key$"):
        upstream_key("head.other.weight")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"upstream": "AlphAction, some net"},
            "upstream is 'AlphAction, some net', expected the name of a network, as ",
        ),
        ({"input": "ones"}, "input is 'ones', expected slow = frames 7::16, fast = 0::2"),
        ({"param_groups": []}, "not a whole fixture: KeyError (False, False)"),
    ],
)
def test_what_is_not_known_is_refused(change: Facts, message: str, narrow: None, tmp_path: Path) -> None:
    facts, arrays = narrow_facts()
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError) as error:
        check_train_steps(tmp_path / "x.json", {**facts, **change})
    assert str(error.value).startswith(f"{tmp_path / 'x.json'}: {message}")


def test_more_than_upstream_takes_without_a_draw_is_refused(narrow: None, tmp_path: Path) -> None:
    facts, arrays = narrow_facts()
    np.savez(tmp_path / "x.npz", **arrays)
    facts["objects"]["A 905"] *= 2
    with pytest.raises(InputError, match=r"a clip has more than 5 objects or 5 persons, of which upstream draws$"):
        check_train_steps(tmp_path / "x.json", facts)
    facts["prefilled_pool"][0]["rows"] = 3
    with pytest.raises(InputError, match=r"features are '.*', expected 3 rows of 288 channels$"):
        check_train_steps(tmp_path / "x.json", facts)


def test_the_kind_is_told_by_the_facts() -> None:
    assert is_train_steps(facts_of())
    assert not is_train_steps({"iterations": [], "reads": []})


def test_a_clip_without_a_person_has_no_mean() -> None:
    rows, none = torch.ones(2, 40), np.zeros((0, 32), np.float32)
    arrays = {"it1/pooled0_first32": np.ones((2, 32), np.float32), "it1/pooled1_first32": none}
    plan = {"iteration": 1, "clips": [["A", 1], ["A", 2]], "pooled_mean": [1.0, float("nan")]}
    found = alphaction_steps._compare_pooled(rows, torch.zeros(2, dtype=torch.int64), plan, arrays, 1e-4)
    assert [each.tensor for each in found if not each.within] == []
    plan["pooled_mean"] = [1.1, None]
    found = alphaction_steps._compare_pooled(rows, torch.zeros(2, dtype=torch.int64), plan, arrays, 1e-4)
    assert [each.tensor for each in found if not each.within] == ["it1/pooled_mean"]


def test_more_stored_rows_than_are_read_are_refused_as_upstream_draws() -> None:
    held = {"movie": "A", "second": 880, "rows": 6, "loss_tag": 1.0, "features": ""}
    with pytest.raises(InputError, match="prefilled_pool has 6 rows at A 880, of which upstream draws 5"):
        alphaction_steps._filled_memory({**facts_of(), "prefilled_pool": [held]}, 4)

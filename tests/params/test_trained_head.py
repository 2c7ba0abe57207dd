"""The head that is trained, and what makes the features that it works on."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import InputError
from pipeline.checkpoint.weights import BASELINE, save_checkpoint
from pipeline.params import Params, parse_params
from pipeline.params.trained_head import feature_source, trained_head
from pipeline.training.head_training import Start
from tests.bank.banks import PROVENANCE, make_rows, write_small_bank
from tests.checkpoint import sidecars
from tests.params.test_params import composed

EXTERNAL = {"scope.sidecar": "conf/none/sidecar", "bank.train": "train.zarr"}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def params(**values: Any) -> Params:
    return parse_params(composed(**values), "params.yaml")


def test_of_a_baseline_its_sidecar_says_what_makes_the_features() -> None:
    sha256 = save_checkpoint(BASELINE, {}, sidecars.checkpoint(sidecars.BASELINE))
    given = params(**{"scope.sidecar": "models/baseline.json", "head_train.init": "baseline"})
    found = feature_source(given)
    assert (found.backbone, found.width, found.channels, found.sha256) == ("slowfast_tiny", None, 320, sha256)
    spec, start = trained_head(given)
    assert start == Start(given.scope.weights, True, sha256)
    assert (spec.scope, spec.head, spec.classes, spec.roi_channels, spec.bank_channels) == (
        "head", given.head, 20, 320, 320,
    )  # fmt: skip
    assert (spec.dropout, spec.threads) == (given.head_train.dropout, given.head_train.threads)
    other = trained_head(params(**{"scope.sidecar": "models/baseline.json", "head_train.init": "kinetics"}))[1]
    assert other == Start(given.head_train.kinetics, False, sha256)


def test_without_a_baseline_in_scope_all_the_parameters_say_it() -> None:
    given = params(**{"scope.sidecar": "conf/none/sidecar", "scope.name": "all", "backbone.width": 8})
    found = feature_source(given)
    assert (found.backbone, found.width, found.input, found.roi, found.sha256) == (
        given.backbone.name, 8, given.backbone.input, given.roi, None,
    )  # fmt: skip
    assert (
        found.channels * 2 == feature_source(params(**{**EXTERNAL, "scope.name": "all", "backbone.width": 16})).channels
    )


def test_an_external_bank_says_it_as_far_as_it_knows() -> None:
    known = {**PROVENANCE, "clip": sidecars.INPUT, "roi": sidecars.ROI, "width": 8}
    write_small_bank(Path("train.zarr"), {"v": make_rows({0.0: 1})}, provenance=known)
    found = feature_source(params(**EXTERNAL))
    assert (found.backbone, found.width, found.channels, found.sha256) == ("tiny", 8, 4, "c" * 64)
    assert found.input is not None
    assert (found.input.frames, found.roi is None) == (4, False)
    write_small_bank(Path("bare.zarr"), {"v": make_rows({0.0: 1})}, provenance={}, attributes={})
    bare = feature_source(params(**{**EXTERNAL, "bank.train": "bare.zarr"}))
    assert (bare.backbone, bare.width, bare.input, bare.roi, bare.sha256) == (None,) * 5
    write_small_bank(Path("other.zarr"), {"v": make_rows({0.0: 1})}, provenance={**known, "clip": {"frames": 4}})
    with pytest.raises(InputError, match=r"^other\.zarr: clip: has no 'interval'$"):
        feature_source(params(**{**EXTERNAL, "bank.train": "other.zarr"}))


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"models/baseline\.json"):
        trained_head(params(**{"scope.sidecar": "models/baseline.json"}))
    with pytest.raises(InputError, match=r"^train\.zarr: no such bank$"):
        trained_head(params(**EXTERNAL))

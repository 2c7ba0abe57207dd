"""`actionbank parity` on fixtures made here: what it prints and how it exits."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.base.command import new_app
from pipeline.base.errors import InputError
from pipeline.commands.parity import parity
from tests.interop.made_fixture import made_fixture, slowonly
from tests.interop.test_mmaction2_model import change

APP = new_app()
APP.command()(parity)


@pytest.fixture(scope="module")
def fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_fixture(tmp_path_factory.mktemp("fixture"), slowonly(base_channels=8) | _head(256), frames=2)


def _head(channels: int) -> dict[str, object]:
    return {"bbox_head": {**slowonly()["bbox_head"], "in_channels": channels}}


def test_it_passes_and_prints_every_tensor(fixture: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(APP, [str(fixture), "--threads", "1", "--json", str(tmp_path / "out.json")])
    assert result.exit_code == 0, result.output
    found = result.output.splitlines()
    facts = json.loads(fixture.read_text())
    assert found[0] == f"parameters {facts['parameter_count']:,}, as upstream"
    assert found[1].split() == ["tensor", "values", "largest", "of", "tolerance"]
    names = [line.split()[0] for line in found[2:-1]]
    assert set(names) == {"backbone_out0", "roi_feats", "global_feat", "fc_in", "cls_score", "prob"}
    assert re.fullmatch(
        r"anything \(MMAction2\): 6 of 6 tensors within 0\.0001 \+ 0\.0001 \|x\|, largest difference \S+: passed",
        found[-1],
    )
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["passed"]
    assert set(written["tensors"]) == set(names)
    assert written["tensors"]["cls_score"]["values"] == 15


def test_it_fails_where_a_number_or_a_count_differs(fixture: Path, tmp_path: Path) -> None:
    arrays = dict(np.load(fixture.with_suffix(".npz")))
    arrays["cls_score"] = arrays["cls_score"] + 0.01
    np.savez(tmp_path / "x.npz", **arrays)
    facts = json.loads(fixture.read_text())
    (tmp_path / "x.json").write_text(json.dumps({**facts, "parameter_count": 3}))
    result = CliRunner().invoke(APP, [str(tmp_path / "x.json")])
    assert result.exit_code == 1
    assert ", upstream 3: differs" in result.output
    assert re.search(r"^cls_score .*  too far$", result.output, re.MULTILINE)
    assert "5 of 6 tensors within" in result.output
    assert result.output.splitlines()[-1].endswith(": FAILED")


def test_what_is_not_supported_is_one_line(fixture: Path, tmp_path: Path) -> None:
    facts = json.loads(fixture.read_text())
    facts["hyper"] = change(facts["hyper"], "backbone.style", "caffe")
    (tmp_path / "x.json").write_text(json.dumps(facts))
    (tmp_path / "x.npz").write_bytes(fixture.with_suffix(".npz").read_bytes())
    result = CliRunner().invoke(APP, [str(tmp_path / "x.json")])
    assert isinstance(result.exception, InputError)
    assert str(result.exception) == (f"{tmp_path / 'x.json'}: hyper.backbone.style is 'caffe', supported: 'pytorch'")

import re
from pathlib import Path

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.interop.frameworks import recognise_checkpoint
from tests.interop.small_models import caffe2_blobs, pyslowfast_state, small_detector, write_pickle
from tests.interop.test_convert_checkpoint import save


def test_what_a_pyslowfast_head_scores_is_told_by_its_configuration_its_rows_or_the_user(tmp_path: Path) -> None:
    state = pyslowfast_state(small_detector("pyslowfast_slow_r50", "linear"))
    path = save(tmp_path, {"model_state": state, "cfg": "DETECTION:\n  ENABLE: false\n"})
    assert recognise_checkpoint(path).kind == "classifier"
    assert recognise_checkpoint(path, taken_as="detector").kind == "detector"
    foreign = recognise_checkpoint(save(tmp_path, {"model_state": state}))
    assert foreign.kind == "classifier"
    assert foreign.notes == ("its head has 4 rows, so it is taken as a classifier's; --as says otherwise",)
    state["head.projection.weight"] = torch.zeros(80, 256)
    assert recognise_checkpoint(save(tmp_path, {"model_state": state, "cfg": "}{"})).kind == "detector"


@pytest.mark.parametrize("config", ["[" * 100_000, "a: 2001-99-99", "DETECTION: 3", "a: &x [*x]"])
def test_a_configuration_that_nobody_can_read_tells_nothing(tmp_path: Path, config: str) -> None:
    state = pyslowfast_state(small_detector("pyslowfast_slow_r50", "linear"))
    foreign = recognise_checkpoint(save(tmp_path, {"model_state": state, "cfg": config}))
    assert foreign.notes == ("its head has 4 rows, so it is taken as a classifier's; --as says otherwise",)


def test_a_network_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    blobs = caffe2_blobs(pyslowfast_state(small_detector("pyslowfast_slow_r50", "linear")))
    blobs["lfb_1x1_w"] = blobs["pred_w"]
    message = f"{tmp_path}/y.pkl: 1 blobs of an I3D network with non-local blocks or of a head on it (lfb_1x1_w), which"
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        recognise_checkpoint(write_pickle(tmp_path / "y.pkl", blobs))

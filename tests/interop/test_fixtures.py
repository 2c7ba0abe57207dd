import json
import re
from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.interop.fixtures import read_fixture
from tests.interop.made_fixture import FOLDER, slowonly


def test_a_file_that_is_no_fixture_of_a_detector_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"cases": []}))
    message = (
        f"{path}: no parity fixture of a detector: it has neither hyper (MMAction2) nor a resolved_config of "
        "PySlowFast beside state_dict"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read_fixture(path)
    path.write_text(json.dumps({"state_dict": [], "hyper": {"backbone": {"depth": 50}, "head": {}}}))
    with pytest.raises(InputError, match=r"x\.npz: cannot be read: "):
        read_fixture(path)
    path.with_suffix(".npz").write_bytes((FOLDER / "slowonly-r50-4x16-ava21.npz").read_bytes())
    message = f"{path}: hyper.backbone_type is missing: this is no detector (recognizers such as TRN are not built)"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read_fixture(path)
    path.write_text(json.dumps({"state_dict": [], "hyper": slowonly()}))
    with pytest.raises(InputError, match=r"x\.json: not a whole fixture: KeyError 'tensors'$"):
        read_fixture(path)

import inspect
from dataclasses import replace
from typing import Any

import pytest
from torch import nn

from pipeline.base.code_version import import_closure
from pipeline.base.errors import InputError
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.table import HEADS, build_head, require_scope

SETTINGS = HeadSettings(roi_channels=6, bank_channels=4, classes=3, map_channels=5, window_seconds=4, per_second=2)


@pytest.mark.parametrize("name", HEADS)
def test_every_head_is_built_by_its_name_and_its_options_have_defaults(name: str) -> None:
    fitting: dict[str, Any] = {"aia": {"roi_channels": 4, "objects": 2}, "aca": {"roi_channels": 5}}
    head = build_head(name, replace(SETTINGS, **fitting.get(name[:3], {})))
    assert isinstance(head.classifier, nn.Linear)
    assert head.classifier.out_features == 3
    assert head.scopes == ({"all"} if name in ("acrn", "acar", "acar_lfb") else {"head", "all"})
    options = list(inspect.signature(HEADS[name]).parameters.values())[1:]
    assert all(each.kind == each.KEYWORD_ONLY and each.default is not each.empty for each in options)


def test_a_scope_that_a_head_cannot_do_is_refused() -> None:
    head = build_head("acrn", SETTINGS)
    require_scope("acrn", head, "all")
    with pytest.raises(InputError, match=r"^head acrn: it cannot train in scope head, expected all$"):
        require_scope("acrn", head, "head")


def test_the_baseline_does_not_depend_on_the_table() -> None:
    reached = import_closure("pipeline.models.build")
    assert {"pipeline/models/heads/linear.py", "pipeline/models/heads/acar.py"} < set(reached)
    assert not [path for path in reached if "lfb" in path or "/aia" in path or path.endswith("table.py")]

"""Settings that are read from outside: what pydantic refuses of a plain dataclass."""

import dataclasses
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.bank.settings import BankSettings
from pipeline.base.code_version import import_closure
from pipeline.models.settings import BaselineHead, LabelGroup, Labels, LongTermHead, RoiSettings, WindowSettings

WINDOW = {"seconds": 3, "per_second": 2, "mask": "valid", "score": 0.5}
WHOLE: list[tuple[Any, dict[str, Any]]] = [
    (RoiSettings, {"output_size": 7}),
    (Labels, {"kind": "single"}),
    (LabelGroup, {"classes": "poses", "kind": "softmax"}),
    (WindowSettings, WINDOW),
    (BaselineHead, {"name": "linear"}),
    (LongTermHead, {"name": "lfb_nl", "reads": "bank", "standardise": "none", "window": WINDOW}),
    (
        BankSettings,
        {"box_threshold": 0.5, "seconds": "grid", "dtype": "fp16", "codec": "none", "compute_dtype": "fp32",
         "lower_threshold": False, "full_frame_box": False},
    ),
]  # fmt: skip


def refusal(form: Any, value: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(ValidationError) as error:
        TypeAdapter(form).validate_python(value)
    (first,) = error.value.errors()
    return ".".join(map(str, first["loc"])), first["type"]


@pytest.mark.parametrize(("form", "value"), WHOLE)
def test_an_unknown_key_is_refused_and_nothing_can_be_changed(form: Any, value: dict[str, Any]) -> None:
    read = TypeAdapter(form).validate_python(value)
    assert type(read) is form
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(read, next(iter(value)), None)
    assert refusal(form, {**value, "other": 1}) == ("other", "unexpected_keyword_argument")


@pytest.mark.parametrize(
    ("form", "change", "found"),
    [
        (RoiSettings, {"output_size": 0}, ("output_size", "greater_than")),
        (WindowSettings, {"seconds": 0}, ("seconds", "greater_than")),
        (WindowSettings, {"score": float("inf")}, ("score", "finite_number")),
        (BankSettings, {"box_threshold": float("nan")}, ("box_threshold", "finite_number")),
        (LabelGroup, {"weight": 0}, ("weight", "greater_than")),
        (BaselineHead, {"name": "../x"}, ("", "value_error")),
        (LongTermHead, {"window": {**WINDOW, "span": "before"}}, ("window.span", "literal_error")),
        (LongTermHead, {"reads": "features"}, ("", "value_error")),
    ],
)
def test_bounds_are_kept(form: Any, change: dict[str, Any], found: tuple[str, str]) -> None:
    (value,) = (each for known, each in WHOLE if known is form)
    assert refusal(form, {**value, **change}) == found


def test_settings_need_nothing_else_of_the_project() -> None:
    for name in ("models", "bank"):
        others = set(import_closure(f"pipeline.{name}.settings")) - {f"pipeline/{name}/settings.py"}
        assert others <= {
            "pipeline/tables/window_span.py", "pipeline/tables/select_boxes.py", "pipeline/base/omitted_fields.py",
        }  # fmt: skip


def test_groups_of_labels_go_with_their_kind() -> None:
    figures, names = LabelGroup(classes=2, kind="softmax"), LabelGroup(classes="poses", kind="softmax")
    with pytest.raises(ValueError, match=r"^\.kind is grouped, and \.groups has 0 groups$"):
        Labels("grouped")
    with pytest.raises(ValueError, match=r"^\.kind is multi, and \.groups has 1 groups$"):
        Labels(groups=(figures,))
    with pytest.raises(ValueError, match=r"^\.background is a column of the softmax, and \.kind is grouped$"):
        Labels("grouped", background=True, groups=(figures,))
    message = r"^\.groups has numbers of classes and names of groups, expected one or the other$"
    with pytest.raises(ValueError, match=message):
        Labels("grouped", groups=(figures, names))
    message = r"^\.loss binary is of a softmax, and \.kind is sigmoid, whose loss is binary anyway$"
    with pytest.raises(ValueError, match=message):
        LabelGroup(classes=2, kind="sigmoid", loss="binary")
    whole = Labels("grouped", groups=(figures, LabelGroup(classes=3, kind="sigmoid"), figures))
    assert (whole.sizes, whole.names, whole.softmax_ids, whole.decode) == ([2, 3, 2], [], [(1, 2), (6, 7)], "all")
    named = Labels("grouped", groups=(names,))
    assert (named.sizes, named.names) == ([], ["poses"])

"""The block `recognition`, and how its choices are composed again."""

from pathlib import Path

import pytest

from pipeline.base.code_version import REPOSITORY
from pipeline.base.errors import InputError
from pipeline.params import load_track, parse_params
from pipeline.params.choices import chosen_overrides
from pipeline.project.compose import (
    compose_params,
    params_text,
    record_values,
    said_overrides,
    stale_keys,
)
from tests.params.test_params import composed

CONF = REPOSITORY / "conf"


def test_choices_of_nested_groups_are_composed_again() -> None:
    given = ["recognition/head=tsn", "recognition.train.lr=0.05"]
    values = compose_params(given, CONF)
    record_values(values, given)
    assert values["choices"]["values"] == ["recognition.train.lr=0.05"]
    assert "recognition/head=tsn" in chosen_overrides(values)
    assert said_overrides(values, CONF) == given
    assert stale_keys(values, CONF) == []
    values["recognition"]["head"]["dropout"] = 0.3
    assert stale_keys(values, CONF) == ["recognition.head.dropout: 0.3, conf/ says 0.0"]


def test_a_track_is_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text(params_text(compose_params(["recognition/head=trn"], CONF)))
    monkeypatch.chdir(tmp_path)
    assert load_track("recognition").head.name == "trn"
    assert load_track("detection").dataset.name == "playground"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"recognition.frames.short_side": 24},
            "recognition.frames.short_side 24 is below recognition.backbone.input.short_side 32: views would be "
            "upsampled; store larger frames, or set it to none",
        ),
        (
            {"recognition.backbone.input.crop": 48},
            "recognition.backbone.input: a crop of 48 from a short side of 32",
        ),
        ({"recognition.train.norm": "sometimes"}, "recognition.train.norm: "),
        (
            {"recognition.dataset.name": "playground"},
            "parameters: recognition.dataset.name is playground, as dataset.name: both pipelines would write its outs; "
            "expected another name",
        ),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError) as error:
        parse_params(composed(**values), "params.yaml")
    assert expected in str(error.value)

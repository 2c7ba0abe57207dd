"""The classes of named groups come from the label map of the data set."""

from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.params import parse_params
from pipeline.params.counted_labels import counted_labels
from pipeline.project.compose import compose_params
from pipeline.tables.label_map import AVA_EVALUATED, write_labels

NAMED = (
    "labels={kind: grouped, groups: [{classes: person_movement, kind: softmax, weight: 1.2}, "
    "{classes: object_manipulation, kind: sigmoid}, {classes: person_interaction, kind: sigmoid}]}"
)


def test_groups_are_counted_where_they_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = parse_params(compose_params(["dataset=ava22", NAMED]), "conf")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"labels\.json"):
        counted_labels(params)
    (tmp_path / "data/ava22/annotations").mkdir(parents=True)
    write_labels(tmp_path / "data/ava22/annotations/labels.json", AVA_EVALUATED)
    found = counted_labels(params)
    assert found.sizes == [14, 49, 17]
    assert [group.weight for group in found.groups] == [1.2, 1, 1]


def test_numbers_need_no_label_map_and_have_to_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = "labels={{kind: grouped, groups: [{{classes: 14, kind: softmax}}, {{classes: {}, kind: sigmoid}}]}}"
    composed = compose_params(["dataset=ava22", labels.format(66)])
    with pytest.raises(InputError) as error:
        compose_params(["dataset=ava22", labels.format(67)])
    assert str(error.value).endswith(
        "parameters: labels.groups: 14 + 67 are 81 classes, expected the 80 of dataset.classes"
    )
    monkeypatch.chdir(tmp_path)
    params = parse_params(composed, "conf")
    assert counted_labels(params) == params.labels

from pathlib import Path

import pytest
import yaml

from pipeline.base.errors import InputError
from pipeline.params import load_params
from pipeline.params.choices import compose_words
from tests.params.test_params import composed


def test_the_command_that_composes_a_file_again() -> None:
    assert compose_words({}) == compose_words(None) == compose_words({"choices": 3}) == "actionbank compose"
    choices = {"head": "linear", "bank": None, "experiment": "nl", "values": ["a.b=[1, 2]"]}
    assert compose_words({"choices": choices}) == "actionbank compose head=linear +experiment=nl 'a.b=[1, 2]'"


def test_a_file_of_another_version_says_which_keys_and_what_to_do(tmp_path: Path) -> None:
    values = composed(**{"frames.depth": 8, "head.colour": "red", "scope.name": "head"})
    del values["boxes"]["tracks"], values["seed"]
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError) as error:
        load_params(path)
    text = str(error.value)
    for words in ("seed: is missing", "boxes.tracks: is missing", "frames.depth: is no parameter",
                  "head.colour: is no parameter"):  # fmt: skip
        assert words in text
    words = compose_words(yaml.safe_load(path.read_text()))
    assert text.endswith(f"; the file is of another version, or was edited: `{words}` writes it anew")
    assert " head=lfb_avg " in words


def test_a_value_out_of_range_asks_for_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(composed(**{"frames.quality": 101})))
    with pytest.raises(InputError, match=r"frames\.quality: Input should be less than or equal to 100 \(found 101\)$"):
        load_params(path)

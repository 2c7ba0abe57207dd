import pytest

from pipeline.base.errors import InputError
from pipeline.commands.convert_recognizers import view_settings


def test_a_recognizers_settings_come_from_the_block_of_its_recipe() -> None:
    shown = {"short_side": 64, "crop": 56, "mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0]}
    block = {
        "head": {"name": "tsn", "dropout": 0.3}, "backbone": {"input": shown, "segments": 4}, "dataset": {"classes": 7},
    }  # fmt: skip
    settings = view_settings({"recognition": block})
    assert (settings.dropout, settings.segments, settings.classes) == (0.3, 4, 7)
    assert (settings.input.crop, settings.head and settings.head.name) == (56, "tsn")
    message = r"^the parameters have no block recognition, which a recognizer's settings come from$"
    with pytest.raises(InputError, match=message):
        view_settings({})

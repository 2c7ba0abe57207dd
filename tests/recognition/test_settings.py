"""Settings of the training of a recognizer."""

import pytest
from pydantic import ValidationError

from tests.recognition.clips import settings_of


def test_an_epoch_is_selected_by_top1_and_a_training_needs_one() -> None:
    settings = settings_of()
    assert (settings.headline, settings.block) == ("top1", "recognition.train")
    assert not settings.is_over([{"epoch": 1, "top1": 0.5}])
    stopping = settings_of(early_stop={"patience": 1})
    assert stopping.is_over([{"epoch": 1, "top1": 0.5, "map": 0.1}, {"epoch": 2, "top1": 0.5, "map": 0.2}])
    with pytest.raises(ValidationError, match=r"\.schedule.epochs is 0, expected 1 or more"):
        settings_of(schedule={"epochs": 0})
    with pytest.raises(ValidationError, match=r"\.checkpoint.select best needs a \.validation\.interval above 0"):
        settings_of(validation={"interval": 0})
    with pytest.raises(ValidationError, match="channels_last"):
        settings_of(memory_format="channels_last_3d")

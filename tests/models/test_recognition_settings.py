import re

import pytest

from pipeline.base.errors import InputError
from pipeline.checkpoint.sidecars import read_settings
from pipeline.models.recognition_settings import RecognitionHead


def test_a_head_of_relations_has_channels_and_tsn_has_none() -> None:
    assert RecognitionHead(name="tsn", dropout=0.5).hidden is None
    trn = RecognitionHead(name="trn_multiscale", dropout=0.8, channels=256, hidden=256)
    assert (trn.per_scale, trn.test_relations, trn.relation_seed) == (3, "fixed", 0)
    with pytest.raises(ValueError, match=r"^\.channels is 8, and \.name is tsn; expected null$"):
        RecognitionHead(name="tsn", dropout=0.5, channels=8)
    with pytest.raises(ValueError, match=r"^\.hidden is None, and \.name is trn; expected a number$"):
        RecognitionHead(name="trn", dropout=0.5, channels=8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dropout": 1.0}, "dropout: Input should be less than 1 (found '1.0')"),
        ({"per_scale": 0}, "per_scale: Input should be greater than 0 (found '0')"),
        ({"test_relations": "some"}, "test_relations: Input should be 'fixed', 'all' or 'drawn' (found 'some')"),
        ({"bottleneck": 1}, "bottleneck: Extra inputs are not permitted (found '1')"),
    ],
)
def test_what_is_no_setting_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(f'head: {message}')}$"):
        read_settings(RecognitionHead, {"name": "trn", "dropout": 0.5, "channels": 8, "hidden": 8, **changes}, "head")

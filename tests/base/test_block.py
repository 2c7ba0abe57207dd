import pytest
from pydantic import ValidationError

from pipeline.base.block import Block, Fraction, Positive


class Sizes(Block):
    count: Positive = 1
    share: Fraction = 0.5
    factor: float = 1.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cuont": 2}, "Extra inputs are not permitted"),
        ({"count": 0}, "Input should be greater than 0"),
        ({"share": 1.5}, "Input should be less than or equal to 1"),
        ({"share": -0.1}, "Input should be greater than or equal to 0"),
        ({"factor": float("nan")}, "Input should be a finite number"),
        ({"factor": float("inf")}, "Input should be a finite number"),
    ],
)
def test_a_block_takes_no_unknown_key_and_no_number_out_of_bounds(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        Sizes.model_validate(values)
    assert [each["msg"] for each in error.value.errors()] == [message]


def test_a_share_may_be_all_or_nothing_and_a_block_does_not_change() -> None:
    assert [Sizes(share=each).share for each in (0, 1)] == [0, 1]
    with pytest.raises(ValidationError, match="Instance is frozen"):
        Sizes().count = 2

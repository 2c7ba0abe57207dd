import pytest

from pipeline.tables.window_span import Span, own_second


@pytest.mark.parametrize(
    ("seconds", "span", "own"),
    [(5, "past", 4), (5, "centred", 2), (6, "centred", 3), (5, "future", 0), (1, "past", 0), (1, "centred", 0)],
)
def test_the_keyframes_own_second_is_last_middle_or_first(seconds: int, span: Span, own: int) -> None:
    assert own_second(seconds, span) == own

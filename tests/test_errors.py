import pytest

from pipeline.errors import LONGEST, InputError, one_line
from pipeline.problems import LONGEST_PART, Problem


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("für a\u2009b", "für a\\u2009b"),
        ("a\nb\x1b[31m", "a\\nb\\x1b[31m"),
        ("film\udcff.mp4", "film\\udcff.mp4"),
        ("\U0001f600", "\U0001f600"),
    ],
)
def test_foreign_text_is_one_line_that_can_be_printed(text: str, shown: str) -> None:
    assert str(InputError(text)) == one_line(text) == shown
    assert Problem(text, text, text, text).found == shown


def test_a_long_message_keeps_its_ends() -> None:
    message = str(InputError("file: " + "9" * 10_000 + ": expected a number"))
    assert message.startswith("file: 999")
    assert message.endswith("999: expected a number")
    assert " [... 6025 characters ...] " in message
    assert len(message) == LONGEST + len(" [... 6025 characters ...] ")
    assert len(Problem("f", "i", "x" * 9999, "e").found) < LONGEST_PART + 40

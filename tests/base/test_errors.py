import pytest

from pipeline.base.errors import LONGEST, InputError, counted, one_line


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


def test_a_long_message_keeps_its_ends() -> None:
    message = str(InputError("file: " + "9" * 10_000 + ": expected a number"))
    assert message.startswith("file: 999")
    assert message.endswith("999: expected a number")
    assert " [... 6025 characters ...] " in message
    assert len(message) == LONGEST + len(" [... 6025 characters ...] ")


def test_one_thing_is_no_things() -> None:
    assert [counted(number, "film") for number in (0, 1, 2)] == ["0 films", "1 film", "2 films"]
    assert [counted(number, "box", "boxes") for number in (1, 3)] == ["1 box", "3 boxes"]

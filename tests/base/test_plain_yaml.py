import re
from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.base.plain_yaml import parse_yaml, read_yaml
from pipeline.params import load_params


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: 1\nb: \xff\xfe\n", "p: line 2 is not UTF-8 text, expected YAML"),
        ("a: 1\n".encode("utf-16"), "p: line 1 is not UTF-8 text, expected YAML"),
        (b"a: 1\na: 2\n", "p: not YAML: the key 'a' stands twice, first in line 1 in .*line 2, column 1"),
        (b"a:\n  b: 1\n  c: 2\n  b: 3\n", "p: not YAML: the key 'b' stands twice, first in line 2"),
        (b"a: 1\n\tb: 2\n", r"p: not YAML: .*cannot start any token.*line 2"),
        (b"a: 2001-99-99\n", "p: not YAML: month must be in 1..12"),
        (b"a: " + b"9" * 5000, "p: not YAML: Exceeds the limit"),
        (b"[" * 2000, "p: not YAML"),
        (b"{a: " * 2000, "p: not YAML"),
        (b"- 1\n", r"p: found a list, expected a mapping \(`key: value` lines\)"),
        (b"", "p: found nothing, expected a mapping"),
        (b"7", "p: found a int, expected a mapping"),
        (b"a: \x00", "p: not YAML: unacceptable character"),
        (b"a: !!python/object:os.system {}\n", "p: not YAML: could not determine a constructor"),
        (b"? [1, 2]\n: 3\n? {a: 1}\n: 4\n", "p: not YAML: while constructing a mapping .* found unhashable key"),
    ],
)
def test_what_is_wrong_is_one_line(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}") as error:
        parse_yaml(data, "p")
    assert "\n" not in str(error.value)


def test_a_byte_order_mark_and_merged_keys_are_read() -> None:
    text = "\ufeffbase: &base {a: 1, b: 2}\nother: {<<: *base, b: 3}\n"
    assert parse_yaml(text.encode(), "p")["other"] == {"a": 1, "b": 3}


def test_an_absent_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'x'}: no such file; run it in the project's folder")):
        read_yaml(tmp_path / "x")
    with pytest.raises(IsADirectoryError):  # one line at the edge: tests/base/test_faults.py
        read_yaml(tmp_path)


def test_a_small_file_that_stands_for_a_large_value_has_a_short_message(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 12)]
    (tmp_path / "params.yaml").write_text("\n".join(lines))
    with pytest.raises(InputError, match="a11: is no parameter") as error:
        load_params(tmp_path / "params.yaml")
    assert len(str(error.value)) < 10_000

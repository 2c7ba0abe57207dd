from typing import Any

import pytest
import torch

from benchmarks import acar


def test_both_sides_of_the_relations_are_equal_and_a_table_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(acar, "MAP", (3, 4))
    monkeypatch.setattr(acar, "SLOTS", 4)
    monkeypatch.setattr(acar, "apart", lambda function, *arguments: 1.0)
    split, tiled = (acar.relation_step(kind, 3, 4)() for kind in ("split", "tiled"))
    torch.testing.assert_close(split, tiled)
    sizes: dict[str, Any] = {"persons": "2", "repeats": 1, "hidden": 4}
    acar.main(**sizes)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:6]] == ["| tiled", "| split", "| maps", "| rows"]
    assert lines[-1] == "A row of the bank: 4608 bytes; a map 704 bytes, 0.2 times"

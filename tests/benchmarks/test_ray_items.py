import json
import sys

import pytest

from benchmarks import ray_items
from pipeline.base.executors import EXECUTOR


@pytest.mark.parametrize("files", [[], ["--files"]])
def test_it_measures_each_number_of_items(files: list[str], monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("DVC_ROOT", "put back")
    monkeypatch.delenv(EXECUTOR, raising=False)
    monkeypatch.setattr(sys, "argv", ["ray_items", "2", "3", *files])
    ray_items.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["executor"], each["items"]) for each in lines] == [("threads", 2), ("threads", 3)]
    assert all(each["cpu_s"] >= 0 and each["driver_mib"] > 10 for each in lines)

import json
from pathlib import Path

import pytest

from benchmarks import head_steps
from benchmarks.head_steps import REPOSITORY, Case, compare, measure
from benchmarks.synthetic_bank import Size, write_all


def test_both_modes_are_measured_and_two_sides_make_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_all(tmp_path, Size(films=2, val_films=1, seconds=200, channels=128, classes=4), workers=1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    asked: list[str] = []

    def here(checkout: Path, folder: Path, case: Case) -> dict[str, float]:
        asked.append(checkout.name)
        return measure(folder, Case(**json.loads(json.dumps(vars(case)))))

    monkeypatch.setattr(head_steps, "side", here)
    for mode in ("train", "score"):
        row = compare(tmp_path, Case("lfb_nl", 2, mode, batch=3, latent=4, repeats=1), tmp_path, turns=1)
        assert row[:3] == ["lfb_nl", mode, "2"]
        assert row[3].endswith(" s")
    assert asked == [tmp_path.name, REPOSITORY.name] * 2

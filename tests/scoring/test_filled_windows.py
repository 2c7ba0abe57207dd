"""Windows that hold no row, because the bank has other films or other times."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.synthetic_bank import FIRST_SECOND, Size, write_all
from pipeline.bank.reader import Bank, open_bank
from pipeline.base.errors import InputError
from pipeline.features.windows import WindowOptions, window_source
from pipeline.models.settings import WindowSettings
from pipeline.scoring.filled_windows import check_windows
from pipeline.tables.keyframes import KeyframeSet

SHAPE = WindowSettings(seconds=9, per_second=1, score=0.9, mask="valid")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    folder = tmp_path_factory.mktemp("banks")
    write_all(folder, Size(films=4, val_films=1, seconds=24, channels=16, classes=5), workers=1)
    return open_bank(folder / "data/synthetic/bank/train.zarr")


def keyframes(*moments: tuple[str, float]) -> KeyframeSet:
    names, stamps = [each for each, _ in moments], np.array([at for _, at in moments], np.float64)
    none, offsets = np.zeros((0, 4)), np.zeros(len(moments) + 1, np.int64)
    return KeyframeSet(names, stamps, stamps, none, np.zeros((0, 5), bool), offsets, none, np.zeros(0), offsets)


def check(bank: Bank, chosen: KeyframeSet, mode: str = "streamed", **shape: Any) -> dict[str, dict[str, int]]:
    device = torch.device("cpu")
    return check_windows(
        window_source([bank], replace(SHAPE, **shape), device=device, options=WindowOptions(mode, 1)), {"train": chosen}
    )


@pytest.mark.parametrize("mode", ["streamed", "resident"])
def test_windows_with_rows_are_counted_and_nothing_is_said(
    bank: Bank, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    every = keyframes(*((film, FIRST_SECOND + 10.0) for film in bank.videos))
    assert check(bank, every, mode) == {"train": {"keyframes": 3, "empty": 0, "films_not_in_bank": 0}}
    assert check(bank, keyframes(), mode) == {"train": {"keyframes": 0, "empty": 0, "films_not_in_bank": 0}}
    assert check_windows(None, {"train": every}) == {}
    assert capsys.readouterr().err == ""


def test_some_empty_windows_are_counted_and_said(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    film = bank.videos[0]
    some = keyframes((film, FIRST_SECOND + 10.0), (film, FIRST_SECOND + 500.0), (f"{film}.mp4", FIRST_SECOND + 10.0))
    assert check(bank, some) == {"train": {"keyframes": 3, "empty": 2, "films_not_in_bank": 1}}
    assert capsys.readouterr().err == (
        f"windows of train: 2 of 3 hold no row of the bank; 1 of 2 films are in no bank, the first: '{film}.mp4'\n"
    )


def refusal(bank: Bank, chosen: KeyframeSet) -> str:
    with pytest.raises(InputError) as error:
        check(bank, chosen)
    return str(error.value).removeprefix(f"{bank.where}: ")


def test_a_bank_of_other_films_is_refused(bank: Bank) -> None:
    first = bank.videos[0]
    assert refusal(bank, keyframes((f"{first}.mp4", 910.0), ("zz", 910.0))) == (
        f"no film of the bank is an annotated film of train: '{first}' in the bank, '{first}.mp4' in the annotations "
        f"(is {first} {first}.mp4?)"
    )
    assert refusal(bank, keyframes(("zz", 910.0))) == (
        f"no film of the bank is an annotated film of train: '{first}' in the bank, 'zz' in the annotations"
    )


@pytest.mark.parametrize("stamps", [(10.0, 20.0), (27300.0, 27330.0)], ids=["an offset of 900", "frames"])
def test_a_bank_of_other_times_is_refused(bank: Bank, stamps: tuple[float, float]) -> None:
    film = bank.videos[1]
    message = refusal(bank, keyframes(*((film, at) for at in stamps)))
    assert message.startswith(
        f"no window of 9 s around a keyframe of train holds a row: of film {film!r} the bank has rows from timestamp 90"
    )
    assert message.endswith(f"keyframes from {stamps[0]:g} to {stamps[1]:g}; expected the same timestamps")


def test_a_window_without_its_keyframe_is_looked_at_as_it_is(bank: Bank) -> None:
    """The row set has rows at the keyframe's own second alone."""
    film = bank.videos[0]
    stamps = bank.column(film, "detections", "timestamp")
    assert stamps is not None
    alone = keyframes((film, float(stamps[0])))
    assert check(bank, alone, seconds=1, span="past")["train"]["empty"] == 0
    with pytest.raises(InputError, match="no window of 1 s"):
        check(bank, alone, seconds=1, span="past", exclude_keyframe=True)

"""What a training prints: one bar on a terminal, else a line per epoch, and nothing from other ranks."""

import functools
import io
import re
import sys
from pathlib import Path

import pytest
from tqdm import tqdm

from pipeline.training.plateau import find_plateau
from tests.training.test_loop import Killed, run

PAGE = Path(__file__).resolve().parent.parent.parent / "docs/watching.md"
TIME = r"[0-9.]+ (s|min|h)"
FORMS = [
    r"\S+( \w+)? epoch \d+/\d+: +\d+%\|.*\| \d\d:\d\d left, loss \d\.\d{4}, lr [0-9.e-]+(, map \d\.\d{3})?",
    rf"\w+( \w+)?: epoch \d+/\d+, loss \d\.\d{{4}}, lr [0-9.e-]+(, map \d\.\d{{4}})?, {TIME}(, {TIME} left)?",
    r"\w+( \w+)?: stopped after epoch \d+ of \d+: the validation mAP has not risen for \d validations, since "
    r"\d\.\d{4} after epoch \d+",
]
"Of the bar, the line of an epoch, and the line of a stop."
LAST = re.compile(r", [0-9.]+ (s|min|h)(, [0-9.]+ (s|min|h) left)?$")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def forget(self) -> None:
        self.seek(0)
        self.truncate()

    def bars(self) -> list[str]:
        """What was shown, one after the other."""
        return [each.strip() for each in self.getvalue().split("\r") if each.strip()]


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Let standard error be a terminal; within a test, since pytest puts its own there before each."""
    found = Terminal()
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setattr("pipeline.base.progress.tqdm", functools.partial(tqdm, mininterval=0))
    monkeypatch.setenv("COLUMNS", "100")
    return found


def lines(text: str) -> list[str]:
    assert all(LAST.search(line) for line in text.splitlines()), text
    return [LAST.sub("", line) for line in text.splitlines()]


def test_without_a_terminal_each_epoch_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, fitted = run(tmp_path, interval=2)
    printed, complained = capsys.readouterr()
    assert printed == ""
    loss = [f"{row['loss']:.4f}" for row in fitted.history]
    rate = [f"{row['lr']:.3g}" for row in fitted.history]
    assert lines(complained) == [
        f"train: epoch 1/4, loss {loss[0]}, lr {rate[0]}",
        f"train: epoch 2/4, loss {loss[1]}, lr {rate[1]}, map 0.5000",
        f"train: epoch 3/4, loss {loss[2]}, lr {rate[2]}",
        f"train: epoch 4/4, loss {loss[3]}, lr {rate[3]}, map 0.5000",
    ]
    left = ["left" in line for line in complained.splitlines()]
    assert left == [True, True, True, False]


def test_a_map_that_is_none_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, scores=(None,) * 2, epochs=1)  # type: ignore[arg-type]
    assert ", map none, " in capsys.readouterr().err


def test_a_resumed_run_says_the_epochs_that_it_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Killed):
        run(tmp_path, die_after=2)
    assert len(capsys.readouterr().err.splitlines()) == 2
    run(tmp_path)
    found = lines(capsys.readouterr().err)
    assert [line.partition(", loss")[0] for line in found] == ["train: epoch 3/4", "train: epoch 4/4"]


def test_another_rank_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("pipeline.base.progress", "pipeline.training.watch", "pipeline.training.loop"):
        monkeypatch.setattr(f"{module}.is_main", lambda: False)
    run(tmp_path, scores=(0.5,) * 4, patience=1)
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_there_is_one_bar_for_all_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    scores = (0.125, 0.25, 0.375, 0.5)
    _, fitted = run(tmp_path, scores=scores, interval=2)
    found = shown.bars()
    assert "\n" not in shown.getvalue()
    assert found[0].startswith("train epoch 1/4:   0%|")
    assert " left" in found[0]
    assert [int(each.split("%")[0][-3:]) for each in found] == sorted(int(each.split("%")[0][-3:]) for each in found)
    (last,) = {each for each in found if each.startswith("train epoch 4/4: 100%") and "loss" in each}
    # The loss is that of epochs.tsv, the mean of the epoch so far; the mAP is of the last validation.
    assert last.endswith(f"loss {fitted.history[3]['loss']:.4f}, lr {fitted.history[3]['lr']:.3g}, map 0.250")
    first = next(each for each in found if each.startswith("train epoch 2/4") and "loss" in each)
    assert "map" not in first
    assert any(each.startswith("train epoch 2/4") and each.endswith(" left, validation") for each in found)


def test_a_resumed_bar_starts_where_the_training_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    with pytest.raises(Killed):
        run(tmp_path, die_after=2)
    shown.forget()
    run(tmp_path)
    assert shown.bars()[0].startswith("train epoch 3/4:  50%|")
    assert "map 0.500" in next(each for each in shown.bars() if "loss" in each), "of the run before"


def test_a_training_that_is_over_shows_its_last_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    run(tmp_path)
    shown.forget()
    run(tmp_path)
    assert all(each.startswith("train epoch 4/4: 100%|") for each in shown.bars())


def test_a_stop_is_said_below_the_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    _, fitted = run(tmp_path, scores=(0.5,) * 4, patience=1)
    assert find_plateau(fitted.history, 0.0).since == 1
    assert shown.bars()[-1].startswith("train: stopped after epoch 2 of 4: the validation mAP has not risen for 1 ")


def test_the_page_shows_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "lines", scores=(0.5,) * 4, patience=2)
    printed = capsys.readouterr().err.splitlines()
    shown = terminal(monkeypatch)
    run(tmp_path / "bar")
    seen = [*printed, *(each for each in shown.bars() if ", map" in each)]
    blocks = [each for each in PAGE.read_text().split("```")[1::2] if each.startswith("\n")]
    for text in (seen, [line for block in blocks for line in block.strip().splitlines()]):
        kinds = [[bool(re.fullmatch(form, line)) for form in FORMS] for line in text]
        assert all(map(any, kinds)), text
        assert all(map(any, zip(*kinds, strict=True))), "each kind is there"

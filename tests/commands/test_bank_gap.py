from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.bank.reader import open_bank
from pipeline.base.command import new_app
from pipeline.base.errors import InputError
from pipeline.commands.bank_gap import gap
from tests.bank.banks import make_rows, write_small_bank


def run(*words: object) -> str:
    app = new_app()
    app.command()(gap)
    done = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    return str(done.output)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--folds", 2), "--folds and --use belong together: found one of them"),
        (("--use", 0), "--folds and --use belong together: found one of them"),
        (("--folds", 2, "--use", 0, "--use", 2), "--use: found 2, expected folds from 0 to 1"),
    ],
)
def test_folds_and_those_that_take_part_belong_together(words: tuple[object, ...], message: str) -> None:
    with pytest.raises(InputError) as error:
        run(*words)
    assert str(error.value) == message


def test_banks_without_their_model_are_measured_without_ap(tmp_path: Path) -> None:
    for split in ("train", "val"):
        films = {f"{split}{each}": make_rows({1.0: 3}, seed=each) for each in range(2)}
        write_small_bank(tmp_path / split, films, split=split)
    found = run(
        "--train", tmp_path / "train", "--val", tmp_path / "val", "--checkpoint", "none", "--folds", 1, "--use", 0
    )
    first, second, header, *rest = found.splitlines()
    assert first == f"train: {open_bank(tmp_path / 'train').where}: 2 films; 6 of 6 rows"
    assert second == f"val: {open_bank(tmp_path / 'val').where}: 2 films; 6 of 6 rows"
    assert header.split() == ["train", "val"]
    assert [line.split("  ")[0] for line in rest[:2]] == ["norm of a row, mean", "norm of a row, standard deviation"]
    assert "train against val, films held out: accuracy" in found
    assert rest[-1] == "two halves of the train films, the same way: not measured, it takes 4 train films with rows"

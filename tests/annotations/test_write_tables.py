from pathlib import Path

import pytest

from pipeline.annotations.ava import import_ava
from pipeline.annotations.write_tables import FILES, write_tables
from pipeline.base.errors import InputError
from tests.annotations.sources import write_source

ROW = "{},902,0.1,0.2,0.3,0.4,1\n"


def write(tmp_path: Path, **files: str) -> str:
    out = tmp_path / "out"
    out.mkdir()
    found = import_ava(write_source(tmp_path / "source", **files), classes=80)
    return write_tables(out, found, source="SOURCE", max_bad_fraction=0.5)


def test_the_files_and_what_is_said_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = write(tmp_path, train=ROW.format("a") + "a,903\n", val=ROW.format("b") + "b,soon\n")
    assert told == "2 labels in 3 keyframes of 2 videos (train 1, val 1); 1 of 4 rows are bad"
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(FILES)
    printed = capsys.readouterr()
    assert "val.csv: row 2: found timestamp 'soon', expected a number of seconds" in printed.out + printed.err


VIDEOS = "video_id,split\na,train\n"


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"train": ROW.format("a")}, "no film is of val"),
        (
            {"train": ROW.format("a"), "videos": f"{VIDEOS}b,val\n"},
            "no keyframe is of val, which has 1 films",
        ),
    ],
)
def test_without_a_keyframe_of_val_nothing_is_trained(tmp_path: Path, files: dict[str, str], what: str) -> None:
    with pytest.raises(InputError) as error:
        write(tmp_path, **files)
    start = f"SOURCE: {what}: infer_bank and evaluate would stop after the training, since there is nothing to score. "
    assert str(error.value).startswith(start)
    assert str(error.value).endswith("(docs/datasets.md#splits)")


def test_without_a_film_of_train_the_training_is_said_to_stop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(tmp_path, val=ROW.format("a") + ROW.format("b")).startswith("2 labels in 2 keyframes of 2 videos")
    assert capsys.readouterr().err.startswith(
        "no film is of train: there is nothing to train, and train_baseline stops. "
    )


def test_too_many_bad_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dataset\.max_bad_fraction"):
        write(tmp_path, train=ROW.format("a"), val="b,soon\nb,later\n" + ROW.format("b")[:-3] + ",x\n")

import json
import sys
from pathlib import Path

import pytest
import torch

from pipeline.bank.settings import BankSettings
from pipeline.base.command import run
from pipeline.base.errors import InputError
from pipeline.base.files import digest_tree
from pipeline.base.hardware import Hardware
from pipeline.features import split_parts
from pipeline.tables.label_map import Label, read_labels
from pipeline.tables.schemas import ANNOTATIONS, KEYFRAMES, TIMELINES, read_table
from stages.import_annotations import app, import_annotations
from tests.annotations.sources import write_source
from tests.checkpoint.sidecars import BASELINE, checkpoint
from tests.stages.projects import write_params

OUT = Path("data/small/annotations")
VIDEOS = "video_id,split,first_timestamp,offset_seconds\nv1,train,900,0.5\nv2,val,900,0.5\n"
TRAIN = "".join(f"v1,{902 + second:04d},0.1,0.2,0.3,0.4,1,0\n" for second in range(19))


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("ACTIONBANK_PARAMS", raising=False)
    dataset = {"name": "small", "annotations": "source", "classes": 12, "max_bad_fraction": 0.05}
    write_params(tmp_path, dataset=dataset)
    return write_source(tmp_path / "source", train=TRAIN, val="v2,902\n", excluded_val="v2,903\n", videos=VIDEOS)


def test_the_out(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "train.csv").write_text(TRAIN + "v1,1000,5,6,7,8,1,0\n")
    import_annotations()
    assert sorted(path.name for path in OUT.iterdir()) == [
        "annotations.parquet",
        "keyframes.parquet",
        "labels.json",
        "problems.json",
        "summary.json",
        "timelines.parquet",
    ]
    assert read_table(OUT / "annotations.parquet", ANNOTATIONS)["time_seconds"][0].as_py() == 2.5
    assert read_table(OUT / "keyframes.parquet", KEYFRAMES)["status"].to_pylist()[-2:] == ["empty", "excluded"]
    assert read_table(OUT / "timelines.parquet", TIMELINES)["split"].to_pylist() == ["train", "val"]
    assert read_labels(OUT / "labels.json")[0] == Label(1, "action 1", "person_movement")
    assert json.loads((OUT / "summary.json").read_text())["splits"]["train"]["labels"] == 19
    problem = {
        "file": "train.csv",
        "item": "row 20",
        "found": "box 5 6 7 8",
        "expected": "coordinates from 0 to 1, as shares of the frame's width and height",
    }
    assert json.loads((OUT / "problems.json").read_text()) == {"total": 22, "problems": [problem]}
    printed = capsys.readouterr()
    assert printed.out == (
        "AVA CSV: train.csv, val.csv, excluded_val.csv, labelmap.pbtxt\n"
        "data/small/annotations: 19 labels in 21 keyframes of 2 videos (train 1, val 1); 1 of 22 rows are bad\n"
    )
    assert printed.err == (
        "train.csv: row 20: found box 5 6 7 8, expected coordinates from 0 to 1, as shares of the frame's width "
        "and height\n"
    )


def test_the_same_source_gives_the_same_bytes(source: Path) -> None:
    import_annotations()
    first = digest_tree(OUT)
    import_annotations()
    assert digest_tree(OUT) == first
    assert [path.name for path in OUT.parent.iterdir()] == ["annotations"]


def test_the_order_of_rows_in_a_file_changes_no_table(source: Path) -> None:
    import_annotations()
    first = digest_tree(OUT)
    (source / "train.csv").write_text("".join(reversed(TRAIN.splitlines(keepends=True))))
    import_annotations()
    assert digest_tree(OUT) == first


def test_too_many_bad_rows_end_the_run_and_leave_the_out_as_it_was(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import_annotations()
    before = digest_tree(OUT)
    (source / "train.csv").write_text(TRAIN + "v1,1000,5,6,7,8,1,0\nv1,1001,0.1,0.2,0.3,0.4,13,0\n")
    monkeypatch.setattr(sys, "argv", ["import_annotations"])
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        run(app)
    assert stopped.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: 2 of 23 rows are bad, more than dataset.max_bad_fraction 0.05 lets pass; the first: train.csv: row "
        "20: found "
        "box 5 6 7 8, expected coordinates from 0 to 1, as shares of the frame's width and height"
    )
    assert digest_tree(OUT) == before


def test_a_missing_source_is_told_in_one_line(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source.rename(source.with_name("elsewhere"))
    monkeypatch.setattr(sys, "argv", ["import_annotations"])
    with pytest.raises(SystemExit):
        run(app)
    assert capsys.readouterr().err == "error: source: no such folder of annotations\n"
    assert not OUT.exists()


def test_clips_that_nobody_has_are_written_down_and_end_nothing(
    source: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    row = ",0.1,0.2,0.3,0.4,1\n"
    (source / "kinetics_train_v1.0.csv").write_text(f"there,3{row}" + "".join(f"lost{i},3{row}" for i in range(90)))
    clips = tmp_path / "videos"
    clips.mkdir()
    (clips / "there_000000_000010.mp4").write_text("a film")
    dataset = {"name": "small", "annotations": "source", "classes": 12, "max_bad_fraction": 0.0, "clips": "videos"}
    write_params(tmp_path, dataset=dataset)
    (source / "videos.csv").unlink()
    import_annotations()
    written = json.loads((OUT / "problems.json").read_text())
    assert (written["problems"], len(written["missing"])) == ([], 90)
    assert written["missing"][0] == {
        "file": "kinetics_train_v1.0.csv",
        "item": "video lost0",
        "found": "no clip",
        "expected": "a clip that holds second 3",
    }
    assert "90 videos with 90 rows have no clip with them" in capsys.readouterr().out


def test_a_choice_of_classes(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = {"classes": 1, "class_map": {"one": ["action 1"]}}
    write_params(tmp_path, dataset={"name": "small", "annotations": "source", **chosen})
    import_annotations()
    assert [label.name for label in read_labels(OUT / "labels.json")] == ["one"]
    assert "classes: 1 by dataset.class_map" in capsys.readouterr().out


def test_a_split_without_a_film_is_said_with_what_helps(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("val.csv", "excluded_val.csv", "videos.csv"):
        (source / name).unlink()
    with pytest.raises(InputError) as error:
        import_annotations()
    assert str(error.value) == (
        "source: no film is of val: infer_bank and evaluate would stop after the training, since there is nothing to "
        "score. Annotate another film, or set dataset.split_by: time, which makes the last part of each film val "
        "(docs/datasets.md#splits)"
    )
    assert not OUT.exists()
    capsys.readouterr()
    (source / "train.csv").rename(source / "val.csv")
    import_annotations()
    assert capsys.readouterr().err == (
        "no film is of train: there is nothing to train, and train_baseline stops. Annotate another film, or let this "
        "one be train, and set dataset.split_by: time, which makes the last part of each film val "
        "(docs/datasets.md#splits)\n"
    )


@pytest.mark.parametrize(("split", "what"), [("train", "film is of val"), ("val", "keyframe is of val, which has 1")])
def test_films_of_which_none_is_scored_are_refused(source: Path, split: str, what: str) -> None:
    """By videos.csv all are train, or the one of val has no row."""
    for name in ("val.csv", "excluded_val.csv"):
        (source / name).unlink()
    (source / "videos.csv").write_text(VIDEOS.replace("v2,val", f"v2,{split}"))
    with pytest.raises(InputError) as error:
        import_annotations()
    assert f"source: no {what}" in str(error.value)
    assert str(error.value).endswith(
        "Annotate films of val, move some there (by the column split of videos.csv, or from one CSV to the other), or "
        "set dataset.split_by: time, which makes the last part of each film val (docs/datasets.md#splits)"
    )
    assert not OUT.exists()


def test_one_film_split_by_time(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("val.csv", "excluded_val.csv", "videos.csv"):
        (source / name).unlink()
    write_params(source.parent, dataset={"name": "small", "annotations": "source", "classes": 12, "split_by": "time"})
    import_annotations()
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines()[-2:] == [
        "splits: 1 films are split by time (dataset.split_by): of each the last keyframes are val "
        "(dataset.val_fraction 0.2), 4 in all; 2 less than 3 s before them are left out (dataset.split_gap_seconds)",
        "data/small/annotations: 19 labels in 19 keyframes of 1 videos (train 1, val 1); 0 of 19 rows are bad",
    ]


def test_a_bank_of_a_split_without_a_film_is_refused(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_annotations()
    monkeypatch.setattr(split_parts, "read_checkpoint", lambda _: checkpoint(BASELINE))
    sources = split_parts.Sources(Path("frames"), OUT, Path("boxes"), Path("models/baseline"))
    settings = BankSettings(
        box_threshold=0.9, seconds="grid", dtype="fp16", codec="none", compute_dtype="fp32", lower_threshold=False,
        full_frame_box=False,
    )  # fmt: skip
    with pytest.raises(InputError) as error:
        split_parts.split_parts("test", sources, settings, Hardware(torch.device("cpu"), 1, 1))
    assert str(error.value) == (
        "data/small/annotations: no film is of test, expected one at least: a bank of it would be empty, with nothing "
        "to learn from or to score; dataset.split_by: time splits each film (docs/datasets.md#splits)"
    )

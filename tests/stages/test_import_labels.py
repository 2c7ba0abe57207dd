"""Faults in clips and their labels, through the stages themselves: named, counted, and nothing else is lost."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import InputError
from pipeline.base.files import read_json, write_json
from pipeline.project.compose import compose_params, params_text
from pipeline.tables.schemas import CLIPS, read_table
from stages.evaluate_recognizer import evaluate_recognizer
from stages.extract_frames import extract_frames
from stages.import_labels import import_labels
from stages.make_videos import make_videos
from stages.train_recognizer import train_recognizer
from tests.stages.projects import REPOSITORY

NAME = "gestures_mini"
DATA = Path("data", NAME)
LABELS = DATA / "source/labels"
SMALL = [
    f"recognition/dataset={NAME}",
    *(f"recognition.dataset.playground.{split}_per_class=1" for split in ("train", "val")),
    "recognition.backbone.width=8",
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clip of each class and split, with four faults in those of train."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("ACTIONBANK_PARAMS", raising=False)
    compose("recognition.dataset.max_bad_fraction=0.2")
    make_videos(NAME, workers=1, track="recognition")
    rows: list[dict[str, Any]] = read_json(LABELS / "train.json")
    Path(DATA, "source/videos", f"{rows[0]['id']}.mp4").unlink()
    rows[1]["placeholders"] = []
    rows[2]["template"] = "Dancing with [something]"
    Path(DATA, "source/videos", f"{rows[3]['id']}.mp4").write_bytes(b"no film")
    write_json(LABELS / "train.json", rows)
    return tmp_path


def compose(*overrides: str) -> None:
    values = compose_params([*SMALL, *overrides, "recognition.frames.max_bad_fraction=0.1"], REPOSITORY / "conf")
    Path("params.yaml").write_text(params_text(values))


def test_faults_are_named_and_the_rest_is_trained_on(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extract_frames(workers=1, track="recognition")
    import_labels()
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "130000.mp4: 130000: found no media file (Invalid data found when processing input), expected a video file",
        "train.json: entry 2 (id 120000): found the template 'Dancing with [something]', expected one of the classes "
        "in [brackets]",
        "train.json: entry 1 (id 110000): found 0 placeholders for the template 'Holding [something]' (the clip is "
        "kept), expected 1 texts",
        "train.json: entry 0 (id 100000): found clip 100000, of which there are no frames, expected a film of this "
        "name",
        "train.json: entry 3 (id 130000): found clip 130000, of which there are no frames, expected a film of this "
        "name",
    ]
    assert printed.out.splitlines()[1:] == [
        f"{DATA}/labels: 27 clips (train 12, val 15, test 0) of 15 classes, 6 of which a flip exchanges; 2 without "
        "frames, 1 films without a label, 1 of 30 rows are bad, 1 kept with a note"
    ]
    found = read_json(DATA / "labels/problems.json")
    assert [len(found[kind]) for kind in ("missing", "problems")] == [2, 2]
    clips = read_table(DATA / "labels/clips.parquet", CLIPS)
    assert sorted(clips["split"].to_pylist()) == ["train"] * 12 + ["val"] * 15
    train_recognizer(workers=1, device="cpu", batch=8, processes=1)
    evaluate_recognizer(workers=1, device="cpu", batch=8, processes=1)
    assert read_json(Path("results/recognizer/metrics.json"))["clips"] == 12
    assert read_json(Path("results/recognition/metrics.json"))["clips"] == 15
    compose("recognition.dataset.max_bad_fraction=0.03")
    with pytest.raises(
        InputError, match=r"^1 of 30 rows are bad, more than recognition\.dataset\.max_bad_fraction 0\.03 "
    ):
        import_labels()
    assert read_json(DATA / "labels/problems.json") == found  # the out of before stays

import json
from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.doctor.clip_folders import ClipFolders, examine_clips
from pipeline.doctor.pages import as_text
from pipeline.project.compose import compose_params, params_text
from tests.annotations.test_clip_files import folder_of
from tests.commands.test_doctor import called
from tests.recipes import CONF
from tests.video.films import write_film

NAMES = "Opening something\nPushing something left\nClosing something\n"


def films_of(tmp_path: Path) -> Path:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name, frames in (("1", 12), ("2", 5)):
        write_film(videos / f"{name}.mp4", frames=frames)
    return videos


def test_what_is_wrong_with_labels_is_found(tmp_path: Path) -> None:
    videos = films_of(tmp_path)
    labels = folder_of(
        tmp_path, labels_csv=NAMES, train_csv="1;Opening something\n2;Closing something\n3;Opening something\n4;x\n"
    )
    found = examine_clips(ClipFolders("mine", videos, labels), workers=1)
    assert [(each.severity, each.code, each.count) for each in found.findings] == [
        ("error", "split-without-clips", 1),
        ("error", "clip-too-many-bad", 1),
        ("error", "clip-unknown-action", 1),
        ("warning", "clip-film-missing", 1),
        ("warning", "clip-kept", 1),
        ("warning", "class-without-clips", 1),
        ("warning", "flip-without-partner", 1),
    ]
    assert found.facts["clips"] == "2 of 3 classes; train 2"
    assert found.facts["flips"] == "0 classes change places with another one in a mirror"


def test_a_clean_folder_says_what_to_run(tmp_path: Path) -> None:
    videos = films_of(tmp_path)
    names = "Pushing right\nPushing left\n"
    labels = folder_of(tmp_path, labels_csv=names, train_csv="1;Pushing left", val_csv="2;Pushing right")
    found = examine_clips(ClipFolders("mine", videos, labels, segments=4), workers=1)
    assert [each.code for each in found.findings] == ["class-without-clips"]
    assert as_text(found).splitlines()[-1] == "next: read the warnings; dvc repro recognition/dvc.yaml runs with them"


def test_labels_that_cannot_be_read_are_a_finding(tmp_path: Path) -> None:
    code, output = called("--labels", tmp_path / "none", "--videos", films_of(tmp_path))
    assert code == 2
    assert "ERROR labels-refused (1): folder of labels that cannot be used" in output
    assert "no such folder of labels" in " ".join(output.split())  # lines are wrapped


def test_the_data_set_of_the_parameters_is_examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path, labels_csv=NAMES, train_csv="1;Opening something\n", validation_csv="2;Closing something\n")
    films_of(tmp_path)
    monkeypatch.chdir(tmp_path)
    values = compose_params(
        ["recognition/dataset=gestures", "recognition.dataset.videos=videos", "recognition.dataset.labels=labels"], CONF
    )
    Path("params.yaml").write_text(params_text(values))
    code, said = called("--track", "recognition", "--json")
    found = json.loads(said)
    assert (code, found["dataset"], found["facts"]["clips"]) == (1, "gestures", "2 of 3 classes; train 1, val 1")
    with pytest.raises(InputError, match=r"--dataset is of detection; --track recognition reads params\.yaml$"):
        called("--track", "recognition", "--dataset", "ava22")

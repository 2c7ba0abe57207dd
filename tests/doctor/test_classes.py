import json
from pathlib import Path

import pytest

from pipeline.annotations.sources import SourceOptions
from pipeline.base.errors import InputError
from pipeline.doctor.classes import check_labels, label_counts
from pipeline.doctor.finding import Finding
from pipeline.doctor.read_annotations import read_annotations
from pipeline.tables.label_map import AVA_EVALUATED
from tests.doctor.sources import labels, rows


def checked(folder: Path, classes: int, scored: str = "labelmap", **options: str) -> dict[str, Finding]:
    read = read_annotations(folder, SourceOptions(classes=classes, **options))  # type: ignore[arg-type]
    findings = list(read.findings)
    if read.imported is not None:
        counts = label_counts(read.imported, read.options.classes)
        first_id = read.options.first_id or 1
        findings += check_labels(read.imported, counts, classes=read.options.classes, scored=scored, first_id=first_id)
    return {each.code: each for each in findings}


def write(folder: Path, label_map: str, train: str, val: str) -> Path:
    (folder / "labelmap.pbtxt").write_text(label_map)
    (folder / "train.csv").write_text(train)
    (folder / "val.csv").write_text(val)
    return folder


def actions(video_id: str, *ids: int) -> str:
    return "".join(rows(video_id, 902, action=each) for each in ids)


def ava_map(*, extra: bool, step: int = 0) -> str:
    names = {label.id: label.name for label in AVA_EVALUATED}
    ids = range(1, 81) if extra else names
    return "".join(f'item {{ name: "{names.get(each, f"rare {each}")}" id: {each + step} }}\n' for each in ids)


def test_ids_from_zero_with_a_label_map_from_one(tmp_path: Path) -> None:
    found = checked(write(tmp_path, labels(1, 2, 3), actions("a", 0, 1, 2), actions("b", 0, 1)), 3)
    assert str(found["ids-shifted"].examples[0]) == (
        "train.csv: action ids: found ids from 0 to 2, expected ids from 1 to 3"
    )
    assert "dataset.first_id: 0" in found["ids-shifted"].remedy
    assert str(found["class-without-val"].examples[0]) == (
        "annotations: class 3 class 3: found 0 labels in val, expected 1 or more"
    )


def test_ids_one_above_the_label_map(tmp_path: Path) -> None:
    found = checked(write(tmp_path, labels(1, 2, 3), actions("a", 2, 3, 4), actions("b", 2)), 3)
    assert str(found["ids-shifted"].examples[0]) == (
        "train.csv: action ids: found ids up to 4, and none of 1, expected ids from 1 to 3"
    )
    assert "ids-shifted" not in checked(write(tmp_path, labels(1, 2, 3), actions("a", 1, 4), actions("b", 1)), 3)


def test_the_second_class_of_two_is_out_of_range(tmp_path: Path) -> None:
    """mmaction2 #2354: what is behind the refusal is looked at as well."""
    found = checked(write(tmp_path, labels(1, 2), actions("a", 1, 2), actions("b", 1)), 1)
    assert list(found) == ["classes-too-few", "class-without-val"]
    assert str(found["classes-too-few"].examples[0]) == (
        f"{tmp_path}: classes: found ids up to 2, expected at most 1 (dataset.classes)"
    )


@pytest.mark.parametrize("step", [1, 2])
def test_a_label_map_of_ava_that_is_shifted(tmp_path: Path, step: int) -> None:
    found = checked(write(tmp_path, ava_map(extra=False, step=step), actions("a", 12), actions("b", 12)), 82)
    shifted = found["label-names-shifted"]
    assert (shifted.severity, shifted.count) == ("error", 60)
    assert str(shifted.examples[0]) == (
        f"label map: class {1 + step}: found 'bend/bow (at the waist)', expected id 1, as AVA has it"
    )
    assert f"60 of them by +{step}" in shifted.remedy


def test_eighty_classes_where_sixty_are_evaluated(tmp_path: Path) -> None:
    """mmaction2 #2917, #1086: which classes have no ground truth, before there is an mAP."""
    some = actions("a", 12, 17, 80)
    found = checked(write(tmp_path, ava_map(extra=True), some, actions("b", 12, 80)), 80)
    assert (found["label-map-of-80"].severity, found["label-map-of-80"].count) == ("warning", 20)
    assert str(found["label-map-of-80"].examples[0]) == (
        "label map: class 2 rare 2: found a class that AVA does not evaluate, expected the 60 that it does"
    )
    assert found["class-without-val"].count == 78
    found = checked(write(tmp_path, ava_map(extra=False), some, actions("b", 12, 16, 80)), 80)
    assert list(found) == ["ids-not-in-label-map", "class-without-train", "class-without-val"]
    assert found["ids-not-in-label-map"].severity == "note"
    assert found["class-without-val"].count == 58
    found = checked(tmp_path, 80, scored="all")
    assert found["class-without-val"].count == 77
    assert "evaluation.classes: labelmap" in found["class-without-val"].remedy


def test_a_split_without_labels_gives_no_map(tmp_path: Path) -> None:
    """mmaction2 #1086: mAP is NaN."""
    found = checked(write(tmp_path, labels(1), actions("a", 1), "b,902\n"), 1)
    assert list(found) == ["no-val-labels"]
    assert (found["no-val-labels"].severity, found["no-val-labels"].count) == ("error", 1)
    (tmp_path / "val.csv").unlink()
    (tmp_path / "train.csv").rename(tmp_path / "val.csv")
    assert list(checked(tmp_path, 1)) == ["no-train-labels"]


def test_the_only_film_is_not_told_to_move(tmp_path: Path) -> None:
    (tmp_path / "labelmap.pbtxt").write_text(labels(1, 2))
    by_time = "set dataset.split_by: time, which makes the last part of each film val (docs/datasets.md#splits)"
    nan = "the mAP would be NaN."
    train = tmp_path / "train.csv"
    train.write_text("".join(rows("a", *range(900, 920))))
    assert checked(tmp_path, 2)["no-val-labels"].remedy == f"Annotate another film, or {by_time}: {nan}"
    train.write_text("".join(rows("a", 900, 901)))
    assert checked(tmp_path, 2)["no-val-labels"].remedy == (
        "Annotate another film, or more of this one: it has too few keyframes to be split by time (dataset.split_by) "
        f"(docs/datasets.md#splits): {nan}"
    )
    train.write_text(rows("a", *range(900, 920)) + rows("b", 902))
    assert checked(tmp_path, 2)["no-val-labels"].remedy == (
        f"Annotate films of val, move some there (by the column split of videos.csv, or from one CSV to the "
        f"other), or {by_time}: {nan}"
    )
    train.write_text("".join(rows("a", *range(900, 920))))
    found = checked(tmp_path, 2, split_by="time")
    assert list(found) == ["class-without-train", "class-without-val"]
    assert found["class-without-val"].remedy.startswith(
        "Annotate some, set another dataset.val_fraction or dataset.split_gap_seconds, or drop the classes"
    )
    train.rename(tmp_path / "val.csv")
    assert checked(tmp_path, 1)["no-train-labels"].remedy == (
        "Annotate another film, or let this one be train, and set dataset.split_by: time, which makes the last part of "
        "each film val (docs/datasets.md#splits): nothing could be trained."
    )


def test_a_film_in_two_splits_is_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    found = checked(
        write(tmp_path, labels(1, 2), actions("a", 1) + actions("b", 2), actions("b", 2) + actions("c", 1)), 2
    )
    assert list(found) == ["split-overlap", "class-without-val"]
    assert str(found["split-overlap"].examples[0]) == (
        "val.csv: b: found rows of a film of train, expected films of val alone"
    )


def test_a_refusal_names_the_folder_and_no_copy_of_it(tmp_path: Path) -> None:
    folder = write(tmp_path, labels(1), actions("a", 1), actions("a", 1))
    (folder / "labelmap.pbtxt").unlink()
    found = checked(folder, 1)
    assert list(found) == ["split-overlap", "annotations-refused"]
    assert str(found["annotations-refused"].examples[0]) == (
        "labelmap.pbtxt: the file: found no such file, expected what docs/datasets.md describes"
    )


@pytest.mark.parametrize("code", ["ids-shifted", "classes-too-few", "split-overlap", "label-names-disagree"])
def test_no_finding_depends_on_the_words_of_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    folder = write(tmp_path, labels(1, 2), actions("a", 1, 2), actions("b", 1, 2))
    if code == "ids-shifted":
        (folder / "train.csv").write_text(actions("a", 0, 1))
    if code == "split-overlap":
        (folder / "videos.csv").write_text("video_id,split\na,train\nb,train\n")
    if code == "label-names-disagree":
        image = {"id": 1, "movie": "c", "timestamp": 902, "width": 640, "height": 360}
        named = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "other"}]}
        (folder / "c.json").write_text(json.dumps(named))
    monkeypatch.setattr(InputError, "__init__", lambda error, message: Exception.__init__(error, "?"))
    assert code in checked(folder, 1 if code == "classes-too-few" else 2)


def test_a_film_whose_split_videos_csv_says_otherwise(tmp_path: Path) -> None:
    folder = write(tmp_path, labels(1), actions("a", 1), actions("b", 1))
    (folder / "videos.csv").write_text("video_id,split,first_timestamp,offset_seconds\na,train,0,0\nb,train,0,0\n")
    found = checked(folder, 1)
    assert list(found) == ["split-overlap"]
    assert str(found["split-overlap"].examples[0]) == (
        "val.csv: films: found video b is of train in videos.csv; a video belongs to one split, expected one split for "
        "each film"
    )

import os
from pathlib import Path

import pytest

from pipeline.doctor.examine import examine
from pipeline.doctor.finding import Examination, Finding
from pipeline.tables.film_ids import ID_EXPECTED
from tests.doctor.sources import params_of, write_clean, write_faulty


def examined_in(root: Path, *overrides: str, decode: bool = False) -> Examination:
    before = Path.cwd()
    os.chdir(root)
    try:
        return examine(params_of(*overrides), workers=1, decode=decode)
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finding]:
    root = tmp_path_factory.mktemp("faulty")
    write_faulty(root)
    examined = examined_in(root)
    found = {each.code: each for each in examined.findings}
    assert len(found) == len(examined.findings)
    return found


def test_a_data_set_in_order_has_no_finding(tmp_path: Path) -> None:
    write_clean(tmp_path)
    examined = examined_in(tmp_path, "dataset.classes=2", decode=True)
    assert list(examined.findings) == []
    assert list(examined.unchecked) == []
    assert examined.facts["films"] == "2 files, 2 readable, 0.00 h; 15, 25 frames a second; h264"
    assert examined.facts["recall of the boxes, val"] == (
        "100.0% at IoU 0.5 (100.0% from score 0.9 on), 100.0% at IoU 0.9 (100.0% from score 0.9 on); "
        "4 boxes in 4 keyframes"
    )


# code: severity, count, and the first example.
Planted = dict[str, tuple[str, int, str]]
ROW = "train.csv: row"
SHARES = "expected coordinates from 0 to 1, as shares of the frame's width and height"
VIDEOS: Planted = {
    "film-id-twice": ("error", 1, "kitchen.ts: kitchen: found the id of kitchen.mp4, expected one file per id"),
    "film-name": ("error", 1, "bad, name.mp4: bad, name: found a name that cannot be an id, expected "
                  f"{ID_EXPECTED}"),
    "file-ignored": ("note", 1, "notes.txt: notes: found the ending '.txt', expected .3gp .avi .flv .m2ts .m4v .mkv "
                     ".mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm .wmv"),
    "film-empty": ("error", 1, "empty.mp4: empty: found 0 bytes, expected a video file"),
    "film-without-video": ("error", 1, "sound.mp4: sound: found no video stream (streams: audio), expected a video "
                           "stream"),
    "film-unreadable": ("error", 1, "broken.mp4: broken: found no media file (Invalid data found when processing "
                        "input), expected a video file"),
    "film-truncated": ("error", 1, "cut.mp4: cut: found 60 frames, expected 90 frames"),
    "film-missing": ("error", 2, "data/custom/source/videos: both: found no file, expected both.mp4, .mkv, ... "
                     "(train)"),
    "film-not-annotated": ("note", 1, "stranger.mp4: stranger: found no row of the annotations, expected a film of "
                           "train, val or test"),
    "film-too-short": ("error", 2, "annotations: numbers: found a film of 4.04 s, expected 75 s, where its last "
                       "keyframe is"),
    "keyframe-outside": ("error", 5, "annotations: numbers, timestamp 25: found 25 s, expected at most 4.04 s"),
    "times-count-frames": ("error", 1, "annotations: numbers: found timestamps up to 75 in a film of 4.04 s and 101 "
                           "frames, expected times in seconds"),
    "split-overlap": ("error", 1, "val.csv: both: found rows of a film of train, expected films of val alone"),
    "split-overlap-bytes": ("error", 1, "twin.mkv: twin: found the bytes of street.mkv (val), expected a film of its "
                            "own (train)"),
    "film-twice": ("warning", 1, "kitchen.mp4: kitchen: found the bytes of again.mp4 (train), expected a film of its "
                   "own (train)"),
}  # fmt: skip
ANNOTATIONS: Planted = {
    "annotation-box-in-pixels": ("error", 1, f"{ROW} 25: found box 10 20 40 60, {SHARES}"),
    "annotation-box-outside": ("warning", 1, f"{ROW} 26: found box 0.1 0.2 1.2 0.8, {SHARES}"),
    "annotation-box-inverted": ("warning", 1, f"{ROW} 27: found box 0.5 0.2 0.1 0.8, expected x1 < x2 and y1 < y2"),
    "annotation-box-zero-area": ("warning", 1, f"{ROW} 28: found box 0.1 0.2 0.1 0.8, expected x1 < x2 and y1 < y2"),
    "annotation-repeated": ("warning", 1, f"{ROW} 29: found a repetition of row 1, expected each row once"),
    "annotation-conflicting": ("warning", 1, f"{ROW} 30: found an empty keyframe that has a box in row 3, expected two "
                               "columns only for a keyframe without boxes"),
    "annotation-before-film": ("warning", 1, f"{ROW} 31: found timestamp -1 in a film that begins at timestamp 0, "
                               "expected a time in the film (videos.csv sets first_timestamp and offset_seconds)"),
    "annotation-unreadable": ("warning", 1, f"{ROW} 32: found column count 3, expected 2, 7 or 8"),
    "annotation-video-id": ("warning", 1, f"{ROW} 33: found video id '../up', expected an id of {ID_EXPECTED}"),
    "annotation-unknown-action": ("error", 1, f"{ROW} 24: found action id '9', expected a whole number from 1 to 5"),
    "annotation-too-many-bad": ("error", 10, "train.csv: all rows: found 10 of 44 bad, expected at most 0.05 "
                                "(dataset.max_bad_fraction)"),
    "ids-not-in-label-map": ("warning", 1, "annotations: action id 5: found 1 rows, expected an id of the label map"),
    "class-without-train": ("warning", 1, "annotations: class 4 class 4: found 0 labels in train, expected 1 or more"),
    "class-without-val": ("warning", 1, "annotations: class 3 class 3: found 0 labels in val, expected 1 or more"),
}  # fmt: skip
BOXES: Planted = {
    "proposal-without-score": ("warning", 5, "boxes.pkl: boxes: found 5 boxes without a score, expected x1, y1, x2, "
                               "y2, score"),
    "proposal-box-in-pixels": ("error", 1, f"boxes.pkl: key 'kitchen,2.5', box 2: found box 10 20 30 40, {SHARES}"),
    "proposal-unknown-film": ("warning", 1, "boxes.pkl: video 'martian': found 1 row of a video without annotations, "
                              "expected a video of train.csv, val.csv, test.csv or videos.csv"),
    "proposal-too-many-bad": ("error", 2, "boxes.pkl: all rows: found 2 of 6 bad, expected at most 0.05 "
                              "(boxes.max_bad_fraction)"),
    "keyframe-without-proposal-train": ("warning", 15, "train: again, timestamp 0.5: found no box, expected a box of "
                                        "each person"),
    "keyframe-without-proposal-val": ("warning", 4, "val: gone, timestamp 0.5: found no box, expected a box of each "
                                      "person"),
    "proposal-recall-train": ("warning", 15, "train: boxes: found 16.7% of 18 persons covered at IoU 0.5, expected 70% "
                              "or more"),
    "proposal-recall-val": ("error", 5, "val: boxes: found 0.0% of 5 persons covered at IoU 0.5, expected 70% or more"),
    "proposals-below-threshold-val": ("error", 1, "val: boxes: found scores up to 0.3, expected at least 0.9 "
                                      "(evaluation.box_threshold)"),
}  # fmt: skip
PLANTED = VIDEOS | ANNOTATIONS | BOXES


def test_each_planted_fault_is_found_and_nothing_else(faulty: dict[str, Finding]) -> None:
    assert sorted(faulty) == sorted(PLANTED)


@pytest.mark.parametrize("code", PLANTED)
def test_a_planted_fault_has_its_severity_count_and_example(faulty: dict[str, Finding], code: str) -> None:
    severity, count, example = PLANTED[code]
    found = faulty[code]
    assert (found.severity, found.count) == (severity, count), found
    assert 1 <= len(found.examples) <= 3
    assert found.remedy
    assert str(found.examples[0]) == example


def test_faults_that_hide_all_others_are_found_one_by_one(tmp_path: Path) -> None:
    (first,) = [each for each in examined_in(tmp_path).findings if each.code == "videos-missing"]
    assert str(first.examples[0]) == (
        "data/custom/source/videos: dataset.videos: found no such folder, expected a folder of video files"
    )
    assert {each.code for each in examined_in(tmp_path).findings} == {"videos-missing", "annotations-missing"}
    source = write_clean(tmp_path)
    (source / "annotations/labelmap.pbtxt").unlink()
    examined = examined_in(tmp_path)
    assert [each.code for each in examined.findings] == ["annotations-refused"]
    assert examined.findings[0].examples[0].found == "no such file"
    assert examined.unchecked[0] == "classes, times and boxes: the annotations cannot be read"


def test_a_built_in_data_set_is_not_missing_before_it_is_rendered(tmp_path: Path) -> None:
    (finding,) = examined_in(tmp_path, "dataset=playground_mini").findings
    assert (finding.code, finding.severity, finding.count) == ("not-generated", "note", 2)


REST = (
    "Without them their keyframes are left out of training, and in the score their boxes count as missed: two mAPs are "
    "comparable only on the same films."
)


def test_films_in_two_splits_come_before_a_split_without_a_label(tmp_path: Path) -> None:
    """The rows of the only film of val stand in train.csv too: to split films by time would not help."""
    source = write_clean(tmp_path)
    train, val = (source / "annotations" / name for name in ("train.csv", "val.csv"))
    train.write_text(train.read_text() + val.read_text())
    videos = source / "annotations/videos.csv"
    videos.write_text(videos.read_text().replace(",train,", ",,").replace(",val,", ",,"))
    found = {each.code: each for each in examined_in(tmp_path, "dataset.classes=2").findings}
    assert {"split-overlap", "no-val-labels"} <= set(found)
    assert found["no-val-labels"].remedy == (
        "Mend split-overlap first: its films are taken for another split here, and this may go with it; else give the "
        "split films of its own."
    )

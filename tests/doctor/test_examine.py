import json
import os
from pathlib import Path

import pytest

from pipeline.doctor.examine import examine
from pipeline.doctor.finding import Examination, Finding
from pipeline.tables.film_ids import ID_EXPECTED
from tests.doctor.sources import params_of, proposals, write_clean, write_faulty
from tests.doctor.sources import rows as rows_of
from tests.video.films import write_film
from tests.video.test_pictures import write_pictures


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
    "proposal-unknown-film": ("warning", 1, "boxes.pkl: video 'martian': found 1 rows of a video without annotations, "
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


def test_how_do_i_make_the_boxes(tmp_path: Path) -> None:
    """AlphAction #97."""
    source = write_clean(tmp_path)
    (source / "proposals/boxes.pkl").unlink()
    (finding,) = examined_in(tmp_path, "dataset.classes=2").findings
    assert (finding.code, finding.severity) == ("proposals-missing", "error")
    assert "Set boxes.detector to fasterrcnn, or to motion" in finding.remedy
    (finding,) = examined_in(tmp_path, "dataset.classes=2", "boxes.detector=motion").findings
    assert (finding.code, finding.severity) == ("proposals-not-made", "note")


def test_a_built_in_data_set_is_not_missing_before_it_is_rendered(tmp_path: Path) -> None:
    (finding,) = examined_in(tmp_path, "dataset=playground_mini").findings
    assert (finding.code, finding.severity, finding.count) == ("not-generated", "note", 2)


def test_a_lowered_threshold_is_no_threshold(tmp_path: Path) -> None:
    source = write_clean(tmp_path)
    keys = {f"{film},{0.5 + n}": [(0.1, 0.2, 0.5, 0.8, 0.4)] for film in ("kitchen", "street") for n in range(4)}
    (source / "proposals/boxes.pkl").write_bytes(proposals(keys))
    codes = [each.code for each in examined_in(tmp_path, "dataset.classes=2").findings]
    assert codes == ["proposals-below-threshold-train", "proposals-below-threshold-val"]
    blocks = ("baseline", "bank", "head_train", "evaluation")
    lowered = ["dataset.classes=2", *(f"{block}.lower_threshold=true" for block in blocks)]
    assert list(examined_in(tmp_path, *lowered).findings) == []


def test_folders_of_pictures_are_films(tmp_path: Path) -> None:
    source = write_clean(tmp_path)
    (source / "videos/kitchen.mp4").unlink()
    write_pictures(source / "videos/kitchen", 100)
    found = {each.code: each for each in examined_in(tmp_path).findings}
    assert set(found) == {"pictures-without-rate", "film-missing"}
    assert (found["pictures-without-rate"].severity, str(found["pictures-without-rate"].examples[0])) == (
        "warning", "kitchen: kitchen: found a folder of pictures, expected how many a second has"
    )  # fmt: skip
    assert found["pictures-without-rate"].remedy == (
        "Set dataset.frame_rate (new-dataset: --frame-rate) to how many pictures a second has (30 for AVA as "
        "MMAction2 and LFB extract it), or write frame_rates.csv (video_id,fps) into the folder. As it stands they are "
        "passed over."
    )
    assert examined_in(tmp_path, "dataset.frame_rate=25").findings == []
    found = {each.code: each for each in examined_in(tmp_path, "dataset.frame_rate=50").findings}
    assert set(found) == {"film-too-short", "keyframe-outside", "fps-of-annotations"}  # 100 pictures are 2 s
    write_pictures(source / "videos/street/street", 100)
    (source / "videos/street.mkv").rename(source / "videos/a_street.mkv")
    write_pictures(source / "videos/again", 100)
    (source / "videos/two").mkdir()
    for name in ("p_1.jpg", "q_1.jpg"):
        (source / "videos/two" / name).touch()
    for number in range(1, 20):
        (source / f"videos/street/street/img_{number:05}.jpg").unlink()
    (source / "videos/frame_rates.csv").write_text("video_id,fps\nnobody,25\n")
    found = {each.code: each for each in examined_in(tmp_path, "dataset.frame_rate=25").findings}
    told = {code: str(each.examples[0]) for code, each in found.items()}
    assert told == {
        "pictures-no-film": "two: two: found pictures of several names: 1 as p_1.jpg, 1 as q_1.jpg, expected pictures "
        "with one name and numbers from 0 or 1 on, as img_00001.jpg",
        "pictures-missing": "street/street: street: found 81 pictures with numbers 20 to 100, expected at least 95% of "
        "the pictures 1 to 100",
        "frame-rates-refused": "frame_rates.csv: the file: found data/custom/source/videos/frame_rates.csv: video "
        "nobody is no folder of pictures in data/custom/source/videos, expected rates of folders of pictures",
        "film-twice": "kitchen: kitchen: found the bytes of again (no split), expected a film of its own (train)",
        "film-not-annotated": "a_street.mkv: a_street: found no row of the annotations, expected a film of train, val "
        "or test",
    }
    assert (found["pictures-missing"].severity, found["frame-rates-refused"].severity) == ("error", "error")


def test_pictures_alone_need_a_rate(tmp_path: Path) -> None:
    source = write_clean(tmp_path)
    for name in ("kitchen.mp4", "street.mkv"):
        (source / "videos" / name).unlink()
    write_pictures(source / "videos/kitchen", 2)
    found = {each.code: each for each in examined_in(tmp_path).findings}
    assert (set(found), found["pictures-without-rate"].severity) == ({"pictures-without-rate"}, "error")


@pytest.mark.parametrize(("fraction", "severity"), [(0.05, "error"), (0.4, "error"), (0.5, "warning")])
def test_pictures_with_holes_are_an_error_where_extract_frames_ends(
    tmp_path: Path, fraction: float, severity: str
) -> None:
    """It counts a film that it keeps without some frames, and a file whose name is no id, as bad."""
    source = write_clean(tmp_path)
    (source / "videos/kitchen.mp4").unlink()
    write_pictures(source / "videos/kitchen", 100)
    for number in (20, 60):
        (source / f"videos/kitchen/img_{number:05}.jpg").unlink()
    options = ["dataset.frame_rate=25", "dataset.classes=2", f"frames.max_bad_fraction={fraction}"]
    (finding,) = examined_in(tmp_path, *options).findings
    assert (finding.code, finding.severity, str(finding.examples[0])) == (
        "film-frames-lost", severity, "kitchen: kitchen: found 98 frames, expected 100 frames"
    )  # fmt: skip
    assert finding.remedy == (
        "Fetch them again if the frames matter, or raise frames.max_bad_fraction: extract_frames keeps them, with the "
        f"nearest frame in place of a lost one, and ends if more than frames.max_bad_fraction ({fraction:g}) of the "
        "films are bad; these count."
    )
    (source / "videos/a, b.mp4").touch()
    found = {each.code: each.severity for each in examined_in(tmp_path, *options).findings}
    assert found == {"film-name": "error" if fraction < 0.3 else "warning", "film-frames-lost": "error"}


def test_a_rate_that_nothing_reads_is_no_fault(tmp_path: Path) -> None:
    """AVA's CSVs hold seconds and shares of the frame; YOLO's files beside boxes count frames."""
    source = write_clean(tmp_path)
    lines = ["video_id,split,first_timestamp,fps,width,height", "kitchen,train,0,30,640,480", "street,val,0,15,96,64"]
    csv = source / "annotations/videos.csv"
    csv.write_text("\n".join(lines) + "\n")
    assert examined_in(tmp_path, "dataset.classes=2").findings == []
    (source / "annotations/train.csv").rename(source / "annotations/mine.csv")  # no name of AVA's
    assert examined_in(tmp_path, "dataset.classes=2").findings == []
    (source / "proposals/boxes.pkl").unlink()
    for film in ("kitchen", "street"):
        (source / f"proposals/{film}_1.txt").write_text("0 0.3 0.5 0.4 0.6 0.95\n")
    (source / "proposals/videos.csv").write_text("video_id,fps,width\nkitchen,50,1\nstreet,15,1\n")
    (finding,) = [each for each in examined_in(tmp_path, "dataset.classes=2").findings if "csv" in each.code]
    assert (finding.code, finding.count, str(finding.examples[0])) == (
        "fps-of-videos-csv", 1, "data/custom/source/proposals/videos.csv: kitchen: found fps 50, expected 25, as in "
        "the file",
    )  # fmt: skip
    assert finding.remedy == (
        "Correct videos.csv where annotations or boxes count frames of these files. Right as it stands only if they "
        "were made on files of that rate. A videos.csv that new-dataset wrote, and nobody edited, it writes again with "
        "--force."
    )


REST = (
    "Without them their keyframes are left out of training, and in the score their boxes count as missed: two mAPs are "
    "comparable only on the same films."
)


@pytest.mark.parametrize(
    ("names", "remedy"),
    [
        (("Kitchen.mp4", "street_.mkv"), "Fetch them, or give files and rows one name: 'Kitchen' in the files, "
         "'kitchen' in the annotations (is Kitchen kitchen?). "),
        (("kitchen.mp4", "Street 1.mkv"), "Fetch them. "),
        (("kitchen.mp4", "Street.mkv"), "Fetch them, or give files and rows one name: 'Street' in the files, 'street' "
         "in the annotations (is Street street?). "),
        (("x1.mp4", "x2.mkv"), "Fetch them, or give files and rows one name: 'x1' in the files, 'kitchen' in the "
         "annotations. "),
    ],
)  # fmt: skip
def test_films_under_other_names_than_in_the_annotations(tmp_path: Path, names: tuple[str, str], remedy: str) -> None:
    source = write_clean(tmp_path)
    for old, new in zip(("kitchen.mp4", "street.mkv"), names, strict=True):
        (source / "videos" / old).rename(source / "videos" / new)
    found = {each.code: each for each in examined_in(tmp_path, "dataset.classes=2").findings}
    assert found["film-missing"].severity == "error"
    assert found["film-missing"].remedy == remedy + REST


@pytest.mark.parametrize("stamps", [[0.5, 1.5, 50.5, 75.5, 100.5], [900.5, 901.5, 902.5, 903.5]])
def test_boxes_on_another_clock_are_told_with_both_ranges(tmp_path: Path, stamps: list[float]) -> None:
    """Frame numbers, and AVA's seconds for films that begin at 0."""
    source = write_clean(tmp_path)
    keys = {f"{film},{stamp}": [(0.1, 0.2, 0.5, 0.8, 0.95)] for film in ("kitchen", "street") for stamp in stamps}
    (source / "proposals/boxes.pkl").write_bytes(proposals(keys))
    found = {each.code: each for each in examined_in(tmp_path, "dataset.classes=2").findings}
    off = found["proposal-times-train"]
    assert (off.severity, off.count, str(off.examples[0])) == (
        "error", 1, f"boxes: kitchen: found boxes at timestamps {stamps[0]} to {stamps[-1]}, expected 0.5 to 3.5, "
        "where its keyframes are, in a film of 4 s"
    )  # fmt: skip
    assert found["proposal-times-val"].examples[0].item == "street"
    assert "take a better detector" not in "".join(each.remedy for each in found.values())
    assert ("proposal-recall-train" in found) == (stamps[0] < 1)
    if stamps[0] < 1:
        assert found["proposal-recall-train"].remedy == "Mend proposal-times-train first."


def test_boxes_of_pictures_that_were_cut_at_one_a_second(tmp_path: Path) -> None:
    """Counted at the film's 25 a second, picture 60 is at 2.4 s; the videos.csv beside them has to say 1."""
    source = write_clean(tmp_path)
    annotations, boxes = source / "annotations", source / "proposals"
    write_film(source / "videos/kitchen.mp4", frames=750)
    (annotations / "train.csv").write_text("".join(rows_of("kitchen", *range(30), action=each) for each in (1, 2)))
    (boxes / "boxes.pkl").unlink()
    for number in range(1, 31):
        for film in ("kitchen", "street"):
            (boxes / f"{film}_{number}.txt").write_text("0 0.3 0.5 0.4 0.6 0.95\n")
    (boxes / "videos.csv").write_text("video_id,fps\nkitchen,25\nstreet,15\n")
    found = {each.code: each for each in examined_in(tmp_path, "dataset.classes=2").findings}
    assert "fps-of-videos-csv" not in found
    assert str(found["proposal-times-train"].examples[0]) == (
        "boxes: kitchen: found boxes at timestamps 0 to 1, expected 0 to 29, where its keyframes are, in a film of 30 s"
    )
    assert found["proposal-times-train"].remedy == (
        "Boxes need the clock of the annotations, seconds from the film's first_timestamp on: divide frame numbers by "
        "the film's rate, add or take away the second at which they begin, and for text files of YOLO give the column "
        "fps of the videos.csv beside them the rate of the pictures that the detector saw (1 if they were cut at 1 a "
        "second)."
    )
    (boxes / "videos.csv").write_text("video_id,fps\nkitchen,1\nstreet,1\n")
    found = {each.code: each for each in examined_in(tmp_path, "dataset.classes=2").findings}
    assert not [code for code in found if code.startswith(("proposal-recall", "proposal-times", "keyframe-without"))]
    assert "fps-of-videos-csv" not in found


def test_images_that_are_pictures_of_the_film_are_no_seconds(tmp_path: Path) -> None:
    """Picture 26 of 25 a second is at second 1; as the names of images are read it is at second 26."""
    source = write_clean(tmp_path)
    annotations = source / "annotations"
    (source / "videos/kitchen.mp4").unlink()
    write_pictures(source / "videos/kitchen", 100, name="{:05}.jpg")
    (annotations / "train.csv").unlink()
    sizes = {"width": 96, "height": 64}
    images = [{"id": n, "file_name": f"kitchen/{n:05}.jpg", **sizes} for n in (1, 26, 51)]
    boxes = [{"id": n, "image_id": n, "bbox": [10, 10, 40, 50], "action_ids": [1]} for n in (1, 26, 51)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "class 1"}]}
    (annotations / "boxes.json").write_text(json.dumps(content))
    found = {each.code: each for each in examined_in(tmp_path, "dataset.classes=2", "dataset.frame_rate=25").findings}
    assert (found["picture-numbers"].severity, found["picture-numbers"].count) == ("error", 3)
    assert [str(each) for each in found["picture-numbers"].examples[:2]] == [
        "boxes.json: kitchen/00001.jpg: found its number as a second, 1 s, expected 0 s, where a folder of 25 pictures "
        "a second has it",
        "boxes.json: kitchen/00026.jpg: found its number as a second, 26 s, expected 1 s, where a folder of 25 "
        "pictures a second has it",
    ]
    assert found["picture-numbers"].remedy == (
        "Give each image its film and second, `movie` and `timestamp`: (number - 1) / rate where pictures count from "
        "1, number / rate where they count from 0. As it stands every label is on another frame."
    )
    told = [{**image, "movie": "kitchen", "timestamp": second} for second, image in enumerate(images)]
    (annotations / "boxes.json").write_text(json.dumps({**content, "images": told}))
    found = {each.code: each for each in examined_in(tmp_path, "dataset.classes=2", "dataset.frame_rate=25").findings}
    assert "picture-numbers" not in found


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

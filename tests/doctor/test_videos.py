from pathlib import Path

import pytest

from tests.doctor.sources import write_clean
from tests.doctor.test_examine import REST, examined_in
from tests.video.test_pictures import write_pictures


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

"""Files of annotation tools on which labels were once lost or changed, each with the right result."""

import zipfile
from pathlib import Path

import pytest

from pipeline.annotations.frame_times import read_frame_times
from pipeline.annotations.listed import read_listed
from pipeline.base.errors import InputError
from pipeline.doctor.tools import check_frame_times, check_sizes, sort_notices
from tests.annotations.cases import actions, folder_of, imported, keyframes, kinds, kitchen, labels, with_films


def refusal(folder: Path, **options) -> str:
    with pytest.raises(InputError) as error:
        imported(folder, **options)
    return str(error.value).replace(f"{folder}/", "")


def test_one_checkbox_per_action(tmp_path: Path) -> None:
    found = imported(folder_of("02-cvat-one-checkbox-per-action/annotations", tmp_path / "x"))
    assert [label.name for label in found.labels] == ["walk", "sit", "wave"]
    of_each = [(0.5, "walk"), (1.5, "walk"), (2.5, "walk"), (2.5, "wave"), (3.5, "walk"), (3.5, "wave")]
    assert actions(found) == sorted((video, *each) for video in "ab" for each in of_each)
    assert "actions by walk, sit, wave" in found.told[0]
    assert found.notices == []
    # The former default of dataset.action_attribute means the same, and a choice is kept.
    assert actions(imported(tmp_path / "x", action_attribute="action")) == actions(found)
    some = imported(tmp_path / "x", action_attribute=["Walk", "wave"])
    assert [label.name for label in some.labels] == ["walk", "wave"]
    assert some.notices == []
    assert refusal(tmp_path / "x", action_attribute="posture") == (
        "a.xml: found the attributes walk, sit, wave, expected 'posture' (dataset.action_attribute); set "
        "dataset.action_attribute to those that name actions (a list where there are several), or to none where the "
        "label is the action"
    )
    by_label = imported(tmp_path / "x", action_attribute="none")
    assert {name for _, _, name in actions(by_label)} == {"person"}
    assert "actions by the label (not read: walk, sit, wave)" in by_label.told[0]


def test_a_task_of_one_frame_a_second(tmp_path: Path) -> None:
    found = imported(folder_of("04-cvat-one-frame-a-second/annotations", tmp_path / "x"))
    lefts = [(0.0, 0.0, "walk"), (1.0, 0.2125, "walk"), (2.0, 0.425, "sit"), (3.0, 0.6438, "sit")]
    assert [(time, left, name) for video, time, left, *_, name in labels(found) if video == "a"] == lefts
    assert found.annotations["timestamp"].to_pylist() == [0, 1, 2, 3] * 2
    assert [status for _, _, status in keyframes(found)] == ["annotated"] * 8


def test_a_film_whose_rate_varies(tmp_path: Path) -> None:
    folder, films = with_films("05-variable-frame-rate", tmp_path / "x")
    knots = read_frame_times(folder)["a"]
    assert knots == ((0, 0.0), (50, 2.0), (99, 6.9))
    found = imported(folder)
    rows = {time: (left, name) for video, time, left, *_, name in labels(found) if video == "a"}
    assert sorted(rows) == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert {time: name for time, (_, name) in rows.items()} == {
        time: "walk" if time < 2 else "sit" for time in (0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5)
    }
    assert 0.31 <= rows[1.5][0] <= 0.33  # frame 37
    assert check_frame_times(found, films, read_listed(folder)) == []
    # Without the film's times the doctor says how far a mean rate is off.
    (folder / "frame_times.csv").rename(folder / "aside")
    (finding,) = check_frame_times(imported(folder), films, read_listed(folder))
    assert (finding.code, finding.severity, finding.count) == ("frame-rate-varies", "error", 2)
    assert str(finding.examples[0]) == (
        "annotations: a: found a rate that varies: frame n / 14.409 misses its time by up to 1.47 s, expected its "
        "times in frame_times.csv"
    )
    (folder / "frame_times.csv").write_text("video_id,frame,seconds\na,0,0\na,99,3.96\n")
    codes = [each.code for each in check_frame_times(imported(folder), films, read_listed(folder))]
    assert codes == ["frame-rate-varies", "frame-times-of-other-film"]  # b and a


def test_a_film_of_another_shape(tmp_path: Path) -> None:
    folder, films = with_films("06-size-of-another-shape", tmp_path / "x")
    (finding,) = check_sizes(imported(folder), films)
    assert (finding.code, finding.severity, finding.count) == ("size-of-annotations", "error", 2)
    assert [str(each) for each in finding.examples] == [
        f"annotations: {video}: found annotated at 160 x 96, expected the shape of the film, 96 x 160" for video in "ab"
    ]


@pytest.mark.parametrize(
    ("case", "box"),
    [
        ("07-cvat-rotated-box", (50 / 160, 38 / 96, 110 / 160, 58 / 96)),
        ("07a-rotated-30", (56.34 / 160, 17.02 / 96, 103.66 / 160, 78.98 / 96)),
    ],
)
def test_a_turned_box(tmp_path: Path, case: str, box: tuple[float, ...]) -> None:
    found = imported(folder_of(f"{case}/annotations", tmp_path / "x"))
    assert found.annotations.num_rows == 8
    for _, _, *sides, name in labels(found):
        assert sides == pytest.approx(box, abs=1e-4)
        assert name == "sit"


def test_a_track_of_polygons(tmp_path: Path) -> None:
    found = imported(folder_of("08-cvat-polygon-track/annotations", tmp_path / "x"))
    seated = [row for row in labels(found) if row[-1] == "sit"]
    assert seated == [
        (video, time, 100 / 160, round(20 / 96, 4), 130 / 160, 84 / 96, "sit")
        for video in "ab"
        for time in (0.5, 1.5, 2.5, 3.5)
    ]
    assert len(labels(found)) == 16


@pytest.mark.parametrize("kind", ["unzipped", "zipped"])
def test_exports_in_folders_and_archives(tmp_path: Path, kind: str) -> None:
    found = imported(folder_of(f"12-nothing-recognised/{kind}", tmp_path / "x"))
    assert found.annotations.num_rows == 8
    name = {"unzipped": "task_a/annotations.xml", "zipped": "task_a_annotations_cvat for video 1.1.zip/annotations.xml"}
    assert found.told[0].startswith(f"{name[kind]}: CVAT for video 1.1: video a, ")


def test_label_studio_of_the_case(tmp_path: Path) -> None:
    found = imported(folder_of("12-nothing-recognised/label_studio", tmp_path / "x"))
    # From 0.04 s at 3 % to 2.4 s at 40 %, where it is seen last; frames 12 and 37 are on screen at 0.5 and 1.5 s.
    lefts = [round(0.03 + 0.37 * (frame - 1) / 59, 4) for frame in (12, 37)]
    assert labels(found) == [
        ("a", time, left, 0.22, round(left + 0.125, 4), 0.77, "walk")
        for time, left in zip((0.5, 1.5), lefts, strict=True)
    ]
    assert keyframes(found)[2:] == [("a", 2.5, "empty"), ("a", 3.5, "empty")]


def test_a_file_that_names_no_film(tmp_path: Path) -> None:
    message = "annotations.xml: names no film (<source>): call it after its film, such as kitchen.xml for kitchen.mp4"
    folder = folder_of("13-cvat-without-source/a", tmp_path / "x")
    (folder / "videos.csv").unlink()  # what is missing besides comes second
    assert refusal(folder) == message
    (folder / "annotations.xml").rename(folder / "a.xml")
    (folder / "videos.csv").write_text("video_id,fps\na,25\n")
    assert {video for video, *_ in labels(imported(folder))} == {"a"}
    assert refusal(kitchen(tmp_path / "job", {"cvat_job_0.xml": "annotations.xml"})) == message
    # Datumaro calls its CVAT files after subsets; FiftyOne's <name> is that of the film.
    assert refusal(kitchen(tmp_path / "subset", {"cvat_job_0.xml": "train.xml"})).startswith("train.xml: names no film")
    found = imported(kitchen(tmp_path / "name", {"fiftyone_once_a_second.xml": "annotations.xml"}))
    assert {video for video, *_ in labels(found)} == {"kitchen"}


def test_deleted_frames_are_no_labels(tmp_path: Path) -> None:
    found = imported(kitchen(tmp_path / "x", {"cvat_deleted_frames.xml": "kitchen.xml"}))
    assert actions(found) == [("kitchen", 0.5, "walk"), ("kitchen", 2.5, "walk")]
    assert keyframes(found) == [("kitchen", 0.5, "annotated"), ("kitchen", 2.5, "annotated")]
    assert kinds(found) == {"attribute-ignored": 2, "frames-deleted": 1}
    assert [(each.code, each.severity) for each in sort_notices(found.notices)] == [
        ("attribute-ignored", "warning"),
        ("frames-deleted", "note"),
    ]
    assert found.told[1:3] == [
        "attribute-ignored: kitchen.xml: attributes: found who, busy, which are not read; actions are read from "
        "action, expected those that name actions in dataset.action_attribute",
        "frames-deleted: kitchen.xml: video kitchen: found 1 moments of a keyframe in frames that were deleted "
        "from the task, expected annotated frames; there is no keyframe at the others",
    ]


def test_boxes_of_one_frame_each(tmp_path: Path) -> None:
    found = imported(kitchen(tmp_path / "x", {"fiftyone_once_a_second.xml": "kitchen.xml"}))
    assert actions(found) == [("kitchen", float(second), "walk") for second in range(12)]
    assert found.annotations["x1"].to_pylist() == [0.1] * 12


def test_the_exporters_turned_box_and_polygon(tmp_path: Path) -> None:
    turned = labels(imported(kitchen(tmp_path / "x", {"cvat_rotated_box.xml": "kitchen.xml"})))
    assert {row[2:6] for row in turned} == {(140 / 320, 60 / 240, 160 / 320, round(160 / 240, 4))}
    polygon = labels(imported(kitchen(tmp_path / "y", {"cvat_polygon_track.xml": "kitchen.xml"})))
    assert {row[2:6] for row in polygon} == {(0.1, 0.1, 0.3, 0.5)}


def test_two_jobs_of_one_film_are_joined(tmp_path: Path) -> None:
    folder = kitchen(tmp_path / "x", {f"cvat_job_{n}.xml": f"kitchen_{n}.xml" for n in (0, 1)})
    for path in folder.glob("*.xml"):
        path.write_text(path.read_text().replace("<meta>", "<meta><source>kitchen.mp4</source>"))
    found = imported(folder)
    assert [time for _, time, _ in actions(found)] == [second + 0.5 for second in range(12)]
    assert {*found.annotations["person_id"].to_pylist()} == {0, 1}  # a track of a job is no track of the other
    second = folder / "kitchen_1.xml"
    second.write_text(second.read_text().replace("<start_frame>150<", "<start_frame>140<"))
    assert refusal(folder) == (
        "kitchen_0.xml and kitchen_1.xml: both hold frames 140 to 149 of video kitchen, expected each frame in one "
        "file: export the whole task in place of its jobs, or remove one of the files"
    )


def test_label_studio_and_boris(tmp_path: Path) -> None:
    folder = kitchen(tmp_path / "x", {"label_studio_video.json": "x.json", "boris_aggregated.csv": "events.csv"})
    found = imported(folder)
    assert labels(found) == [("kitchen", second + 0.5, 0.1, 0.1, 0.3, 0.5, "walk") for second in range(12)]
    assert found.told[-1] == "not read: events.csv: BORIS's table: times without boxes"


def test_an_archive_in_a_folder_and_other_archives_are_named(tmp_path: Path) -> None:
    folder = kitchen(tmp_path / "x", {"label_studio_video.json": "x.json"})
    (folder / "task").mkdir()
    (folder / "task" / "more.json").write_text("{}")
    (folder / "broken.zip").write_bytes(b"PK\x03\x04")
    with zipfile.ZipFile(folder / "other.zip", "w") as archive:
        archive.writestr("../annotations.json", "{}")
    assert [line for line in imported(folder).told if line.startswith("not read: ")] == [
        "not read: broken.zip: no zip archive, or a damaged one: export it again",
        "not read: other.zip: a zip archive without CVAT's annotations.xml: unpack it",
        "not read: task/more.json: in a folder; put the files side by side",
    ]

"""Problems that users reported in other projects' trackers, and what they get here; named after the reports."""

from pathlib import Path

import pytest

from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError
from pipeline.tables.keyframes import group_keyframes
from pipeline.tables.select_boxes import BoxRule
from pipeline.tables.split_tables import Tables
from tests.annotations.sources import write_source
from tests.annotations.test_cvat import box, track, write
from tests.annotations.test_kinetics import project, read

BOX = "0.1,0.2,0.3,0.4"


def refusal(folder: Path, **options) -> str:
    with pytest.raises(InputError) as error:
        import_source(folder, SourceOptions(**options))
    return str(error.value)


def test_a_subset_of_classes_trains_with_as_many_columns(tmp_path: Path) -> None:
    """mmaction2 #555: custom classes of AVA, without editing any file."""
    source = write_source(tmp_path, train=f"a,902,{BOX},12\na,902,{BOX},80\na,903,{BOX},2\n")
    found = import_source(source, SourceOptions(classes=2, class_map=["action 12", "action 2"]))
    assert found.annotations["action_id"].to_pylist() == [1, 2]
    grouped = group_keyframes(found.annotations, found.keyframes, None, split="train", classes=2, rule=BoxRule(0.9))
    assert grouped.labels.tolist() == [[True, False], [False, True]]


def test_the_second_class_of_two_is_out_of_range(tmp_path: Path) -> None:
    """mmaction2 #2354: two classes, and an index error in the loss for the second."""
    source = write_source(tmp_path, train=f"a,902,{BOX},1\na,902,{BOX},2\n")
    (source / "labelmap.pbtxt").write_text('item { name: "fall" id: 1 } item { name: "stand" id: 2 }')
    assert refusal(source, classes=1) == (
        f"{source / 'labelmap.pbtxt'}: class ids go to 2, expected 1 to 1 (dataset.classes)"
    )
    found = import_source(source, SourceOptions(classes=2))
    grouped = group_keyframes(found.annotations, found.keyframes, None, split="train", classes=2, rule=BoxRule(0.9))
    assert grouped.labels.tolist() == [[True, True]]
    (source / "labelmap.pbtxt").write_text('item { name: "fall" id: 1 }')
    (problem,) = import_source(source, SourceOptions(classes=1)).problems
    assert str(problem) == "train.csv: row 2: found action id '2', expected a whole number from 1 to 1"


def test_ids_from_zero_are_not_learnt_one_beside_their_names(tmp_path: Path) -> None:
    """The label map counts from 1 and the rows from 0: nothing fails, and every class has its neighbour's name."""
    source = write_source(tmp_path, train=f"a,902,{BOX},0\na,903,{BOX},1\na,904,{BOX},2\n")
    (source / "labelmap.pbtxt").write_text("".join(f'item {{ name: "{n}" id: {n} }}' for n in (1, 2, 3)))
    assert refusal(source, classes=3) == (
        f"{source / 'train.csv'}: action ids go from 0 to 2, expected 1 to 3: all would be off by one; "
        "dataset.first_id: 0 says that they count from 0, dataset.first_id: 1 leaves out the rows of 0"
    )
    found = import_source(source, SourceOptions(classes=3, first_id=0))
    assert found.annotations["action_id"].to_pylist() == [1, 2, 3]
    found = import_source(source, SourceOptions(classes=3, first_id=1))
    assert found.annotations["action_id"].to_pylist() == [1, 2]
    assert len(found.problems) == 1


def test_any_number_of_classes_is_possible(tmp_path: Path) -> None:
    """SlowFast #417: 80 classes are written into the code."""
    for classes in (1, 7, 240):
        folder = tmp_path / str(classes)
        source = write_source(folder, train=f"a,902,{BOX},{classes}\n")
        (source / "labelmap.pbtxt").write_text(f'item {{ name: "last" id: {classes} }}')
        found = import_source(source, SourceOptions(classes=classes))
        grouped = group_keyframes(
            found.annotations, found.keyframes, None, split="train", classes=classes, rule=BoxRule(0.9)
        )
        assert grouped.labels.shape == (1, classes)
        assert grouped.labels[0, -1]


def test_the_sixty_classes_of_the_label_map_are_scored_and_not_eighty(tmp_path: Path, real: Path) -> None:
    """mmaction2 #2917, #1086: an mAP over 80 classes, 20 of which are never evaluated, or NaN."""
    published = real / "label_maps/ava_action_list_v2.1_for_activitynet_2018.pbtxt"
    source = write_source(tmp_path, val=f"a,902,{BOX},12\na,902,{BOX},16\n")
    (source / "labelmap.pbtxt").unlink()
    (source / "ava_action_list_v2.1_for_activitynet_2018.pbtxt").write_text(published.read_text())
    (source / "ava_action_list_v2.1.pbtxt").write_text('item { name: "all eighty" id: 80 }')
    found = import_source(source, SourceOptions(classes=80))
    tables = Tables(found.annotations, found.keyframes, found.labels, None)
    assert len(tables.scored_labels("labelmap", 80)) == 60
    assert found.annotations["action_id"].to_pylist() == [12, 16]
    assert found.summary["splits"]["val"]["labels_of_classes_not_in_the_label_map"] == 1


@pytest.mark.parametrize("fps", [15, 23.976, 25, 30, 60])
def test_frames_of_films_that_are_not_at_thirty_a_second(tmp_path: Path, fps: float) -> None:
    """mmaction2 #1279, #1707: frames are found as 30 x second, whatever the film's rate."""
    frames = int(fps * 4)
    path = write(tmp_path, track(box(0, 0, "walk"), box(frames - 1, 50, "walk")))
    path.write_text(path.read_text().replace("<size>100<", f"<size>{frames}<"))
    (tmp_path / "videos.csv").write_text(f"video_id,fps,split\nfilm,{fps},val\n")
    found = import_source(tmp_path, SourceOptions(classes=2))
    assert found.annotations["time_seconds"].to_pylist() == [0.5, 1.5, 2.5, 3.5]
    for row in found.annotations.to_pylist():
        on_screen = int(row["time_seconds"] * fps)
        assert row["x1"] * 200 == pytest.approx(50 * on_screen / (frames - 1))


def test_a_frame_rate_is_never_assumed(tmp_path: Path) -> None:
    """mmaction2 #1279, #1707."""
    path = write(tmp_path, track(box(0, 0, "walk")))
    assert refusal(tmp_path, classes=2) == (
        f"{path}: counts frames of video film, and nothing says how many a second has: expected a videos.csv with the "
        "columns video_id,fps"
    )


def test_missing_and_short_clips_of_ava_kinetics_are_listed_and_end_nothing(tmp_path: Path) -> None:
    """mmaction2 #1446: a clip that nobody has any more, or that was cut shorter, stops the run hours later."""
    source, clips = project(tmp_path, "-ab_cd-EF12_000012_000016", "yyyyyyyyyyy_000000_000010")
    (clips / "lost_000000_000010.mp4").touch()
    found = read(source, clips, evaluate="ava_kinetics")
    assert found.problems == []
    assert list(map(str, found.missing)) == [
        "kinetics_train_v1.0.csv: video -ab_cd-EF12: found clips of 12 to 16, expected a clip that holds second 17",
        "kinetics_train_v1.0.csv: video lost: found a file of zero bytes, expected a clip that holds second 3",
        "kinetics_val_v1.0.csv: video vvvvvvvvvvv: found no clip, expected a clip that holds second 105.5",
    ]
    assert found.told[1] == (
        "kinetics_train_v1.0.csv: 1 clips; 2 videos with 3 rows have no clip with them, the first: "
        "kinetics_train_v1.0.csv: video -ab_cd-EF12: found clips of 12 to 16, expected a clip that holds second 17"
    )
    assert found.timelines["video_id"].to_pylist() == ["film", "other", "yyyyyyyyyyy_000000_000010"]

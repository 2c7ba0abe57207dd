from pathlib import Path

from pipeline.boxes.folders import NO_OBJECTS, folder_of_objects


def test_the_data_sets_objects_win_over_those_of_the_detector(tmp_path: Path) -> None:
    assert folder_of_objects(NO_OBJECTS, tmp_path) is None
    (tmp_path / "objects").mkdir()
    assert folder_of_objects(NO_OBJECTS, tmp_path) == tmp_path / "objects"
    assert folder_of_objects("data/x/objects", tmp_path) == Path("data/x/objects")

from pathlib import Path

import pytest

from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError
from tests.annotations.sources import write_source
from tests.annotations.test_formats import HEADER, ROW


@pytest.mark.parametrize("name", ["train.csv", "labels.csv"])
@pytest.mark.parametrize(
    "header",
    [
        HEADER,
        "Video ID, middle_frame_timestamp, xmin, ymin, xmax, ymax, label, track_id\n",
        "video,time,x1,y1,x2,y2,aktion\n",
    ],
)
def test_a_first_row_of_names_of_columns_is_passed_over(tmp_path: Path, name: str, header: str) -> None:
    source = write_source(tmp_path)
    (source / name).write_text(header + ROW + "b,902,0.1,0.2,0.3,0.4,x\n")
    (source / "excluded_train.csv").write_text("video_id,timestamp\na,902\n")
    if name == "labels.csv":
        (source / "excluded_train.csv").unlink()
    found = import_source(source, SourceOptions(classes=12))
    assert [(each.file, each.item) for each in found.problems] == [(name, "row 3")]
    assert found.annotations["video_id"].to_pylist() == ["a"]
    status = "excluded" if name == "train.csv" else "annotated"
    assert found.keyframes["status"].to_pylist() == [status]


@pytest.mark.parametrize("name", ["train.csv", "labels.csv"])
@pytest.mark.parametrize(
    "header",
    [
        "timestamp,video_id,x1,y1,x2,y2,action_id",
        "video_id,timestamp,xmin,xmax,ymin,ymax,label",
        "video_id,timestamp,x,y,w,h,action",
        "video_id,timestamp,x1,y1,x2,y2,person_id,action_id",
    ],
)
def test_another_order_of_columns_is_refused(tmp_path: Path, name: str, header: str) -> None:
    source = write_source(tmp_path)
    (source / name).write_text(f"{header}\n{ROW}")
    with pytest.raises(InputError) as error:
        import_source(source, SourceOptions(classes=12))
    assert str(error.value) == (
        f"{source / name}: the columns are '{header}' by the first row, expected the order "
        "video_id,timestamp,x1,y1,x2,y2,action_id[,person_id]"
    )


def test_excluded_keyframes_in_another_order_are_refused(tmp_path: Path) -> None:
    source = write_source(tmp_path, train=ROW, excluded_train="timestamp,video_id\n902,a\n")
    with pytest.raises(InputError) as error:
        import_source(source, SourceOptions(classes=12))
    assert str(error.value) == (
        f"{source / 'excluded_train.csv'}: the columns are 'timestamp,video_id' by the first row, expected the order "
        "video_id,timestamp"
    )


def test_tables_of_other_things_are_none_of_avas(tmp_path: Path) -> None:
    boxes = "video_id,timestamp,x1,y1,x2,y2,score\na,902,0.1,0.2,0.3,0.4,0.5\n"
    source = write_source(tmp_path, train=ROW, lengths="video_id,seconds\na.mp4,20\n", dets=boxes)
    found = import_source(source, SourceOptions(classes=12))
    assert {path.name for path, _ in found.unread} == {"lengths.csv", "dets.csv"}
    assert found.keyframes.num_rows == 1

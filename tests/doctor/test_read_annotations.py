from pathlib import Path

from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.annotations.unread import may_hold_annotations
from pipeline.doctor.read_annotations import read_annotations
from tests.annotations.test_unread import ROW, put


def test_the_doctor_warns_of_what_may_hold_labels(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", ROW)
    put(tmp_path, "labelmap.txt", "1: walk\n")
    put(tmp_path, "README.txt", "x")
    put(tmp_path, "dm.json", {"items": [], "categories": {}})
    read = read_annotations(tmp_path, SourceOptions(classes=1))
    assert [(each.code, each.severity, each.examples[0].file) for each in read.findings] == [
        ("annotation-file-not-read", "warning", "dm.json"), ("file-beside-annotations", "note", "README.txt"),
    ]  # fmt: skip
    assert "not read: dm.json: Datumaro's JSON; export it as COCO, with images named VIDEO/TIMESTAMP.jpg" in (
        import_source(tmp_path, SourceOptions(classes=1)).told
    )
    assert not may_hold_annotations(tmp_path / "x.csv", "person boxes belong into dataset.proposals")


def test_avas_companions_are_not_worth_a_word(tmp_path: Path) -> None:
    put(tmp_path, "ava_train_v2.2.csv", ROW)
    for name in ("ava_action_list_v2.2.pbtxt", "ava_action_list_v2.2_for_activitynet_2019.pbtxt"):
        put(tmp_path, name, 'item { name: "walk" id: 1 }')
    put(tmp_path, "ava_included_timestamps_v2.2.txt", "0902\n")
    put(tmp_path, "ava_test_excluded_timestamps_v2.2.csv", "z,0902\n")
    assert read_annotations(tmp_path, SourceOptions(classes=1)).findings == []


def test_the_doctor_names_all_where_nothing_is_read(tmp_path: Path) -> None:
    for number in range(4):
        put(tmp_path, f"{number}.7z", "PK")
    (finding,) = read_annotations(tmp_path, SourceOptions(classes=1)).findings
    assert (finding.code, finding.severity, finding.count) == ("annotations-not-recognised", "error", 4)
    listed = "0.7z, 1.7z, 2.7z and 1 more: an archive; unpack it, and put the files side by side."
    assert finding.remedy.endswith(f"All of them: {listed}")
    assert str(finding.examples[0]).startswith("0.7z: 0.7z: found an archive")
    for path in tmp_path.iterdir():
        path.unlink()
    (finding,) = read_annotations(tmp_path, SourceOptions(classes=1)).findings
    assert (finding.code, finding.severity) == ("annotations-missing", "error")

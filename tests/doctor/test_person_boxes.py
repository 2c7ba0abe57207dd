from pathlib import Path

from tests.doctor.sources import proposals, write_clean
from tests.doctor.test_examine import examined_in


def test_how_do_i_make_the_boxes(tmp_path: Path) -> None:
    """AlphAction #97."""
    source = write_clean(tmp_path)
    (source / "proposals/boxes.pkl").unlink()
    (finding,) = examined_in(tmp_path, "dataset.classes=2").findings
    assert (finding.code, finding.severity) == ("proposals-missing", "error")
    assert "Set boxes.detector to fasterrcnn, or to motion" in finding.remedy
    (finding,) = examined_in(tmp_path, "dataset.classes=2", "boxes.detector=motion").findings
    assert (finding.code, finding.severity) == ("proposals-not-made", "note")


def test_a_lowered_threshold_is_no_threshold(tmp_path: Path) -> None:
    source = write_clean(tmp_path)
    keys = {f"{film},{0.5 + n}": [(0.1, 0.2, 0.5, 0.8, 0.4)] for film in ("kitchen", "street") for n in range(4)}
    (source / "proposals/boxes.pkl").write_bytes(proposals(keys))
    codes = [each.code for each in examined_in(tmp_path, "dataset.classes=2").findings]
    assert codes == ["proposals-below-threshold-train", "proposals-below-threshold-val"]
    blocks = ("baseline", "bank", "head_train", "evaluation")
    lowered = ["dataset.classes=2", *(f"{block}.lower_threshold=true" for block in blocks)]
    assert list(examined_in(tmp_path, *lowered).findings) == []


def test_objects_are_read_with_the_persons(tmp_path: Path) -> None:
    source = write_clean(tmp_path)
    (source / "objects").mkdir()
    (source / "objects/a.csv").write_text("kitchen,0.5,0.1,0.2,0.5,0.8,cup,0.9\nkitchen,0.5,2,2,5,8,cup,0.9\n")
    options = ["dataset.classes=2", "dataset.objects=data/custom/source/objects", "boxes.max_bad_fraction=0.2"]
    (finding,) = examined_in(tmp_path, *options).findings
    assert [str(each).split(":")[0] for each in finding.examples] == ["objects/a.csv"]
    (source / "objects/a.csv").unlink()
    (finding,) = examined_in(tmp_path, *options).findings
    assert (finding.code, finding.severity) == ("proposals-refused", "error")
    assert "objects" in str(finding.examples[0])

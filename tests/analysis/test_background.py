from pathlib import Path

from pipeline.analysis.background import dotted, read_background
from pipeline.base.checksums import write_sealed_json
from tests.analysis.test_revisions import write_project


def test_what_is_there_is_read_and_what_is_absent_is_empty(tmp_path: Path) -> None:
    write_project(tmp_path, 0.5)
    bare = read_background(str(tmp_path))
    assert (bare.params, bare.record, bare.curves) == ({"dataset.name": "tiny"}, {}, {})
    write_sealed_json(tmp_path / "models/head.json", {"record": {"epoch": 3}})
    for name in ("baseline", "head"):
        folder = tmp_path / "results" / name
        folder.mkdir()
        (folder / "epochs.tsv").write_text(f"epoch\tloss\tlr\n1\t{0.5 if name == 'head' else 0.7}\t0.1\n")
        (folder / "validation.tsv").write_text("epoch\tmap\n1\t0.25\n")
    whole = read_background(str(tmp_path))
    assert whole.record["record.epoch"] == "3"
    assert {name: curves.loss for name, curves in whole.curves.items()} == {"baseline": [(1, 0.7)], "head": [(1, 0.5)]}


def test_a_head_that_is_a_copy_of_the_baseline_has_no_curves_of_its_own(tmp_path: Path) -> None:
    write_project(tmp_path, 0.5)
    for name in ("baseline", "head"):
        folder = tmp_path / "results" / name
        folder.mkdir()
        (folder / "epochs.tsv").write_text("epoch\tloss\tlr\n1\t0.5\t0.1\n")
        (folder / "validation.tsv").write_text("epoch\tmap\n1\t0.25\n")
    assert list(read_background(str(tmp_path)).curves) == ["baseline"]


def test_dotted_names() -> None:
    assert dotted({"a": {"b": 1, "c": {}}, "d": [1, 2]}) == {"a.b": "1", "a.c": "{}", "d": "[1, 2]"}

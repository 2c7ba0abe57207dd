import json
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pytest

from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.problems import Problem, ProblemKind
from pipeline.boxes.importing import import_boxes
from pipeline.doctor.left_out import KINDS, sort_problems, too_many_bad
from pipeline.doctor.probe_films import look_at
from pipeline.doctor.videos import Files, check_films
from pipeline.tables.timelines import Timeline, timelines_table
from tests.doctor.sources import labels, write_faulty
from tests.doctor.test_examine import PLANTED, examined_in
from tests.video.films import write_sound

BOX = "0.1,0.2,0.5,0.8"
GOOD = f"a,902,{BOX},1,7\n"
# Rows behind GOOD in train.csv, of which the last is at fault.
ANNOTATED: list[tuple[ProblemKind, str]] = [
    ("box-in-pixels", "a,903,64,36,192,216,1"),
    ("box-in-pixels", "a,903,0.1,-36,0.5,0.8,1"),
    ("box-outside", "a,903,-0.02,0.1,0.4,1.01,1"),
    ("box-inverted", "a,903,0.5,0.2,0.1,0.8,1"),
    ("box-zero-area", "a,903,0.5,0.2,0.5,0.8,1"),
    ("box-zero-area", "a,903,0.5,0.2,0.1,0.2,1"),
    ("unknown-action", f"a,903,{BOX},0"),
    ("unknown-action", f"a,903,{BOX},4"),
    ("unknown-action", f"a,903,{BOX},jog"),
    ("repeated", GOOD),
    ("conflicting", f"a,902,{BOX},1,8"),
    ("conflicting", "a,902"),
    ("before-film", f"a,899,{BOX},1"),
    ("video-id", f"../up,902,{BOX},1"),
    ("unreadable", f"a,903,{BOX},1,x"),
    ("unreadable", f"a,soon,{BOX},1"),
    ("unreadable", "a,903,0.1"),
]
# Images of COCO-like JSON with what stands in place of an annotation's box.
DRAWN: list[tuple[ProblemKind, object]] = [
    ("shape-not-read", {"bbox": [], "keypoints": [1, 2, 3]}),
    ("unknown-action", {"bbox": [1, 1, 20, 20], "action_ids": [4]}),
    ("unreadable", {"bbox": "none"}),
]
# Files of boxes beside a good one, each with one fault.
BOXES: list[tuple[ProblemKind, str, str]] = [
    ("unknown-film", "b.csv", f"martian,902,{BOX},,0.9\n"),
    ("unknown-film", "martian_1.txt", "0 0.5 0.5 0.2 0.2 0.9\n"),
    ("in-two-files", "b.csv", f"a,902,{BOX},,0.9\n"),
    ("before-film", "b.csv", f"a,899,{BOX},,0.9\n"),
    ("video-id", "b.csv", f"../up,902,{BOX},,0.9\n"),
    ("unreadable", "b.csv", f"a,903,{BOX},,7\n"),
    ("box-outside", "b.json", "600,0,100,90"),
    ("box-inverted", "b.json", "9,9,-5,20"),
    ("box-zero-area", "b.json", "9,9,0,20"),
]
FILMS: tuple[ProblemKind, ...] = ("film-empty", "film-without-video")


def codes(problems: Sequence[Problem], prefix: str = "annotation") -> list[str]:
    return [each.code for each in sort_problems(problems, prefix)]


@pytest.mark.parametrize(("kind", "row"), ANNOTATED)
def test_a_row_of_annotations(tmp_path: Path, kind: ProblemKind, row: str) -> None:
    (tmp_path / "labelmap.pbtxt").write_text(labels(1, 2, 3))
    (tmp_path / "train.csv").write_text(f"{GOOD}{row.strip()}\n")
    (problem,) = import_source(tmp_path, SourceOptions(classes=3, first_id=1)).problems
    assert problem.kind == kind
    assert codes([problem]) == [f"annotation-{kind}"]


@pytest.mark.parametrize(("kind", "drawn"), DRAWN)
def test_an_annotation_of_a_tool(tmp_path: Path, kind: ProblemKind, drawn: dict[str, object]) -> None:
    (tmp_path / "labelmap.pbtxt").write_text(labels(1, 2, 3))
    images = [{"id": n, "movie": "a", "timestamp": 902, "width": 640, "height": 360} for n in (1, 2)]
    good = {"image_id": 1, "bbox": [64, 36, 128, 180], "action_ids": [1]}
    content = {"images": images, "annotations": [good, {"image_id": 2, "action_ids": [1]} | drawn]}
    (tmp_path / "train.json").write_text(json.dumps(content))
    (problem,) = import_source(tmp_path, SourceOptions(classes=3)).problems
    assert problem.kind == kind
    assert codes([problem]) == [f"annotation-{kind}"]


@pytest.mark.parametrize(("kind", "name", "content"), BOXES)
def test_a_box(tmp_path: Path, kind: ProblemKind, name: str, content: str) -> None:
    (tmp_path / "a.csv").write_text(f"a,902,{BOX},,0.9\n")
    if name.endswith(".json"):
        image = {"id": 1, "file_name": "a/904.jpg", "width": 640, "height": 360}
        box = {"image_id": 1, "bbox": [float(each) for each in content.split(",")], "score": 0.9}
        content = json.dumps({"images": [image], "annotations": [box]})
    (tmp_path / name).write_text(content)
    (problem,) = import_boxes(tmp_path, timelines(), min_score=0).problems
    assert problem.kind == kind
    assert codes([problem], "proposal") == [f"proposal-{kind}"]


def timelines() -> pa.Table:
    return timelines_table({"a": Timeline("train")})


@pytest.mark.parametrize("kind", FILMS)
def test_a_film(tmp_path: Path, kind: ProblemKind) -> None:
    path = tmp_path / "a.mp4"
    path.touch() if kind == "film-empty" else write_sound(path)
    film = look_at(path, decode=False)
    assert film.kind == kind
    assert [each.code for each in check_films(Files(tmp_path, {"a": path}, []), {"a": film}, limit=1)] == [kind]


def test_every_kind_is_made_and_sorted() -> None:
    made = {each[0] for each in (*ANNOTATED, *DRAWN, *BOXES)}
    assert made == set(KINDS)
    assert made | set(FILMS) == set(get_args(ProblemKind))
    assert all(title and remedy for _, title, remedy in KINDS.values())


def test_no_finding_depends_on_the_words_of_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_faulty(tmp_path)

    def blank(problem: Problem) -> None:
        for name in ("item", "found", "expected"):
            object.__setattr__(problem, name, "?")

    monkeypatch.setattr(Problem, "__post_init__", blank)
    assert sorted(each.code for each in examined_in(tmp_path).findings) == sorted(PLANTED)


def test_problems_are_sorted_by_kind_with_three_examples() -> None:
    problems = [Problem("f.csv", f"row {n}", "a repetition of row 1", "each row once", "repeated") for n in range(2, 9)]
    (finding,) = sort_problems(problems, "annotation")
    assert (finding.code, finding.count) == ("annotation-repeated", 7)
    assert [each.item for each in finding.examples] == ["row 2", "row 3", "row 4"]


def test_a_share_of_bad_rows_at_which_a_stage_ends() -> None:
    problems = [Problem("f.csv", f"row {n}", "x", "y") for n in (1, 2)]
    limits = {"prefix": "annotation", "stage": "import_annotations", "key": "dataset.max_bad_fraction"}
    assert too_many_bad(problems, 2, 40, 0.05, **limits) == []
    (finding,) = too_many_bad(problems, 2, 39, 0.05, **limits)
    assert (finding.count, finding.examples[0].found) == (2, "2 of 39 bad")

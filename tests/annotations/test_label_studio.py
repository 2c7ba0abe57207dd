import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.annotations.assemble import AvaImport
from pipeline.annotations.label_studio import has_boxes, is_label_studio
from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError
from tests.annotations.cases import actions, keyframes, labels

SIZE = "video_id,split,fps,width,height\nfilm,train,25,200,100\n"


def item(frame: int, x: object = 10.0, **more: Any) -> dict[str, Any]:
    return {"frame": frame, "x": x, "y": 20, "width": 20, "height": 50, "rotation": 0, "enabled": True} | {
        "time": frame / 25
    } | more  # fmt: skip


def region(*sequence: dict[str, Any], **value: Any) -> dict[str, Any]:
    about = {"framesCount": 100, "duration": 4.0, "sequence": list(sequence), "labels": ["walk"]} | value
    return {"id": "ab", "type": "videorectangle", "from_name": "box", "to_name": "video", "value": about}


def choice(kind: str, name: str, value: Any, id: str = "ab") -> dict[str, Any]:
    return {"id": id, "type": kind, "from_name": name, "value": {"text" if kind == "textarea" else kind: value}}


def task(*results: dict[str, Any], video: str = "/data/upload/1/film.mp4", **annotation: Any) -> dict[str, Any]:
    return {"id": 3, "data": {"video": video}, "annotations": [{"result": list(results)} | annotation]}


def read(folder: Path, *tasks: dict[str, Any], videos: str = SIZE, **options: Any) -> AvaImport:
    (folder / "x.json").write_text(json.dumps(tasks))
    (folder / "videos.csv").write_text(videos)
    return import_source(folder, SourceOptions(**{"classes": 9, **options}))


def refusal(folder: Path, *tasks: dict[str, Any], **options: Any) -> str:
    with pytest.raises(InputError) as error:
        read(folder, *tasks, **options)
    return str(error.value).replace(f"{folder}/", "")


def lefts(found: AvaImport) -> list[tuple]:
    return [(time, left) for _, time, left, *_ in labels(found)]


def test_a_last_frame_is_seen_and_then_gone_and_somebody_comes_back(tmp_path: Path) -> None:
    found = read(tmp_path, task(region(item(12, enabled=False), item(62, 30.0), item(100, 30.0))))
    assert lefts(found) == [(0.5, 0.1), (2.5, 0.3), (3.5, 0.3)]
    assert keyframes(found)[1] == ("film", 1.5, "empty")


def test_between_two_boxes_the_sides_move_linearly_and_the_last_stays(tmp_path: Path) -> None:
    found = read(tmp_path, task(region(item(0, 0.0), item(50, 50.0))))
    assert lefts(found) == [(0.5, 0.12), (1.5, 0.37), (2.5, 0.5), (3.5, 0.5)]


def test_times_go_before_numbers_of_frames(tmp_path: Path) -> None:
    """The project counts 24 frames a second, the film has 25."""
    counted = {"framesCount": 96, "duration": 4.0}
    found = read(tmp_path, task(region(item(12, time=0.5), item(36, enabled=False, time=1.5), **counted)))
    assert lefts(found) == [(0.5, 0.1), (1.5, 0.1)]
    # Without a time frame n is the nth picture; a time that is rounded to a hundredth is that of its frame.
    late = [{key: value for key, value in item(n, enabled=False).items() if key != "time"} for n in (13, 38)]
    assert lefts(read(tmp_path, task(region(*late)))) == [(0.48, 0.1), (1.48, 0.1)]  # of one frame each: their times
    thirty = "video_id,split,fps\nfilm,train,30\n"
    rounded = [item(n, enabled=False, time=round(n / 30, 2)) for n in range(120)]
    found = read(tmp_path, task(region(*rounded, framesCount=120)), videos=thirty)
    assert [time for time, _ in lefts(found)] == [0.5, 1.5, 2.5, 3.5]


def test_a_film_of_a_varying_rate_by_its_times(tmp_path: Path) -> None:
    (tmp_path / "frame_times.csv").write_text("video_id,frame,seconds\nfilm,0,0\nfilm,25,1\nfilm,55,4\n")
    found = read(tmp_path, task(region(item(0, 0.0, time=0.0), item(50, 40.0, time=4.0))))
    # Of 55 frames the 12th, 30th, 40th and 50th are on screen.
    assert lefts(found) == [(time, round(0.4 * n / 55, 4)) for time, n in ((0.5, 12), (1.5, 30), (2.5, 40), (3.5, 50))]


def test_boxes_are_turned_about_their_upper_left_corner(tmp_path: Path) -> None:
    """40 x 50 pixels at 100, 20, turned by 90 degrees: it lies to the left of the corner."""
    found = read(tmp_path, task(region(item(0, 50.0, rotation=90))))
    assert labels(found)[0][2:6] == (50 / 200, 20 / 100, 100 / 200, 60 / 100)
    assert refusal(tmp_path, task(region(item(0, rotation=30))), videos="video_id,fps\nfilm,25\n") == (
        "x.json: task 3: boxes are turned, which takes the shape of the film: expected a videos.csv with the columns "
        "video_id,width,height"
    )


def test_choices_and_taxonomies_of_a_region_are_its_actions(tmp_path: Path) -> None:
    said = [
        choice("choices", "posture", ["sit"]),
        choice("choices", "hands", ["wave", "clap"]),
        choice("taxonomy", "more", [["move", "run"], ["talk"]]),
        choice("textarea", "remark", ["late"]),
        choice("number", "size", 3),
    ]
    found = read(tmp_path, task(region(item(0), labels=["person"]), *said))
    assert [label.name for label in found.labels] == ["clap", "run", "sit", "talk", "wave"]
    assert actions(found)[:5] == [("film", 0.5, name) for name in ("clap", "run", "sit", "talk", "wave")]
    (notice,) = found.notices
    assert str(notice.problem) == (
        "x.json: attributes: found remark, size, which are not read; actions are read from hands, more, posture, "
        "expected those that name actions in dataset.action_attribute"
    )
    found = read(tmp_path, task(region(item(0), labels=["person"]), *said), action_attribute=["hands"])
    assert {name for _, _, name in actions(found)} == {"clap", "wave"}
    several = read(tmp_path, task(region(item(0), labels=["walk", "wave"])))
    assert [name for _, _, name in actions(several)[:2]] == ["walk", "wave"]


def test_annotations_that_count(tmp_path: Path) -> None:
    one = task(region(item(0), labels=["walk"]))
    one["annotations"] += [
        {"result": [region(item(0), labels=["sit"])], "ground_truth": True},
        {"result": [region(item(0), labels=["wave"])], "was_cancelled": True},
    ]
    found = read(tmp_path, one)
    assert {name for _, _, name in actions(found)} == {"sit"}
    assert [(each.kind, each.count) for each in found.notices] == [("several-annotators", 1)]


def test_labels_of_times_are_told(tmp_path: Path) -> None:
    times = {"id": "zz", "type": "timelinelabels", "value": {"ranges": [{"start": 1, "end": 5}]}}
    found = read(tmp_path, task(region(item(0)), times, choice("choices", "scene", ["day"], id="yy")))
    (notice,) = found.notices
    assert (notice.kind, notice.count) == ("without-box", 2)
    assert (
        str(notice.problem) == "x.json: task 3: found 2 labels of times or of the whole film, expected labels of boxes"
    )


@pytest.mark.parametrize(
    "video",
    [
        "/data/upload/1/0a1b2c3d-film.mp4",
        "/data/local-files/?d=videos/film.mp4",
        "https://host/path/film.mp4?token=1",
        "s3://bucket/film.mkv",
        "film.webm",
    ],
)
def test_the_name_of_the_film(tmp_path: Path, video: str) -> None:
    assert {name for name, *_ in labels(read(tmp_path, task(region(item(0)), video=video)))} == {"film"}


def test_json_min(tmp_path: Path) -> None:
    """As label-studio-sdk 2.1.2 converts it."""
    entry = {"video": "/data/upload/1/film.mp4", "id": 1, "box": [region(item(0))["value"]], "annotation_id": 5}
    entry |= {"annotator": None, "lead_time": None}
    assert len(labels(read(tmp_path, entry))) == 4
    for lost in ({"acts": {"choices": ["wave"]}}, {"acts": [{"taxonomy": [["move", "run"]]}]}):
        assert refusal(tmp_path, entry | lost) == (
            "x.json: task 1: found the choices acts, and JSON-MIN does not say which box they belong to: export it as "
            "JSON"
        )


@pytest.mark.parametrize("lost", ["walk", ["walk", "sit"], ["walk", {"choices": ["sit", "wave"]}], ["a/b.c"]])
def test_choices_of_one_option_in_json_min(tmp_path: Path, lost: object) -> None:
    """They are bare texts there, as the columns of a task are; the class of a box never becomes 'person' instead."""
    columns = {"video": "/data/upload/1/film.mp4", "site": "north", "tags": ["indoors"], "id": 1}
    boxes = {"box": [region(item(0))["value"]]}
    rest = {"annotator": 1, "annotation_id": 5, "created_at": "2026-01-01T00:00:00Z", "lead_time": None}
    assert len(labels(read(tmp_path, columns | boxes | rest))) == 4
    assert refusal(tmp_path, columns | boxes | {"acts": lost} | rest) == (
        "x.json: task 1: found the choices acts, and JSON-MIN does not say which box they belong to: export it as JSON"
    )


def test_json_min_whose_keys_were_sorted(tmp_path: Path) -> None:
    entry = {"video": "film.mp4", "id": 1, "site": "north", "box": [region(item(0))["value"]], "acts": ["walk", "sit"]}
    entry |= {"annotator": 1, "annotation_id": 5, "lead_time": None}
    assert "found the choices acts, and" in refusal(tmp_path, dict(sorted(entry.items())))
    del entry["acts"]
    assert len(labels(read(tmp_path, dict(sorted(entry.items()))))) == 4


def test_bad_boxes_cost_themselves(tmp_path: Path) -> None:
    found = read(tmp_path, task(region(item(0), item(25, "x"), {"frame": 30})))
    assert len(labels(found)) == 4
    assert [str(each) for each in found.problems] == [
        "x.json: task 3, region ab, box 2: found frame 25, time 1.0, x 'x', y 20, width 20, height 50, rotation 0, "
        "expected frame or time, and x, y, width, height",
        "x.json: task 3, region ab, box 3: found frame 30, time None, x None, y None, width None, height None, "
        "rotation None, expected frame or time, and x, y, width, height",
    ]


def test_what_ends_the_run(tmp_path: Path) -> None:
    nothing = {"framesCount": None, "duration": None}
    assert refusal(tmp_path, task(region(item(0, time=0), **nothing)), videos="video_id\n") == (
        "x.json: task 3: counts frames of video film, and nothing says how many a second has: expected a videos.csv "
        "with the columns video_id,fps"
    )
    assert refusal(tmp_path, task(region(item(0)), video="")) == (
        "x.json: task 3: names no film, expected the path of a film in its data"
    )
    told = refusal(tmp_path, task(region(item(0))), task(region(item(0))) | {"id": 4})
    assert told.startswith("x.json: task 3 and x.json: task 4: both hold frames 0 to 99 of video film, expected each")


def test_other_exports_are_named(tmp_path: Path) -> None:
    picture = {"id": "a", "type": "rectanglelabels", "value": {"x": 1}}
    assert is_label_studio([task(picture)])
    assert not has_boxes([task(picture)])
    read(tmp_path, task(region(item(0))))
    (tmp_path / "y.json").write_text(json.dumps([task(picture)]))
    found = import_source(tmp_path, SourceOptions(classes=9))
    assert found.told[-1] == "not read: y.json: Label Studio's JSON of another kind than video with boxes"
    assert not any(is_label_studio(each) for each in OTHERS)


OTHERS: list[Any] = [{}, [], [1], [{"data": {}}], None]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5000) | st.sampled_from(["", "x", "videorectangle"]) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["sequence", "labels", "x"]), inner),
    max_leaves=5,
)
KEYS = ["id", "type", "value", "result", "data", "annotations", "framesCount", "duration", "sequence", "frame", "time"]


@settings(max_examples=60, deadline=None)
@given(changed=st.dictionaries(st.sampled_from(KEYS), JSON, max_size=3), place=st.integers(0, 3))
def test_garbage_is_a_problem(scratch: Path, changed: dict[str, Any], place: int) -> None:
    one = task(region(item(0), item(20)), choice("choices", "action", ["walk"]))
    levels: list[Any] = [one, one["annotations"][0], one["annotations"][0]["result"][0]]
    levels += [levels[2]["value"]["sequence"][1]]
    levels[place].update(changed)
    good = task(region(item(0)), choice("choices", "action", ["walk"]), video="good.mp4")
    try:
        found = read(scratch, one, good, videos=SIZE + "good,val,25,200,100\n")
    except InputError:
        return
    assert ("good", 0.5, "walk") in actions(found)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (task(region(item(1)), was_cancelled=True), ", whose annotations were all cancelled (skipped)"),
        (
            {"data": {"video": "film.mp4"}, "annotations": [], "predictions": [{"result": [region(item(1))]}]},
            " with predictions and no annotations; accept them there and export again",
        ),
        (task(), " without a label"),
    ],
)
def test_why_a_project_without_annotations_is_not_read(tmp_path: Path, entry: dict[str, Any], why: str) -> None:
    assert refusal(tmp_path, entry) == (
        f"{tmp_path}: nothing in it is read as annotations: x.json: Label Studio's JSON{why} (docs/datasets.md has the "
        "formats)"
    )

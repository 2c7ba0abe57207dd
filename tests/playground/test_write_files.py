"""The playground as a data set: detector, files in AVA's formats, whole folders, errors."""

import csv
import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.base.files import digest_tree, files_below
from pipeline.interop.pickles import load_pickle
from pipeline.playground.actions import CLASSES
from pipeline.playground.make import OUTS, Counts, film_specs, make_playground, render_film
from pipeline.playground.noisy_boxes import detect
from pipeline.playground.script import write_script
from pipeline.playground.settings import Playground
from pipeline.playground.write_files import describe_film, write_proposals
from pipeline.tables.label_map import read_label_map

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SMALL: dict[str, Any] = {
    "train_videos": 2,
    "val_videos": 1,
    "min_seconds": 20,
    "max_seconds": 22,
    "width": 64,
    "height": 48,
    "seed": 4,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counts]:
    out = tmp_path_factory.mktemp("playground") / "source"
    return out, make_playground(out, Playground(**SMALL), workers=1)


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:4], b[..., 2:4])
    common = np.prod(np.maximum(high - low, 0), -1)
    area = np.prod(a[..., 2:4] - a[..., :2], -1) + np.prod(b[..., 2:4] - b[..., :2], -1)
    return np.asarray(common / (area - common))


def test_the_detector_jitters_misses_invents_and_scores() -> None:
    truths, scores, overlaps, invented = 0, [], [], []
    seconds = 0
    for index in range(12):
        film = describe_film(write_script(1, "train", index, min_seconds=75, max_seconds=90), 1)
        seconds += film.script.seconds
        for second, (boxes, found) in enumerate(zip(film.boxes, film.proposals, strict=True)):
            assert found.dtype == np.float64
            assert found.shape == (len(found), 5)
            assert (np.diff(found[:, 4]) <= 0).all()
            assert (found >= 0).all()
            assert (found <= 1).all()
            assert (found[:, 2:4] > found[:, :2]).all()
            truth = boxes if second not in film.script.empty else boxes[:0]
            truths += len(truth)
            best = np.array([overlap(truth, row).max(initial=0) for row in found])
            near = best > 0.6
            scores += found[near, 4].tolist()
            overlaps += best[near].tolist()
            invented += found[~near, 4].tolist()
    # Shares of what JITTER, MISSED, UNSURE, FALSE_POSITIVES and SURE_FALSE_POSITIVES say, within their noise.
    assert 0.97 < len(scores) / truths < 0.995
    assert 0.02 < np.mean(np.array(scores) < 0.9) < 0.05
    assert np.mean(np.array(scores) >= 0.95) > 0.9
    share = [float(np.mean(np.array(overlaps) > each)) for each in (0.7, 0.8, 0.9, 0.95)]
    assert share[0] > 0.995
    assert share[1] > 0.95
    assert 0.5 < share[2] < 0.9
    assert 0.05 < share[3] < 0.4
    assert 0.2 < len(invented) / seconds < 0.35
    assert 0.02 < np.mean(np.array(invented) >= 0.9) < 0.16


def test_detections_do_not_depend_on_what_is_done() -> None:
    """The same true boxes give the same proposals, whoever does what in the film."""
    film = write_script(1, "train", 0, min_seconds=30, max_seconds=30)
    boxes = np.broadcast_to([0.2, 0.3, 0.5, 0.9], (30, 4, 4))
    again = detect(film, 1, boxes)
    assert all(np.array_equal(a, b) for a, b in zip(again, detect(film, 1, boxes), strict=True))
    jitter = [row[:4] - boxes[0, 0] for rows in again for row in rows if overlap(row, boxes[0, 0]) > 0.6]
    assert np.std(jitter, axis=0) == pytest.approx([0.3 * 0.025, 0.6 * 0.025] * 2, rel=0.3)


def test_annotations_are_ava_rows(made: tuple[Path, Counts]) -> None:
    out, counts = made
    specs = film_specs(**SMALL)
    boxes, labels = set(), 0
    for split in ("train", "val"):
        rows = read_csv(out / f"annotations/{split}.csv")
        films = {spec.script().video_id: spec.script() for spec in specs if spec.split == split}
        empty = [(row[0], int(row[1]) - 900) for row in rows if len(row) == 2]
        assert sorted(empty) == sorted((name, second) for name, film in films.items() for second in film.empty)
        expected = {
            (name, second, action, figure)
            for name, film in films.items()
            for second in range(film.seconds)
            for figure, actions in film.labels(second)
            for action in actions
        }
        found = [row for row in rows if len(row) != 2]
        assert {(row[0], int(row[1]) - 900, int(row[6]), int(row[7])) for row in found} == expected
        assert all(len(row) == 8 and len(row[1]) == 4 for row in found)
        corners = np.array([row[2:6] for row in found], float)
        assert corners.min() >= 0
        assert corners.max() <= 1
        assert (corners[:, 2:] - corners[:, :2] > 0.02).all()
        assert all(len(text.split(".")[1]) == 3 for row in found for text in row[2:6])
        boxes |= {(row[0], row[1], row[7]) for row in found}
        labels += len(found)
        excluded = read_csv(out / f"annotations/excluded_{split}.csv")
        left_out = [(row[0], int(row[1]) - 900) for row in excluded]
        assert left_out == [(name, second) for name, film in films.items() for second in film.excluded]
        assert not {tuple(row) for row in excluded} & {(row[0], row[1]) for row in rows}
    assert (counts.boxes, counts.labels) == (len(boxes), labels)


def test_label_map_and_timelines(made: tuple[Path, Counts]) -> None:
    out, _ = made
    found = [(each.id, each.name, each.group) for each in read_label_map(out / "annotations/labelmap.pbtxt")]
    assert found == [(each.id, each.name, each.group) for each in CLASSES]
    assert read_csv(out / "annotations/videos.csv") == [
        ["video_id", "split", "first_timestamp", "offset_seconds"],
        ["train_000", "train", "900", "0.5"],
        ["train_001", "train", "900", "0.5"],
        ["val_000", "val", "900", "0.5"],
    ]


def test_pickle_and_csv_hold_the_same_proposals(made: tuple[Path, Counts]) -> None:
    out, counts = made
    total = 0
    for split in ("train", "val"):
        content = load_pickle(out / f"proposals/proposals_{split}.pkl")
        assert all(len(rows) and rows.dtype == np.float64 for rows in content.values())
        listed: dict[str, list[list[float]]] = {}
        for video, timestamp, *box, action, score in read_csv(out / f"proposals_csv/boxes_{split}.csv"):
            assert action == ""
            listed.setdefault(f"{video},{timestamp}", []).append([float(each) for each in (*box, score)])
        assert list(listed) == list(content)
        assert all(np.array_equal(listed[key], rows) for key, rows in content.items())
        assert {key.split(",")[0][:-4] for key in content} == {split}
        total += sum(map(len, content.values()))
    assert total == counts.proposals


def test_a_second_without_any_proposal_has_no_key(tmp_path: Path) -> None:
    film = describe_film(write_script(1, "val", 0, min_seconds=20, max_seconds=20), 1)
    film.proposals[7] = film.proposals[7][:0]
    write_proposals(tmp_path, tmp_path, [film])
    assert "val_000,0907" not in load_pickle(tmp_path / "proposals_val.pkl")
    assert "val_000,0907" not in (tmp_path / "boxes_val.csv").read_text()
    assert load_pickle(tmp_path / "proposals_train.pkl") == {}


def test_the_same_bytes_in_other_processes(made: tuple[Path, Counts], tmp_path: Path) -> None:
    """In two workers, started by a process with another order of hashes."""
    out, _ = made
    program = (
        "from pathlib import Path\n"
        "from pipeline.playground.make import make_playground\n"
        "from pipeline.playground.settings import Playground\n"
        "if __name__ == '__main__':\n"
        f"    make_playground(Path({str(tmp_path)!r}), Playground(**{SMALL!r}), workers=2)\n"
    )
    script = tmp_path / "program.py"
    script.write_text(program)
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, str(script)], env=environment, check=True, timeout=120)
    for name in OUTS:
        assert digest_tree(tmp_path / name) == digest_tree(out / name), name


def test_more_films_change_no_film(made: tuple[Path, Counts], tmp_path: Path) -> None:
    """A film's specification does not say how many there are, and nothing else reaches its bytes."""
    out, _ = made
    more = film_specs(**{**SMALL, "train_videos": 3, "val_videos": 2})
    assert set(film_specs(**SMALL)) < set(more)
    spec = next(each for each in more if each.script().video_id == "train_001")
    again = hashlib.sha256(render_film(tmp_path, spec).read_bytes()).hexdigest()
    assert again == hashlib.sha256((out / "videos/train_001.mp4").read_bytes()).hexdigest()


def test_the_out_is_whole_or_absent(tmp_path: Path) -> None:
    def breaks(spec: object) -> Path:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        make_playground(tmp_path / "source", Playground(**SMALL), workers=1, film_file=breaks)
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_videos": 0}, "playground: 0 train and 1 val videos, expected 1 or more of each"),
        ({"val_videos": 0}, "playground: 2 train and 0 val videos, expected 1 or more of each"),
        (
            {"min_seconds": 19},
            "playground: found dataset.playground.min_seconds 19 and dataset.playground.max_seconds 22, expected 20 "
            "or more, "
            "and the second from the first to 600",
        ),
        (
            {"min_seconds": 23},
            "playground: found dataset.playground.min_seconds 23 and dataset.playground.max_seconds 22, expected 20 "
            "or more, "
            "and the second from the first to 600",
        ),
        (
            {"max_seconds": 601},
            "playground: found dataset.playground.min_seconds 20 and dataset.playground.max_seconds 601, expected 20 "
            "or more, "
            "and the second from the first to 600",
        ),
        ({"width": 65}, "playground: 65x48 pixels, expected even sides and a height of 48 to 480"),
        ({"height": 46}, "playground: 64x46 pixels, expected even sides and a height of 48 to 480"),
        ({"width": 60}, "playground: 60x48 pixels, expected 4:3 to 2.4:1"),
        ({"width": 120}, "playground: 120x48 pixels, expected 4:3 to 2.4:1"),
    ],
)
def test_bad_sizes_are_refused(changed: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as raised:
        film_specs(**{**SMALL, **changed})
    assert str(raised.value) == message


def test_the_mini_data_set_has_signals_dances_and_all_groups_in_train() -> None:
    specs = film_specs(train_videos=3, val_videos=1, min_seconds=20, max_seconds=20, width=160, height=120, seed=2026)
    group = {each.id: each.group for each in CLASSES}
    films = [spec.script() for spec in specs]
    groups = Counter(
        (film.split, group[action])
        for film in films
        for second in range(film.seconds)
        for _, actions in film.labels(second)
        for action in actions
    )
    assert {name for split, name in groups if split == "train"} == set(group.values())
    assert groups["val", "long-term"] == 8
    assert {film.signals[0][1] for film in films[:3]} == {"raise", "spread", "hands_on_head"}

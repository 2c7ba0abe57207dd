"""The playground as a data set: detector, files in AVA's formats, whole folders, errors."""

import csv
from pathlib import Path

import numpy as np

from pipeline.interop.pickles import load_pickle
from pipeline.playground.actions import CLASSES
from pipeline.playground.make import Counts, film_specs
from pipeline.playground.script import write_script
from pipeline.playground.write_files import OBJECT_COLUMNS, describe_film, write_proposals
from pipeline.tables.label_map import read_label_map
from tests.playground.conftest import SMALL


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


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


def test_the_csv_of_objects_holds_what_the_detector_found(made: tuple[Path, Counts]) -> None:
    out, counts = made
    total = 0
    for split in ("train", "val"):
        header, *rows = read_csv(out / f"objects/objects_{split}.csv")
        assert header == OBJECT_COLUMNS.split(",")
        films = [spec.script() for spec in film_specs(**SMALL) if spec.split == split]
        expected = [
            [film.video_id, f"{900 + second:04d}", *row[:4].tolist(), label, row[4]]
            for film in films
            for second, found in enumerate(describe_film(film, SMALL["seed"]).objects)
            for label, row in zip(found.labels, found.rows, strict=True)
        ]
        assert [[*row[:2], *map(float, row[2:6]), row[6], float(row[7])] for row in rows] == expected
        total += len(rows)
    assert total == counts.objects

"""Write data sets for the doctor: one without a fault, and one with each fault planted once."""

import pickle
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.params import Params, parse_params
from pipeline.project.compose import compose_params
from tests.video.films import write_film, write_sound

REPOSITORY = Path(__file__).resolve().parent.parent.parent
BOX = "0.1,0.2,0.5,0.8"
SOURCE = Path("data/custom/source")
FASTSTART = {"movflags": "faststart"}


def params_of(*overrides: str) -> Params:
    default = [] if any(each.startswith("dataset=") for each in overrides) else ["dataset=custom", "dataset.classes=5"]
    values = compose_params([*default, *overrides], REPOSITORY / "conf")
    return parse_params(values, "test")


def rows(video_id: str, *timestamps: float, action: int = 1, box: str = BOX) -> str:
    return "".join(f"{video_id},{each:g},{box},{action}\n" for each in timestamps)


def labels(*ids: int) -> str:
    return "".join(f'item {{ name: "class {each}" id: {each} }}\n' for each in ids)


def proposals(keys: Mapping[str, Sequence[tuple[float, ...]]]) -> bytes:
    return pickle.dumps({key: np.array(boxes, np.float64) for key, boxes in keys.items()})


def write_clean(root: Path) -> Path:
    """Two films, each person annotated once a second and found by a detector."""
    source = root / SOURCE
    for folder in ("videos", "annotations", "proposals"):
        (source / folder).mkdir(parents=True)
    write_film(source / "videos/kitchen.mp4", frames=100)
    write_film(source / "videos/street.mkv", frames=60, rate=15)
    annotations = source / "annotations"
    for name, film in (("train", "kitchen"), ("val", "street")):
        every = "".join(rows(film, *(0.5 + n for n in range(4)), action=each) for each in (1, 2))
        (annotations / f"{name}.csv").write_text(every)
    (annotations / "labelmap.pbtxt").write_text(labels(1, 2))
    lines = ["video_id,split,first_timestamp,offset_seconds", "kitchen,train,0,0", "street,val,0,0"]
    (annotations / "videos.csv").write_text("\n".join(lines) + "\n")
    keys = {f"{film},{0.5 + n}": [(0.1, 0.2, 0.5, 0.8, 0.95)] for film in ("kitchen", "street") for n in range(4)}
    (source / "proposals/boxes.pkl").write_bytes(proposals(keys))
    return source


def write_faulty(root: Path) -> Path:
    """The same, and every fault of sources once."""
    source = write_clean(root)
    videos, annotations = source / "videos", source / "annotations"
    shutil.copy(videos / "street.mkv", videos / "twin.mkv")
    shutil.copy(videos / "kitchen.mp4", videos / "again.mp4")
    write_film(videos / "kitchen.ts", frames=10)
    write_film(videos / "short.mp4", frames=50)
    write_film(videos / "numbers.mp4", frames=101)
    write_film(videos / "stranger.mp4", frames=20)
    write_film(videos / "bad, name.mp4", frames=20)
    (videos / "notes.txt").write_text("not a film")
    (videos / "empty.mp4").touch()
    write_sound(videos / "sound.mp4")
    (videos / "broken.mp4").write_bytes(b"<html>404</html>" * 100)
    whole = write_film(root / "whole.mp4", frames=90, muxer_options=FASTSTART).read_bytes()
    (videos / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    train = (annotations / "train.csv").read_text()
    train += rows("short", 0.5, 1.5, 2.5, 3.5) + rows("numbers", 25, 50, 75)
    train += "".join(rows(each, 0.5) for each in ("twin", "again", "empty", "sound", "broken", "cut", "both"))
    train += rows("kitchen", 0.5, action=5)  # in the range of classes, and not in the label map
    train += rows("kitchen", 1.5, action=9)  # in neither
    train += rows("kitchen", 0.5, box="10,20,40,60") + rows("kitchen", 0.5, box="0.1,0.2,1.2,0.8")
    train += rows("kitchen", 0.5, box="0.5,0.2,0.1,0.8") + rows("kitchen", 0.5, box="0.1,0.2,0.1,0.8")
    train += rows("kitchen", 0.5)  # once more
    train += "kitchen,2.5\n"  # nobody, though somebody is
    train += rows("kitchen", -1) + "kitchen,0.5,0.1\n" + rows("../up", 1)
    train += rows("kitchen", 3.5, action=3)  # trained, and not in val
    (annotations / "train.csv").write_text(train)
    val = (annotations / "val.csv").read_text() + rows("gone", 0.5) + rows("both", 1.5)
    (annotations / "val.csv").write_text(val + rows("street", 3.5, action=4))
    (annotations / "labelmap.pbtxt").write_text(labels(1, 2, 3, 4))
    names = ["short", "numbers", "twin", "again", "empty", "sound", "broken", "cut", "both"]
    lines = [f"{each},train,0,0\n" for each in names] + ["gone,val,0,0\n"]
    (annotations / "videos.csv").write_text((annotations / "videos.csv").read_text() + "".join(lines))
    found: dict[str, list[tuple[float, ...]]] = {
        "kitchen,1.5": [(0.1, 0.2, 0.5, 0.8)],  # no score
        "kitchen,2.5": [(0.1, 0.2, 0.5, 0.8), (10.0, 20.0, 30.0, 40.0)],
        "kitchen,3.5": [(0.1, 0.2, 0.5, 0.8)],
        "martian,1": [(0.1, 0.2, 0.5, 0.8)],
        "street,0.5": [(0.6, 0.7, 0.9, 0.9, 0.3)],  # nowhere near, and below the threshold
    }
    (source / "proposals/boxes.pkl").write_bytes(proposals(found))
    return source

"""A small valid file of each format that users bring, and the code of the product that reads it."""

import contextlib
import functools
import io
import json
import pickle
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.files import json_text, read_json, write_json
from pipeline.base.plain_yaml import parse_yaml
from pipeline.base.problems import report_problems
from pipeline.boxes.importing import import_boxes
from pipeline.checkpoint.sidecars import Checkpoint
from pipeline.commands.score import score
from pipeline.commands.score_multisports import score_multisports
from pipeline.doctor.examine import examine
from pipeline.doctor.pages import as_html, as_json, as_text
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.evaluation.ava_csv import read_keyframe_list
from pipeline.params import Params, parse_params
from pipeline.project.compose import compose_params
from pipeline.tables.label_map import read_label_map, write_labels
from pipeline.tables.schemas import ANNOTATIONS, BOXES, KEYFRAMES, TIMELINES, check_table
from tests.fuzz.mutate import DEEP, change_bytes, change_table, change_text, change_value, change_xml


@dataclass(frozen=True)
class Content:
    """A file that is read without a fault, and its changes."""

    whole: bytes
    change: Callable[[random.Random], bytes]


REPOSITORY = Path(__file__).resolve().parent.parent.parent
NAMES = ("bend", "run", "sit")
LABELMAP = "".join(f'item {{ name: "{name}" id: {at} }}\n' for at, name in enumerate(NAMES, start=1))
AVA = "a,902,0.1,0.2,0.3,0.4,1,5\na,903,0.1,0.2,0.3,0.4,2\nb,902\nb,904,0.1,0.2,0.3,0.45,3,1\n"
LISTED = "video_id,split,first_timestamp,offset_seconds,fps,width,height\n" + "".join(
    f"{each},train,900,0,25,200,100\n" for each in "ab"
)
CLIP = "-ab_cd-EF12_000012_000022"


@dataclass(frozen=True)
class Format:
    """A file and who reads it."""

    name: str
    "Of the file."
    content: Content
    read: Callable[[Path], Any]
    beside: dict[str, bytes] = field(default_factory=dict)
    "The other files of the folder."


def _annotations(folder: Path) -> None:
    """As `import_annotations` reads and writes."""
    found = import_source(folder, SourceOptions(classes=3, clips=folder))
    out = folder.with_name(f"{folder.name} out")
    report_problems(
        found.problems,
        total=found.rows,
        max_bad_fraction=1,
        folder=out,
        unit="rows",
        missing=found.missing,
        key="dataset.max_bad_fraction",
    )
    for table, schema in (
        (found.annotations, ANNOTATIONS), (found.keyframes, KEYFRAMES), (found.timelines, TIMELINES)
    ):  # fmt: skip
        check_table(table, schema, "table")
    write_labels(out / "labels.json", found.labels)
    write_json(out / "summary.json", found.summary)
    assert all(line.isprintable() for line in found.told), found.told


@functools.cache
def _params() -> Params:
    return parse_params(compose_params(["dataset=custom", "dataset.classes=3"], REPOSITORY / "conf"), "test")


def _doctor(folder: Path) -> None:
    """As `actionbank doctor` examines annotations and boxes of one folder, with films that are made up."""
    params = _params()
    dataset = params.dataset.model_copy(update={"annotations": str(folder), "videos": str(folder)})
    boxes = params.boxes.model_copy(update={"source": str(folder), "detector": "none"})
    film = ProbedFilm(codec="h264", frames=250, width=200, height=100, fps=25.0, duration_seconds=10.0)
    with patch("pipeline.doctor.examine.probe_films", lambda paths, **_: dict.fromkeys(paths, film)):
        examined = examine(params.model_copy(update={"dataset": dataset, "boxes": boxes}), workers=1)
    as_text(examined)
    as_html(examined)
    json_text(as_json(examined)).encode()


def _score(folder: Path) -> None:
    """As `actionbank score` does."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        score(
            folder / "truth.csv", folder / "found.csv", labels=folder / "labelmap.pbtxt", json_path=folder / "out.json"
        )
    out.getvalue().encode()


def _score_multisports(folder: Path) -> None:
    """As `actionbank score-multisports` does."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        score_multisports(folder / "gt.pkl", folder / "found.csv", split="train", json_path=folder / "out.json")
    out.getvalue().encode()


def _boxes(folder: Path) -> None:
    """As `import_boxes` reads and writes."""
    ids = ["a", "b", "v_x_c001"]
    timelines = pa.table(
        {"video_id": ids, "split": ["train"] * 3, "first_timestamp": [900.0] * 3, "offset_seconds": [0.0] * 3},
        TIMELINES,
    )
    found = import_boxes(folder, timelines, min_score=0.05, keyframes=KEYFRAMES.empty_table())
    out = folder.with_name(f"{folder.name} out")
    report_problems(
        found.problems, total=found.rows, max_bad_fraction=1, folder=out, unit="rows", key="boxes.max_bad_fraction"
    )
    check_table(found.boxes, BOXES, "table")
    write_json(out / "summary.json", found.summary)
    assert all(line.isprintable() for line in found.told), found.told


def _text(read: Callable[[Path], Any], name: str) -> Callable[[Path], Any]:
    return lambda folder: read(folder / name)


def _table(text: str, *, quoted: bool = False) -> Content:
    def change(rng: random.Random) -> bytes:
        if rng.random() < 0.2:
            return change_bytes(text.encode(), rng)
        return change_table(text, rng, quoted=quoted).encode(
            "utf-8", "surrogatepass" if rng.random() < 0.5 else "replace"
        )

    return Content(text.encode(), change)


def _json(value: Any) -> Content:
    def change(rng: random.Random) -> bytes:
        if rng.random() < 0.15:
            return change_bytes(json.dumps(value).encode(), rng)
        return _dumped(change_value(value, rng))

    return Content(json.dumps(value).encode(), change)


def _dumped(value: Any) -> bytes:
    return json.dumps(value).replace(f'"{DEEP}"', "[" * 5000 + "]" * 5000).encode()


def _pickle(value: Any) -> Content:
    def change(rng: random.Random) -> bytes:
        protocol = rng.randrange(6)
        data = pickle.dumps(value if rng.random() < 0.3 else change_value(value, rng, arrays=True), protocol)
        return data if rng.random() < 0.6 else change_bytes(data, rng)

    return Content(pickle.dumps(value), change)


def _xml(text: str) -> Content:
    return Content(
        text.encode(),
        lambda rng: change_bytes(text.encode(), rng) if rng.random() < 0.2 else change_xml(text, rng),
    )


def _words(text: str) -> Content:
    return Content(
        text.encode(),
        lambda rng: (
            change_bytes(text.encode(), rng)
            if rng.random() < 0.3
            else change_text(text, rng).encode("utf-8", "replace")
        ),
    )


IMAGES = [
    {"id": at, "movie": movie, "timestamp": 902 + at, "width": 200, "height": 100}
    for at, movie in enumerate(("a", "a", "b"))
]
COCO = {
    "images": IMAGES,
    "annotations": [
        {"id": 1, "image_id": 0, "bbox": [20, 10, 40, 50], "action_ids": [1, 2], "person_id": 3},
        {"id": 2, "image_id": 2, "bbox": [30.5, 10, 40, 50], "action_ids": [3]},
    ],
    "categories": [{"id": 1, "name": "person"}],
}
COCO_CATEGORIES = {
    "images": IMAGES,
    "annotations": [{"id": 1, "image_id": 0, "bbox": [20, 10, 40, 50], "category_id": 1, "score": 0.9}],
    "categories": [{"id": at, "name": name} for at, name in enumerate(NAMES, start=1)],
}
RESULTS = [{"image_id": at, "bbox": [20, 10, 40, 50], "score": 0.9, "category_id": 1} for at in range(3)]
PROPOSALS = {
    "a,0902": np.array([[0.1, 0.2, 0.3, 0.4, 0.9], [0.2, 0.2, 0.4, 0.6, 0.8]], np.float32),
    "b,0904": np.array([[0.1, 0.2, 0.3, 0.4]]),
    "b,0905": np.zeros((0, 5)),
}
DETECTRON = {
    "all_boxes": [[[], [], []], [np.array([[20, 10, 60, 60, 0.9]], np.float32), [], np.zeros((0, 5))]],
    "images": IMAGES,
}
MULTISPORTS = {
    "labels": [f"sport {name}" for name in NAMES],
    "train_videos": [["sport/v_x_c001"]],
    "test_videos": [["sport/v_y_c001"]],
    "nframes": {"sport/v_x_c001": 50, "sport/v_y_c001": 60},
    "resolution": {"sport/v_x_c001": (100, 200), "sport/v_y_c001": (100, 200)},
    "gttubes": {
        "sport/v_x_c001": {0: [np.array([[1, 10, 10, 50, 60], [2, 11, 10, 50, 60]], np.float32)]},
        "sport/v_y_c001": {1: [np.array([[4, 10, 10, 50, 60]], np.float64)], 2: []},
    },
}
COCO_ATTRIBUTES = {
    "images": [{**each, "file_name": f"a/{at}.jpg"} for at, each in enumerate(IMAGES)],
    "annotations": [
        {"id": 1, "image_id": 0, "bbox": [20, 10, 40, 50], "category_id": 1, "attributes": {"run": True, "sit": False}},
        {
            "id": 2,
            "image_id": 1,
            "segmentation": [[20, 10, 60, 10, 60, 60]],
            "category_id": 1,
            "attributes": {"run": 1},
        },
        {"id": 3, "image_id": 2, "bbox": [20, 10, 40, 50], "attributes": [{"name": "sit", "value": "yes"}, "run"]},
    ],
    "categories": [{"id": 1, "name": "person"}],
}
LABEL_STUDIO = [
    {
        "id": 1,
        "data": {"video": "/data/upload/1/a.mp4"},
        "annotations": [
            {
                "id": 1,
                "result": [
                    {
                        "id": "x",
                        "type": "videorectangle",
                        "value": {
                            "framesCount": 100,
                            "duration": 4.0,
                            "labels": ["run"],
                            "sequence": [
                                {"frame": 1, "time": 0.04, "x": 10, "y": 10, "width": 20, "height": 40, "rotation": 0},
                                {"frame": 60, "time": 2.4, "x": 2, "y": 9, "width": 9, "height": 40, "enabled": False},
                            ],
                        },
                    },
                    {"id": "x", "type": "choices", "from_name": "action", "value": {"choices": ["run", "sit"]}},
                ],
            }
        ],
    }
]  # fmt: skip
PYANNOT = {
    "sport/v_x_g01_c01": {
        "numf": 50,
        "label": 1,
        "annotations": [
            {"label": 1, "sf": 1, "ef": 3, "boxes": np.array([[10, 10, 40, 50], [11, 10, 40, 50]], np.uint8)}
        ],
    }
}
VIA3 = """# Exported using VGG Image Annotator
# SHARED_ID = x
# ATTRIBUTE = {"1":{"aname":"action","type":2,"options":{"0":"bend","1":"run","2":"sit"}}}
# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata
"1_a","[""a.mp4""]",0,"[1.5]","[2,20,10,40,50]","{""1"":""0""}"
"1_b","[""a.mp4""]",0,"[2.5]","[2,21,10,40,50]","{""1"":""1,2""}"
"1_c","[""b.mp4""]",0,"[0.5]","[]","{}"
"1_d","[""b.mp4""]",0,"[0.5, 4.5]","[]","{}"
"""
VIA2 = """filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes
a_10.jpg,999,"{}",1,0,"{""name"":""rect"",""x"":20,""y"":10,""width"":40,""height"":50}","{""action"":""bend""}"
a_40.jpg,999,"{""width"":200,""height"":100}",1,0,"{""name"":""rect"",""x"":20,""y"":10,""width"":40,""height"":50}","{""action"":{""run"":true}}"
b_70.jpg,999,"{}",0,0,"{}","{}"
"""
CVAT = """<annotations><version>1.1</version><meta><task><name>a</name><size>100</size><mode>interpolation</mode>
<start_frame>0</start_frame><stop_frame>99</stop_frame><frame_filter>step=1</frame_filter><fps>25</fps>
<labels><label><name>person</name><attributes><attribute><name>action</name><input_type>select</input_type>
<values>bend
run
sit</values></attribute></attributes></label></labels>
<original_size><width>200</width><height>100</height></original_size><source>a.mp4</source></task></meta>
<track id="0" label="person"><box frame="0" keyframe="1" outside="0" xtl="10" ytl="10" xbr="50" ybr="60">
<attribute name="action">bend</attribute></box>
<box frame="40" keyframe="1" outside="0" xtl="12" ytl="10" xbr="50" ybr="60">
<attribute name="action">run</attribute></box>
<box frame="60" keyframe="1" outside="1" xtl="12" ytl="10" xbr="50" ybr="60">
<attribute name="action">run</attribute></box>
</track></annotations>"""
CVAT_SHAPES = """<annotations><version>1.1</version><meta><job><id>1</id><size>20</size>
<start_frame>0</start_frame><stop_frame>95</stop_frame><frame_filter>step=5</frame_filter><fps>25</fps>
<labels><label><name>person</name><attributes>
<attribute><name>run</name><mutable>True</mutable><input_type>checkbox</input_type><values>false</values></attribute>
<attribute><name>sit</name><mutable>False</mutable><input_type>checkbox</input_type><values>false</values></attribute>
</attributes></label></labels>
<original_size><width>200</width><height>100</height></original_size><source>a.mp4</source></job></meta>
<track id="0" label="person"><box frame="0" keyframe="1" outside="0" xtl="10" ytl="10" xbr="50" ybr="60" rotation="30">
<attribute name="run">true</attribute><attribute name="sit">false</attribute></box>
<box frame="40" keyframe="1" outside="0" xtl="12" ytl="10" xbr="50" ybr="60" rotation="350"/></track>
<track id="1" label="person"><polygon frame="0" outside="0" points="10,20;60,10;40,90">
<attribute name="sit">true</attribute></polygon></track>
<track id="2" label="person"><ellipse frame="5" outside="0" cx="50" cy="50" rx="40" ry="10" rotation="90"/>
<mask frame="10" outside="0" rle="1,2" left="10" top="20" width="30" height="40"/>
<points frame="15" outside="0" points="1,2"/></track>
<track id="3" label="person"><skeleton frame="0"><points label="1" outside="0" points="20,30"/></skeleton>
<cuboid frame="5" outside="0" xtl1="10" ytl1="10" xbl1="10" ybl1="50" xtr1="30" ytr1="10" xbr1="30" ybr1="50" xtl2="20"
ytl2="5" xbl2="20" ybl2="40" xtr2="45" ytr2="5" xbr2="45" ybr2="40"/></track></annotations>"""
SIDECAR = {
    "sha256": "0" * 64, "kind": "detector", "backbone": "slowonly_tiny", "width": 16, "classes": 3, "columns": 3,
    "dropout": 0.5, "input": {"frames": 4, "interval": 2, "short_side": 64, "mean": [1, 2, 3], "std": [1, 1, 1]},
    "roi": {"output_size": 8}, "head": {"name": "linear", "mlp": False, "options": {}}, "history": [{"epoch": 1}],
}  # fmt: skip
SIZES = {"videos.csv": b"video_id,width,height\na,200,100\nv_x_g01_c01,200,100\n"}
MAP, VIDEOS = {"labelmap.pbtxt": LABELMAP.encode()}, {"videos.csv": LISTED.encode()}
KINETICS = "-ab_cd-EF12,17,0.1,0.2,0.3,0.4,1\n-ab_cd-EF12,18,0.1,0.2,0.3,0.4,2,4\nlost,3,0.1,0.2,0.3,0.4,1\n"
BOX_CSV = "a,0902,0.1,0.2,0.3,0.4,1,0.9\na,0903\nb,0904,0.1,0.2,0.3,0.45,,0.8\n"
PREDICTED = "a,0902,0.1,0.2,0.3,0.4,,0.9\nb,0904,0.1,0.2,0.3,0.45,,0.8\n"
CLIPS_CSV = "sport/v_x_c001.mp4,4,0.1,0.2,0.3,0.4,0,1\nsport/v_x_c001.mp4,5,0.1,0.2,0.3,0.4,2,1\n"
SPLIT_CSV = "video_id,split\na,val\nb,train\n"
FOUND = BOX_CSV.replace(",,", ",2,").encode()
TUBES = "".join(
    f"sport/v_x_c001,{row}\n"
    for row in ("1,0.05,0.1,0.25,0.6,1,0.9", "2,0.05,0.1,0.25,0.6,1,0.8", "5,0.1,0.2,0.3,0.4,3,0.1")
)
TIMES = b"video_id,split,first_timestamp,offset_seconds\na,train,900,0\nb,train,900,0\n"
LINES = "1: bend\n2: run\n3: sit\n"
LABELS_JSON = {"classes": [{"id": at, "name": name, "group": "x"} for at, name in enumerate(NAMES, start=1)]}
PARAMS = """choices: {dataset: a, head: b}
seed: 1
frames:
  fps: 15 # x
  mean: [1, 2.5e3, .inf]
other: &a {x: 1}
more: *a
"""


def _sidecar(folder: Path) -> None:
    Checkpoint.from_json(read_json(folder / "head.json"), "head.json").to_json()


FORMATS: dict[str, Format] = {
    "AVA CSV": Format("train.csv", _table(AVA), _annotations, MAP),
    "AVA CSV with videos.csv": Format("train.csv", _table(AVA), _annotations, {**MAP, **VIDEOS}),
    "AVA excluded": Format(
        "excluded_train.csv", _table("a,902\na,903\n"), _annotations, {**MAP, "train.csv": AVA.encode()}
    ),
    "videos.csv": Format("videos.csv", _table(LISTED), _annotations, {**MAP, "train.csv": AVA.encode()}),
    "videos.csv of times": Format(
        "videos.csv", _table(TIMES.decode()), _annotations, {**MAP, "rows.csv": AVA.encode()}
    ),
    "split.csv": Format("split.csv", _table(SPLIT_CSV), _annotations, {**MAP, **VIDEOS, "rows.csv": AVA.encode()}),
    "AVA-Kinetics CSV": Format(
        "kinetics_train_v1.0.csv",
        _table(KINETICS),
        _annotations,
        {**MAP, f"{CLIP}.mp4": b"x", "ava_train_v2.2.csv": AVA.encode()},
    ),
    "MultiSports CSV": Format(
        "train.csv", _table(CLIPS_CSV), _annotations, {"labelmap.txt": b"0: sport bend\n1: sport run\n2: sport sit\n"}
    ),
    "MultiSports pickle": Format("gt.pkl", _pickle(MULTISPORTS), _annotations),
    "COCO JSON": Format("coco.json", _json(COCO), _annotations, MAP),
    "COCO JSON of categories": Format("coco.json", _json(COCO_CATEGORIES), _annotations),
    "COCO JSON of attributes": Format("coco.json", _json(COCO_ATTRIBUTES), _annotations),
    "Label Studio JSON": Format("x.json", _json(LABEL_STUDIO), _annotations, SIZES),
    "Label Studio JSON for the doctor": Format("x.json", _json(LABEL_STUDIO), _doctor, {"a.mp4": b""}),
    "UCF101-24 pyannot": Format("pyannot.pkl", _pickle(PYANNOT), _annotations, SIZES),
    "CVAT XML of shapes": Format("a.xml", _xml(CVAT_SHAPES), _annotations),
    "frame_times.csv": Format(
        "frame_times.csv",
        _table("video_id,frame,seconds\na,0,0\na,50,2.0\na,99,6.9\n"),
        _annotations,
        {**MAP, "a.xml": CVAT.encode()},
    ),
    "VIA 3 CSV": Format("via.csv", _table(VIA3, quoted=True), _annotations, {**MAP, **VIDEOS}),
    "VIA 3 CSV, raw": Format("via.csv", _words(VIA3), _annotations, {**MAP, **VIDEOS}),
    "VIA 2 CSV": Format("via.csv", _table(VIA2, quoted=True), _annotations, {**MAP, **VIDEOS}),
    "CVAT XML": Format("a.xml", _xml(CVAT), _annotations, MAP),
    "CVAT XML with videos.csv": Format("a.xml", _xml(CVAT), _annotations, VIDEOS),
    "label map pbtxt": Format("labelmap.pbtxt", _words(LABELMAP), _annotations, {"train.csv": AVA.encode()}),
    "label map lines": Format("labelmap.txt", _words(LINES), _annotations, {"train.csv": AVA.encode()}),
    "label map CSV": Format(
        "labelmap.csv", _table("id,name,group\n1,bend,x\n2,run,x\n3,sit,y\n"), _annotations, {"train.csv": AVA.encode()}
    ),
    "label map JSON": Format("labelmap.json", _json(LABELS_JSON), _text(read_label_map, "labelmap.json")),
    "proposals pickle": Format("proposals.pkl", _pickle(PROPOSALS), _boxes),
    "Detectron pickle": Format("boxes.pkl", _pickle(DETECTRON), _boxes),
    "AlphAction boxes JSON": Format(
        "boxes.json",
        _json([{**each, "category_id": 1} for each in RESULTS]),
        _boxes,
        {"images.json": json.dumps({"images": IMAGES}).encode()},
    ),
    "image list JSON": Format(
        "images.json",
        _json({"images": IMAGES, "categories": [{"id": 1, "name": "person"}]}),
        _boxes,
        {"boxes.json": json.dumps(RESULTS).encode()},
    ),
    "COCO boxes JSON": Format(
        "boxes.json", _json({**COCO_CATEGORIES, "categories": [{"id": 1, "name": "person"}]}), _boxes
    ),
    "YOLO text": Format(
        "a_1.txt",
        _words("0 0.5 0.5 0.25 0.5 0.9 7\n16 0.5 0.5 0.1 0.1 0.8\n0 0.25 0.5 0.5 1 0.375\n"),
        _boxes,
        {"videos.csv": b"video_id,fps\na,25\n", "b.csv": BOX_CSV.encode()},
    ),
    "rates beside YOLO text": Format(
        "videos.csv", _table("video_id,fps\na,25\nb,30\n"), _boxes, {"a_1.txt": b"0 0.5 0.5 0.25 0.5 0.9\n"}
    ),
    "box CSV": Format("boxes.csv", _table(BOX_CSV), _boxes),
    "PySlowFast CSV": Format("predicted.csv", _table(PREDICTED), _boxes),
    "ground truth beside boxes": Format("train.csv", _table(AVA), _boxes, {"boxes.csv": PREDICTED.encode()}),
    "detections to score": Format(
        "found.csv", _table(BOX_CSV.replace(",,", ",2,")), _score, {**MAP, "truth.csv": AVA.encode()}
    ),
    "ground truth to score": Format("truth.csv", _table(AVA, quoted=True), _score, {**MAP, "found.csv": FOUND}),
    "label map to score": Format(
        "labelmap.pbtxt", _words(LABELMAP), _score, {"found.csv": FOUND, "truth.csv": AVA.encode()}
    ),
    "MultiSports pickle to score": Format(
        "gt.pkl", _pickle(MULTISPORTS), _score_multisports, {"found.csv": TUBES.encode()}
    ),
    "MultiSports detections to score": Format(
        "found.csv", _table(TUBES), _score_multisports, {"gt.pkl": pickle.dumps(MULTISPORTS)}
    ),
    "AVA CSV for the doctor": Format(
        "train.csv", _table(AVA), _doctor, {**MAP, "videos.csv": TIMES, "a.mp4": b"", "b.mp4": b""}
    ),
    "CVAT XML for the doctor": Format("a.xml", _xml(CVAT), _doctor, {"boxes.csv": BOX_CSV.encode(), "a.mp4": b""}),
    "COCO JSON for the doctor": Format("coco.json", _json(COCO_CATEGORIES), _doctor, {"a.mp4": b""}),
    "box CSV for the doctor": Format(
        "proposals.csv", _table(BOX_CSV), _doctor, {**MAP, "train.csv": AVA.encode(), "a.mp4": b"", "b.mp4": b""}
    ),
    "excluded to score": Format("out.csv", _table("a,902\na,903\n"), _text(read_keyframe_list, "out.csv")),
    "params.yaml": Format(
        "params.yaml", _words(PARAMS), lambda folder: parse_yaml((folder / "params.yaml").read_bytes(), "p")
    ),
    "sidecar": Format("head.json", _json(SIDECAR), _sidecar),
}

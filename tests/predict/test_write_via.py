import csv
import json
from pathlib import Path

from pipeline.annotations.frame_times import Clock
from pipeline.annotations.unread import why_json
from pipeline.annotations.via import read_via
from pipeline.predict.marks import Mark, MarkedFilm, classes_of
from pipeline.predict.write_via import via_csv_text, via_project
from pipeline.tables.label_map import Label
from tests.predict.made import LABELS

MARKS = [Mark(0, 0.5, (0.1, 0.2, 0.3, 0.4), 3, (1, 4)), Mark(1, 1.5004, (0.1, 0.2, 0.3333, 1.0), 4, ())]
FILMS = [
    MarkedFilm("a", "a.mp4", 100, (100, 200), Clock(25.0), MARKS[:1]),
    MarkedFilm("b", "b, c.mp4", 100, (100, 200), Clock(25.0), MARKS[1:]),
]


def test_the_rows_that_via_exports() -> None:
    lines = via_csv_text(FILMS, classes_of(LABELS, [])).splitlines()
    assert lines[0].startswith("# Exported using VGG Image Annotator")
    assert lines[3] == "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata"
    assert list(csv.reader(lines[4:])) == [
        ["1_00000001", '["a.mp4"]', "0", "[0.5]", "[2,10.0,40.0,20.0,40.0]", '{"1":"0,2","2":"3"}'],
        ["2_00000001", '["b, c.mp4"]', "0", "[1.5]", "[2,10.0,40.0,23.33,160.0]", '{"1":"","2":"4"}'],
    ]
    attributes = json.loads(lines[2].removeprefix("# ATTRIBUTE = "))
    assert attributes["1"] == {
        "aname": "action", "anchor_id": "FILE1_Z1_XY1", "type": 2, "desc": "",
        "options": {"0": "stand", "1": "wave", "2": "carry/hold (an object)"}, "default_option_id": "",
    }  # fmt: skip
    assert (attributes["2"]["aname"], attributes["2"]["type"]) == ("person_id", 1)


def test_the_project_holds_the_same_regions() -> None:
    classes = classes_of(LABELS, ["hands"])
    project = via_project(FILMS, classes, "actionbank")
    rows = list(csv.reader(line for line in via_csv_text(FILMS, classes).splitlines() if not line.startswith("#")))
    regions = {
        name: [[project["file"][region["vid"]]["fname"]], 0, region["z"], region["xy"], region["av"]]
        for name, region in project["metadata"].items()
    }
    assert regions == {row[0]: [json.loads(cell) for cell in row[1:]] for row in rows}
    assert [each["aname"] for each in project["attribute"].values()] == ["actions of any number", "hands", "person_id"]
    assert [each["type"] for each in project["attribute"].values()] == [2, 3, 1]
    assert [region["av"] for region in project["metadata"].values()] == [
        {"1": "0", "2": "2", "3": "3"}, {"1": "", "2": "0", "3": "4"},
    ]  # fmt: skip
    # A file, a view and a video of the list for each film, by the same id.
    assert list(project["file"]) == list(project["view"]) == project["project"]["vid_list"] == ["1", "2"]
    assert [view["fid_list"] for view in project["view"].values()] == [["1"], ["2"]]
    assert why_json(project) == "a project of VIA 3; export the annotations as CSV"


def test_a_group_is_not_taken_for_the_attribute_of_all_actions(tmp_path: Path) -> None:
    labels = [Label(1, "walk", "action"), Label(2, "run", "action"), Label(3, "talk", "voice")]
    path = tmp_path / "a.csv"
    path.write_text(via_csv_text(FILMS, classes_of(labels, ["action"])))
    chosen = read_via(path, "auto").chosen
    assert chosen.attribute_names == {"one action", "actions of any number"}
    assert {*chosen.names} == {"walk", "run", "talk"}
    assert chosen.ignored == ()


def test_every_field_is_as_via_reads_it() -> None:
    """VIA 3 takes the parsed JSON as its store without a check: what it looks up later must be there.

    The fields are those of its own classes of files, views, attributes and metadata.
    """
    project = via_project(FILMS, classes_of(LABELS, ["hands"]), "actionbank")
    assert set(project) == {"project", "config", "attribute", "file", "view", "metadata"}
    about, files, views = project["project"], project["file"], project["view"]
    assert about["data_format_version"] == "3.1.1", "an older one is converted"
    assert [about[key] for key in ("pid", "rev", "rev_timestamp")] == [
        "__VIA_PROJECT_ID__", "__VIA_PROJECT_REV_ID__", "__VIA_PROJECT_REV_TIMESTAMP__",
    ], "else it counts as a shared project"  # fmt: skip
    assert about["vid_list"] == list(views)
    assert all(key.isdigit() for key in (*views, *files, *project["attribute"])), "new ids are counted on from these"
    assert set(project["config"]["file"]["loc_prefix"]) == {"1", "2", "3", "4"}
    for key, file in files.items():
        assert (file["fid"], file["type"], file["loc"], set(file)) == (
            *(key, 4, 1), {"fid", "fname", "type", "loc", "src"},
        )  # fmt: skip
    assert all(fid in files for view in views.values() for fid in view["fid_list"])
    for attribute in project["attribute"].values():
        assert set(attribute) == {"aname", "anchor_id", "type", "desc", "options", "default_option_id"}
        assert attribute["anchor_id"] == "FILE1_Z1_XY1", "one file, one time, one region"
    for region in project["metadata"].values():
        assert set(region) == {"vid", "flg", "z", "xy", "av"}
        assert region["vid"] in views
        assert (region["flg"], len(region["z"]), region["xy"][0], len(region["xy"])) == (0, 1, 2, 5)
        for key, value in region["av"].items():
            options = project["attribute"][key]["options"]
            assert not options or set(filter(None, value.split(","))) <= set(options)

"""`conf/dataset/NAME.yaml`, and the lists beside the sources."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import yaml

from pipeline.base.code_version import REPOSITORY
from pipeline.base.errors import InputError
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.new_dataset.config import (
    USUAL_BAD_FRACTION,
    Annotated,
    _bad_film_lines,
    check_name,
    check_source,
    config_text,
    grid_fps,
    in_place,
    own_folder,
    rate_lines,
    short_side,
    split_gap,
    write_videos_csv,
)
from pipeline.project.compose import compose_params


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an empty conf/dataset."""
    (tmp_path / "conf/dataset").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def message(error: pytest.ExceptionInfo[InputError]) -> str:
    return str(error.value)


def test_a_name_is_a_plain_word_that_is_free(project: Path) -> None:
    conf = Path("conf")
    assert check_name("mine_2", conf, force=False) == conf / "dataset/mine_2.yaml"
    for name in ("Mine", "my-data", "", "a/b", "ä"):
        with pytest.raises(InputError) as error:
            check_name(name, conf, force=True)
        assert message(error) == f"the name is {name!r}, expected lower-case letters, digits and '_'"
    (conf / "dataset/mine.yaml").touch()
    with pytest.raises(InputError) as error:
        check_name("mine", conf, force=False)
    assert message(error) == "conf/dataset/mine.yaml: is there already, expected another name or --force"
    assert check_name("mine", conf, force=True) == conf / "dataset/mine.yaml"
    with pytest.raises(InputError, match=r"^none/dataset: no such folder, expected to run in the project's folder$"):
        check_name("mine", Path("none"), force=False)


def test_a_folder_inside_the_project_is_relative_and_one_outside_absolute(project: Path) -> None:
    inside, outside = project / "films", project.parent / f"{project.name}_films"
    for folder in (inside, outside, project / "a$b"):
        folder.mkdir()
    assert (in_place(inside, "--videos"), in_place(Path("films"), "--videos")) == ("films", "films")
    assert in_place(outside, "--videos") == outside.as_posix()
    with pytest.raises(InputError, match=r"^a\$b: holds a '\$', expected a path without it \(--videos\)$"):
        in_place(Path("a$b"), "--videos")
    with pytest.raises(InputError, match=r"^gone: no such file or folder \(--boxes\)$"):
        in_place(Path("gone"), "--boxes")


def test_a_single_file_is_copied_and_replaces_no_other(project: Path) -> None:
    given, folder = Path("boxes.csv"), Path("data/mine/source/proposals")
    given.write_text("one")
    assert own_folder(None, folder, "--boxes") == folder.as_posix()
    assert not folder.exists()
    for _ in range(2):  # the same again is no fault
        assert own_folder(given, folder, "--boxes") == folder.as_posix()
        assert (folder / "boxes.csv").read_text() == "one"
    given.write_text("two")
    with pytest.raises(InputError) as error:
        own_folder(given, folder, "--boxes")
    copy = folder / "boxes.csv"
    assert message(error) == f"{copy}: is there and is another file than boxes.csv (--boxes); --force replaces it"
    own_folder(given, folder, "--boxes", force=True)
    assert copy.read_text() == "two"


@pytest.mark.parametrize("place", ["data/mine/frames", "data/mine/boxes/deeper", "data/mine", "data"])
def test_a_source_where_stages_write_is_refused(project: Path, place: str) -> None:
    with pytest.raises(InputError, match=rf"^{place}: stages write data/mine/\w+ and remove what is there; move it"):
        check_source("mine", Path(place), "--videos")
    for fine in (None, Path("data/mine/source"), Path("data/other/frames"), Path("films")):
        check_source("mine", fine, "--videos")


def test_a_list_of_films_is_written_where_there_is_none(tmp_path: Path) -> None:
    films = {"a": ProbedFilm(fps=25.0, width=640, height=360), "b": ProbedFilm(fps=30000 / 1001, width=320, height=240)}
    told = write_videos_csv(tmp_path, {**films, "c": ProbedFilm(found="0 bytes")})
    path = tmp_path / "videos.csv"
    assert told == f"{path}: written, with frame rate and size of 2 films; its column split may be filled in"
    assert path.read_text() == "video_id,split,fps,width,height\na,,25,640,360\nb,,29.97003,320,240\n"
    path.write_text("video_id\n")
    assert write_videos_csv(tmp_path, films) == ""
    assert path.read_text() == "video_id\n"


def test_the_gap_of_a_film_that_is_split_by_time_is_no_less_than_a_clip() -> None:
    assert [split_gap(frames, fps) for frames, fps in ((32, 15), (64, 30), (64, 15), (90, 30), (91, 30))] == [
        3, 3, 5, 3, 4,
    ]  # fmt: skip


def test_a_film_that_is_split_by_time_and_boxes_that_are_brought(project: Path) -> None:
    text = config_text(
        "mine", videos="films", films={"a": film(25)}, annotated=Annotated("x", gap_seconds=5), boxes="boxes",
        fps=12.5, asked_side=96, more={"dataset": rate_lines(30000 / 1001), "blocks": ["bank: {codec: zstd}"]},
    )  # fmt: skip
    found = yaml.safe_load(text)
    dataset = found["dataset"]
    assert (dataset["split_by"], dataset["split_gap_seconds"], dataset["proposals"]) == ("time", 5, "boxes")
    assert dataset["frame_rate"] == pytest.approx(29.97002997)
    assert (found["frames"], found["bank"]) == ({"fps": 12.5, "short_side": 320}, {"codec": "zstd"})
    assert "boxes" not in found, "a detector is chosen only where no boxes are brought"
    assert rate_lines(None) == []


def film(fps: float, width: int = 640, height: int = 360) -> ProbedFilm:
    return ProbedFilm(fps=fps, width=width, height=height)


def test_the_grid_is_the_most_common_rate() -> None:
    assert grid_fps({"a": film(25), "b": film(25.0001), "c": film(30)}) == 25
    assert grid_fps({"a": film(15), "b": film(24)}) == 24  # of equally common ones the highest
    assert grid_fps({"a": film(60)}) == 30
    assert grid_fps({"a": film(29.97), "b": film(12)}) == 30
    assert grid_fps({"a": ProbedFilm(found="0 bytes")}) == 30


def test_frames_are_no_larger_than_the_smallest_film() -> None:
    assert short_side({"a": film(25), "b": film(25, 320, 240)}) == 240
    assert short_side({"a": film(25, 1080, 1920)}) == 320
    assert short_side({"a": ProbedFilm(found="0 bytes")}) == 320


def test_paths_and_long_lists_stay_one_yaml_file(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")
    videos = "/mnt/films: of #1, 'raw'"
    text = config_text(
        "mine",
        videos=videos,
        films={"a": film(25), "b": ProbedFilm(found="0 bytes")},
        annotated=Annotated("x", told=[f"line {n}" for n in range(30)]),
        boxes=None,
        fps=None,
        asked_side=96,
        more={"dataset": [], "blocks": []},
    )
    (tmp_path / "conf/dataset/mine.yaml").write_text(text)
    assert compose_params(["dataset=mine"], tmp_path / "conf")["dataset"]["videos"] == videos
    assert "  # ... and 18 more lines, which import_annotations prints\n" in text
    assert "  # 1 film that can be read, 1 that cannot.\n" in text


def test_the_usual_limit_of_bad_films_is_that_of_the_configuration() -> None:
    values = yaml.safe_load((REPOSITORY / "conf/config.yaml").read_text())
    assert values["frames"]["max_bad_fraction"] == USUAL_BAD_FRACTION


def test_films_that_cannot_be_read_and_nobody_annotated_stop_nothing() -> None:
    films = {"a": film(25), "b": ProbedFilm(found="0 bytes"), "c": ProbedFilm(found="0 bytes")}

    def told(*annotated: str, of: dict[str, ProbedFilm] = films) -> list[str]:
        imported: Any = SimpleNamespace(keyframes=pa.table({"video_id": pa.array(annotated, pa.string())}))
        return _bad_film_lines(of, Annotated("x", imported=imported))

    assert told("a") == [
        "  # 2 of 3 films cannot be read, and they have no annotation: left out.", "  max_bad_fraction: 0.67",
    ]  # fmt: skip
    assert told("a", of={"a": film(25), "b": ProbedFilm(found="0 bytes")})[0] == (
        "  # 1 of 2 films cannot be read, and it has no annotation: left out."
    )
    assert told("a", "b") == [], "what was annotated would be lost"
    assert told() == told("a", of={"a": film(25)}) == []
    many = {str(number): film(25) for number in range(39)} | {"b": ProbedFilm(found="0 bytes")}
    assert told("1", of=many) == [], "the usual limit lets it pass"
    assert _bad_film_lines(films, Annotated("x")) == []

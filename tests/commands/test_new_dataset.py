"""`actionbank new-dataset`: what it writes for the folders that people have."""

import pickle
import re
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.base.command import new_app
from pipeline.base.errors import InputError
from pipeline.base.files import digest_file
from pipeline.commands.new_dataset import new_dataset
from pipeline.new_dataset.config import read_classes
from pipeline.new_dataset.versioned import ignore_words, path_for_experiments
from pipeline.project.compose import compose_params
from tests.annotations.test_cvat import box, track
from tests.annotations.test_cvat import write as write_cvat
from tests.video.films import write_film
from tests.video.test_pictures import write_pictures

REPOSITORY = Path(__file__).resolve().parent.parent.parent
CASES = REPOSITORY / "tests" / "fixtures" / "cases"
APP = new_app()
APP.command()(new_dataset)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films at 25 frames per second and one at 29.97, of 96 x 64."""
    folder = tmp_path_factory.mktemp("films")
    for name, rate, frames in (("film", 25, 100), ("other", 25, 90), ("third", Fraction(30000, 1001), 100)):
        write_film(folder / f"{name}.mp4", frames=frames, rate=rate)
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project of this repository's configuration."""
    folder = tmp_path / "project"
    shutil.copytree(REPOSITORY / "conf", folder / "conf")
    monkeypatch.chdir(folder)
    return folder


def run(*words: str, status: int = 0) -> str:
    done = CliRunner().invoke(APP, [*words, "--workers", "1"], catch_exceptions=False)
    assert done.exit_code == status, done.output
    return str(done.output)


def test_a_folder_in_the_project_with_cvat_files(project: Path, films: Path) -> None:
    shutil.copytree(films, "mine/videos")
    Path("mine/annotations").mkdir()
    task = write_cvat(Path("mine/annotations"), track(box(0, 0, "walk"), box(60, 50, "sit down")))
    shutil.copy(task, task.with_name("other.xml"))
    printed = run("mine", "--videos", "mine/videos/", "--annotations", "./mine/annotations").splitlines()
    csv = "mine/annotations/videos.csv"
    assert printed[:2] == [
        f"{csv}: written, with frame rate and size of 3 films; its column split may be filled in",
        "conf/dataset/mine.yaml: written: 3 films, 2 classes, boxes by motion",
    ]
    assert printed[2] == (
        "splits: 2 videos are in no videos.csv or split.csv: by a hash of the id 1 are val (dataset.val_fraction 0.2): "
        "film"
    )
    assert printed[3] == "data set mine"  # the doctor's report
    assert printed[-1] == "next: read the warnings; dvc exp run -S dataset=mine runs with them"
    assert sum(line.startswith(("next:", "then:")) for line in printed) == 1
    assert Path(csv).read_text() == (
        "video_id,split,fps,width,height\nfilm,,25,96,64\nother,,25,96,64\nthird,,29.97003,96,64\n"
    )
    values = compose_params(["dataset=mine"], Path("conf"))
    dataset, frames, boxes = values["dataset"], values["frames"], values["boxes"]
    assert (dataset["name"], dataset["videos"], dataset["annotations"]) == ("mine", "mine/videos", "mine/annotations")
    assert (dataset["proposals"], dataset["classes"], dataset["generate"]) == ("conf/none/boxes", 2, [])
    assert (frames["fps"], frames["short_side"], frames["allow_smaller"]) == (25, 64, True)
    assert (boxes["detector"], boxes["source"]) == ("motion", "data/mine/detected_boxes")
    assert {values[block]["box_threshold"] for block in ("baseline", "bank", "head_train", "evaluation")} == {0.5}
    text = Path("conf/dataset/mine.yaml").read_text()
    assert (
        "  # 3 films that can be read.\n  # Frames per second: 25 (2 films), 29.97 (1 film). Pixels: 96x64 (3 films).\n"
        in text
    )
    assert "  # film.xml: CVAT for video 1.1: video film, 1 tracks, 25 frames per second, 4 keyframes; actions by "
    assert "actions by action\n" in text
    assert "  classes: 2  # walk, sit_down\n" in text
    assert not Path("data").exists()

    Path(csv).write_text("video_id,fps\nfilm,25\nother,25\n")
    with pytest.raises(
        InputError, match=r"^conf/dataset/mine\.yaml: is there already, expected another name or --force$"
    ):
        run("mine", "--videos", "mine/videos")
    again = run("mine", "--videos", "mine/videos", "--annotations", "mine/annotations", "--force", "--fps", "12.5")
    assert again.startswith("conf/dataset/mine.yaml: written")
    assert Path(csv).read_text() == "video_id,fps\nfilm,25\nother,25\n"  # a user's own stays
    assert compose_params(["dataset=mine"], Path("conf"))["frames"]["fps"] == 12.5


@pytest.mark.parametrize("name", ["video", "a", "cam1", "film"])
def test_a_single_film_is_split_by_time_whatever_its_name(tmp_path: Path, name: str) -> None:
    for folder, csv in (("labels", "labels.csv"), ("val", "val.csv")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "labelmap.txt").write_text("1: walk\n")
        (tmp_path / folder / csv).write_text(
            "".join(f"{name},{900 + each / 10},0.1,0.1,0.5,0.5,1\n" for each in range(40))
        )
    found = read_classes(tmp_path / "labels", "labels", gap_seconds=1)
    assert (found.gap_seconds, found.fault) == (1, "")
    assert found.imported is not None
    assert found.imported.timelines["split"].to_pylist() == ["train+val"]
    told = read_classes(tmp_path / "val", "val", gap_seconds=1)  # the user says that it is val
    assert (told.gap_seconds, told.imported and told.imported.timelines["split"].to_pylist()) == (0, ["val"])


def test_a_folder_elsewhere_and_single_files(project: Path, films: Path, tmp_path: Path) -> None:
    annotations = write_cvat(tmp_path, track(box(0, 0, "walk"), box(99, 50, "sit down")))
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("film,0,0.1,0.1,0.5,0.5,,0.95\n")
    printed = run("mine", "--videos", str(films), "--annotations", str(annotations), "--boxes", str(boxes), status=2)
    assert "mine.yaml: one film is annotated, so it is split by time: its last fifth is val (dataset.spl" in printed
    assert "conf/dataset/mine.yaml: written: 3 films, 2 classes, boxes from data/mine/source/proposals\n" in printed
    values = compose_params(["dataset=mine"], Path("conf"))
    assert values["dataset"]["videos"] == str(films)
    assert values["dataset"]["annotations"] == "data/mine/source/annotations"
    assert (values["boxes"]["detector"], values["boxes"]["source"]) == ("none", "data/mine/source/proposals")
    assert values["evaluation"]["box_threshold"] == 0.9
    copied = sorted(path.name for path in Path("data").rglob("*") if path.is_file())
    assert copied == ["boxes.csv", "film.xml", "videos.csv"]  # and no video
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["boxes.csv", "film.xml"]


def test_videos_alone(project: Path, films: Path) -> None:
    """The file composes; what is missing is said, and where it belongs."""
    printed = run("mine", "--videos", str(films), status=2).splitlines()
    folder = "data/mine/source/annotations"
    assert printed[1] == "conf/dataset/mine.yaml: written: 3 films, classes are to be set, boxes by motion"
    assert printed[-1] == "then look again: actionbank doctor --dataset mine"
    assert Path(folder, "videos.csv").read_text().count("\n") == 4  # with it CVAT and VIA can be read
    assert compose_params(["dataset=mine"], Path("conf"))["dataset"]["annotations"] == folder
    text = Path("conf/dataset/mine.yaml").read_text()
    assert f"  # {folder} holds no annotations yet\n" in text
    assert (
        f"  classes: 1  # cannot be told yet: set it; annotations that name no classes need {folder}/labelmap.txt "
        "(lines `1: walk`)\n"
    ) in text


def test_annotations_that_cannot_be_read(project: Path, films: Path, tmp_path: Path) -> None:
    folder = tmp_path / "annotations"
    folder.mkdir()
    (folder / "film.xml").write_text("<annotations>")
    printed = run("mine", "--videos", str(films), "--annotations", str(folder), status=2)
    assert printed.splitlines()[0] == f"{folder}/videos.csv: written, with frame rate and size of 3 films; " + (
        "its column split may be filled in"
    )
    assert f"{folder}/film.xml: " in Path("conf/dataset/mine.yaml").read_text()
    assert compose_params(["dataset=mine"], Path("conf"))["dataset"]["classes"] == 1
    (folder / "bad.json").write_text("{")
    run("mine", "--videos", str(films), "--annotations", str(folder), "--force", status=2)
    assert "not JSON" in Path("conf/dataset/mine.yaml").read_text()


def test_ava_files_need_no_list_of_videos(project: Path, films: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ava"
    folder.mkdir()
    (folder / "train.csv").write_text("film,0902,0.1,0.1,0.5,0.5,3\n")
    (folder / "val.csv").write_text("other,0902,0.1,0.1,0.5,0.5,1\n")
    (folder / "labelmap.pbtxt").write_text("".join(f'item {{ name: "c{n}" id: {n} }}' for n in (1, 3, 5)))
    run("mine", "--videos", str(films), "--annotations", str(folder))
    assert not (folder / "videos.csv").exists()
    text = Path("conf/dataset/mine.yaml").read_text()
    assert "  # AVA CSV: train.csv, val.csv, labelmap.pbtxt\n" in text
    assert "  classes: 5  # c1, c3, c5\n" in text


@pytest.mark.parametrize("name", ["Mine", "my-data", "", "a/b", "a b", "ä"])
def test_names_that_are_refused(project: Path, name: str) -> None:
    with pytest.raises(InputError) as error:
        run(name, "--videos", "nowhere")
    assert str(error.value) == f"the name is {name!r}, expected lower-case letters, digits and '_'"


def test_folders_that_are_refused(project: Path, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"^nowhere: no such file or folder \(--videos\)$"):
        run("mine", "--videos", "nowhere")
    with pytest.raises(InputError, match=r"^conf: no video files, expected names that end in"):
        run("mine", "--videos", "conf")
    with pytest.raises(InputError, match=r"^nowhere: no such file or folder \(--annotations\)$"):
        run("mine", "--videos", str(films), "--annotations", "nowhere")
    odd = project / "a${b}"
    odd.mkdir()
    with pytest.raises(InputError, match=r"holds a '\$', expected a path without it \(--videos\)$"):
        run("mine", "--videos", str(odd))
    assert not Path("conf/dataset/mine.yaml").exists()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^conf/dataset: no such folder, expected to run in the project's folder$"):
        run("mine", "--videos", str(films))


def test_attributes_and_varying_rates_of_an_annotation_tool(project: Path) -> None:
    """The classes are those of the checkboxes, and frames lie at their own times."""
    shutil.copytree(CASES / "02-cvat-one-checkbox-per-action", "ticked", copy_function=shutil.copyfile)
    printed = run("ticked", "--videos", "ticked/films", "--annotations", "ticked/annotations")
    assert "conf/dataset/ticked.yaml: written: 2 films, 3 classes, boxes by motion\n" in printed
    text = Path("conf/dataset/ticked.yaml").read_text()
    assert "  classes: 3  # walk, sit, wave\n" in text
    assert "  action_attribute: auto\n" in text
    assert "actions by walk, sit, wave\n" in text
    shutil.copytree(CASES / "05-variable-frame-rate", "phone", copy_function=shutil.copyfile)
    printed = run("phone", "--videos", "phone/films", "--annotations", "phone/annotations")
    assert printed.splitlines()[1] == (
        "phone/annotations/frame_times.csv: written, with the times of 2 films whose frame rate varies (frame n / mean "
        "rate is off by up to 1.47 s)"
    )
    assert Path("phone/annotations/frame_times.csv").read_text().splitlines()[:3] == [
        "video_id,frame,seconds", "a,0,0.000000", "a,50,2.000000",
    ]  # fmt: skip
    assert "frame-rate-varies" not in printed
    # Who annotated another copy says its rate, and keeps it; the doctor says what that means.
    Path("phone/annotations/frame_times.csv").unlink()
    Path("phone/annotations/videos.csv").write_text("video_id,fps\na,25\nb,25\n")
    printed = run("phone", "--videos", "phone/films", "--annotations", "phone/annotations", "--force", status=2)
    assert not Path("phone/annotations/frame_times.csv").exists()
    assert "ERROR frame-rate-varies (2)" in printed


def test_a_file_without_the_name_of_its_film(project: Path, films: Path) -> None:
    source = CASES / "13-cvat-without-source" / "a" / "annotations.xml"
    printed = run("mine", "--videos", str(films), "--annotations", str(source), status=2)
    assert "names no film (<source>): call it after its film, such as kitchen.xml for kitchen.mp4" in " ".join(
        printed.replace("\n", " ").split()
    )


def git(*words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *words], check=True, capture_output=True)


def test_what_a_temporary_folder_would_not_have_is_named_by_its_whole_path(project: Path, films: Path) -> None:
    """`dvc exp run --queue` and `--temp` work in a folder with what is in Git and DVC, and nothing else."""
    shutil.copytree(films, "mine/videos")
    Path("mine/annotations").mkdir()
    write_cvat(Path("mine/annotations"), track(box(0, 0, "walk"), box(60, 50, "sit down")))
    git("init", "-q")
    git("add", "conf", "mine/annotations")
    git("commit", "-qm", "begin")
    words = ("mine", "--videos", "mine/videos", "--annotations", "mine/annotations", "--force")
    run(*words)

    def paths() -> list[str]:
        dataset = compose_params(["dataset=mine"], Path("conf"))["dataset"]
        return [dataset["videos"], dataset["annotations"]]

    here = project.as_posix()
    assert paths() == [f"{here}/mine/videos", f"{here}/mine/annotations"]  # videos.csv was written just now
    assert "`dvc exp run --queue` and\n  # `--temp` find it too" in Path("conf/dataset/mine.yaml").read_text()
    git("add", "mine/annotations")
    run(*words)
    assert paths() == [f"{here}/mine/videos", "mine/annotations"]
    Path("mine/videos.dvc").touch()  # `dvc add` writes it
    run(*words)
    assert paths() == ["mine/videos", "mine/annotations"]
    assert "temp" not in Path("conf/dataset/mine.yaml").read_text()
    Path("mine/videos.dvc").rename("mine/videos/film.mp4.dvc")  # one film alone
    assert path_for_experiments("mine/videos") == f"{here}/mine/videos"
    for name in ("other", "third"):
        Path(f"mine/videos/{name}.mp4.dvc").touch()
    git("add", "mine/videos/*.dvc")
    assert path_for_experiments("mine/videos") == "mine/videos"
    Path("dvc.lock").write_text("stages: {make: {cmd: x, outs: [{path: mine/made}]}}")
    assert path_for_experiments("mine/made/videos") == "mine/made/videos"


def test_films_that_git_would_commit_are_told_with_what_to_type(project: Path, films: Path) -> None:
    shutil.copytree(films, "my [films]/videos")
    assert ignore_words(Path("my [films]/videos")) == ""  # no repository
    git("init", "-q")
    words = ("mine", "--videos", "my [films]/videos", "--force")
    (line,) = [each for each in run(*words, status=2).splitlines() if each.startswith("my [films]/videos: ")]
    told, typed = line.split("; type: ")
    assert told == "my [films]/videos: Git does not ignore these films, `git add -A` would commit them"
    assert ignore_words(project / "my [films]/videos") == line
    subprocess.run(["sh", "-c", typed], check=True)
    git("add", "-A")
    listed = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True).stdout
    assert "conf/dataset/mine.yaml" in listed
    assert "mp4" not in listed
    assert "type: echo" not in run(*words, status=2)
    Path(".gitignore").unlink()
    assert ignore_words(Path("my [films]/videos")) == line
    Path("my [films]/videos.dvc").touch()
    assert ignore_words(Path("my [films]/videos")) == ""
    Path("my [films]/videos.dvc").unlink()
    Path("my [films]/videos/.gitignore").write_text("/film.mp4\n/other.mp4\n/third.mp4\n")  # as `dvc add` of each
    Path("my [films]/videos/film.mp4.dvc").touch()
    assert ignore_words(Path("my [films]/videos")) == ""
    assert ignore_words(films) == ""  # elsewhere
    Path("linked").symlink_to(films)
    assert ignore_words(Path("linked")) == ""  # a link is all that Git takes
    assert ignore_words(Path()).endswith("would commit them; move them into a folder of their own")


@pytest.mark.parametrize("place", ["data/mine/annotations", "data/mine/frames/deeper", "data/mine", "data"])
def test_a_place_where_stages_write_is_no_source(project: Path, films: Path, place: str) -> None:
    Path(place).mkdir(parents=True)
    with pytest.raises(InputError) as error:
        run("mine", "--videos", str(films), "--annotations", place)
    assert re.fullmatch(
        rf"{place}: stages write data/mine/\w+ and remove what is there; move it, for example to data/mine/source "
        r"\(--annotations\)",
        str(error.value),
    )


def test_a_file_that_was_there_is_not_replaced_by_a_copy(project: Path, films: Path, tmp_path: Path) -> None:
    given = tmp_path / "boxes.csv"
    given.write_text("film,0,0.1,0.1,0.5,0.5,,0.95\n")
    mine = Path("data/mine/source/proposals/boxes.csv")
    mine.parent.mkdir(parents=True)
    mine.write_text("film,0,0.2,0.1,0.5,0.5,,0.95\n")
    words = ("mine", "--videos", str(films), "--boxes")
    with pytest.raises(InputError) as error:
        run(*words, str(given))
    assert str(error.value) == f"{mine}: is there and is another file than {given} (--boxes); --force replaces it"
    before = mine.read_text()
    run(*words, str(mine), status=2)  # given where it lies
    assert mine.read_text() == before
    run(*words, str(given), "--force", status=2)
    assert mine.read_text() == given.read_text()


def test_folders_of_pictures_need_their_rate(project: Path) -> None:
    """As MMAction2 has AVA: pictures from second 900 on, optical flow beside them."""
    for name, count in (("film", 120), ("other", 121)):
        folder = write_pictures(project / "rawframes" / name, count)
        (folder / "flow_x_00001.jpg").touch()
        (folder / "flow_y_00001.jpg").touch()
    annotations = project / "annotations"
    annotations.mkdir()
    for split, film in (("train", "film"), ("val", "other")):
        rows = "".join(f"{film},{second},0.1,0.2,0.5,0.8,1,0\n" for second in (901, 902, 903))
        (annotations / f"ava_{split}_v2.1.csv").write_text(rows)
    (annotations / "labelmap.pbtxt").write_text('item { name: "bend/bow (at the waist)" id: 1 }\n')
    words = ("ava", "--videos", "rawframes", "--annotations", "annotations")
    with pytest.raises(InputError) as error:
        run(*words)
    assert str(error.value) == (
        "rawframes: 2 folders of pictures whose frame rate nothing tells (film, ...), and no video file: set "
        "dataset.frame_rate (new-dataset: --frame-rate) to how many pictures a second has (30 for AVA as MMAction2 and "
        "LFB extract it), or write frame_rates.csv (video_id,fps) into the folder"
    )
    printed = run(*words, "--frame-rate", "30")
    text = Path("conf/dataset/ava.yaml").read_text()
    assert "  frame_rate: 30  # pictures a second of the folders of pictures\n" in text
    assert "  # 2 films that can be read, of which 2 are folders of pictures.\n" in text
    assert "  # Frames per second: 30 (2 films). Pixels: 96x64 (2 films).\n" in text
    assert compose_params(["dataset=ava"])["dataset"]["frame_rate"] == 30
    assert "  films        2 files, 2 readable, 0.00 h; 30 frames a second; mjpeg\n" in printed
    assert "film-too-short" not in printed  # their timestamps begin at 900


def test_a_single_film_is_split_by_time(project: Path, films: Path, tmp_path: Path) -> None:
    annotations = write_cvat(tmp_path, track(box(0, 0, "walk"), box(99, 50, "sit down")))
    words = ("mine", "--videos", str(films), "--annotations", str(annotations), "--force")
    assert "split by time: its last fifth is val" in run(*words)
    text = Path("conf/dataset/mine.yaml").read_text()
    assert (
        "  # One film is annotated: its last keyframes are val; those just before them are left out, so that no clip\n"
        "  # of train shows a frame of val (docs/datasets.md#splits). With more films, split_by: film.\n"
        "  split_by: time\n  val_fraction: 0.2\n  split_gap_seconds: 3\n"
    ) in text
    assert "  # splits: 1 films are split by time (dataset.split_by): of each the last keyframes are val" in text
    assert "split by time" not in run(*words, "--fps", "2", status=2)  # a clip lasts longer than the film
    assert "split_by" not in Path("conf/dataset/mine.yaml").read_text()


def test_text_files_of_yolo_get_the_rates_of_the_films(project: Path, films: Path, tmp_path: Path) -> None:
    labels = tmp_path / "predict/labels"
    labels.mkdir(parents=True)
    for number in range(1, 101):
        (labels / f"film_{number}.txt").write_text("0 0.5 0.5 0.5 0.5 0.95\n")
    annotations = write_cvat(tmp_path, track(box(0, 0, "walk"), box(99, 50, "sit down")))
    words = ("mine", "--videos", str(films), "--annotations", str(annotations), "--boxes", str(labels.parent))
    printed = run(*words, status=2)  # of recall
    csv = labels.parent / "videos.csv"
    assert f"{csv}: written, with the frame rate of 3 films, in which the frames of the boxes are counted\n" in printed
    assert csv.read_text() == "video_id,fps\nfilm,25\nother,25\nthird,29.97003\n"
    assert "boxes in 1 keyframes\n" in printed  # the doctor has read them
    assert "proposals-missing" not in printed
    rates = csv.read_text().replace("29.97003", "30")
    csv.write_text(rates)
    assert "videos.csv: written, with the frame rate" not in run(*words, "--force", status=2)
    assert csv.read_text() == rates  # it was edited


def write_mixed(folder: Path, films: Path) -> None:
    """Portrait, landscape and 4:3, seconds from 0, annotations and boxes in one folder as MMAction2 has them."""
    films.mkdir(parents=True)
    folder.mkdir()
    shapes = {"wide": (96, 54), "tall": (54, 96), "old": (64, 48), "low": (48, 64)}
    rows: dict[str, list[str]] = {"train": [], "val": []}
    boxes = {}
    for number, (name, (width, height)) in enumerate(shapes.items()):
        write_film(films / f"{name}.mp4", frames=100 + number, width=width, height=height)
        for second in range(4):
            for person, left in enumerate((0.05, 0.5)):
                action = 1 + (number + second + person) % 2
                split = "val" if name == "low" else "train"
                rows[split].append(f"{name},{second:04d},{left},0.1,{left + 0.4},0.9,{action},{person}")
            score = 0.95 if second == 0 else 0.4
            boxes[f"{name},{second:04d}"] = np.array([[0.05, 0.1, 0.45, 0.9, score], [0.5, 0.1, 0.9, 0.9, 0.36]])
    for split, lines in rows.items():
        (folder / f"ava_{split}_v2.1.csv").write_text("\n".join([*lines, ""]))
    (folder / "ava_train_excluded_timestamps_v2.1.csv").write_text("old,0003\n")
    labels = "".join(f'item {{ name: "{name}" id: {id} }}\n' for id, name in enumerate(("walk", "sit"), start=1))
    (folder / "ava_action_list_v2.1_for_activitynet_2018.pbtxt").write_text(labels)
    (folder / "ava_dense_proposals_train.FAIR.recall_93.9.pkl").write_bytes(pickle.dumps(boxes))


KEYS = (
    "baseline.box_threshold, baseline.validation.box_threshold, bank.box_threshold, head_train.box_threshold, "
    "head_train.validation.box_threshold, evaluation.box_threshold"
)


def test_films_of_several_shapes_and_boxes_of_low_scores_beside_the_annotations(project: Path) -> None:
    write_mixed(Path("ann"), Path("films"))
    printed = run("mixed", "--videos", "films", "--annotations", "ann", "--boxes", "ann")
    lines = printed.splitlines()
    assert lines[:4] == [
        "ann/videos.csv: written, with frame rate and size of 4 films; its column split may be filled in",
        "ann: first_timestamp 0 (the second at which a film begins) fits the rows of 4 films (low, old, tall, ...), "
        "which lie from 0 to 3",
        "boxes of train cover 100.0% of 22 annotated persons at IoU 0.5, from score 0.9 on 13.6%, from 0.36 on 100.0%: "
        f"thresholds are 0.36 ({KEYS})",
        "conf/dataset/mixed.yaml: written: 4 films, 2 classes, boxes from ann",
    ]
    assert "NOTE proposal-is-annotation (2)" in printed
    assert "file-beside-annotations" not in printed
    assert "mixed: 0 errors, 0 warnings" in printed
    values = compose_params(["dataset=mixed"], Path("conf"))
    assert values["dataset"]["proposals"] == values["dataset"]["annotations"] == "ann"
    for key in KEYS.split(", "):
        block: Any = values
        for name in key.split("."):
            block = block[name]
        assert block == 0.36, key
    assert values["head"]["window"]["score"] == 0.36
    assert values["baseline"]["augmentation"]["crop"] == values["head_train"]["augmentation"]["crop"] == 96
    published = compose_params(["dataset=mixed", "backbone=slowonly_r50"], Path("conf"))
    assert published["baseline"]["augmentation"]["crop"] == 256  # that of the published recipes, whatever was written
    text = Path("conf/dataset/mixed.yaml").read_text()
    assert (
        "# boxes of train cover 100.0% of 22 annotated persons at IoU 0.5, from score 0.9 on 13.6%, from 0.36 on "
        "100.0%.\n" in text
    )
    assert "# Films differ in shape, and clips of one batch have one size: each is cut to a random square.\n" in text
    # The detector instead of boxes: all its thresholds alike.
    run("mixed", "--videos", "films", "--annotations", "ann", "--force")
    values = compose_params(["dataset=mixed"], Path("conf"))
    assert values["baseline"]["validation"]["box_threshold"] == values["head"]["window"]["score"] == 0.5
    assert values["baseline"]["augmentation"]["crop"] == 96


def test_boxes_that_the_usual_threshold_fits_and_the_same_file_for_both(project: Path, films: Path) -> None:
    Path("gt.csv").write_text("".join(f"{each},1,0.1,0.1,0.5,0.5,1\n" for each in ("film", "other", "third")))
    Path("data/mine/source/annotations").mkdir(parents=True)
    Path("data/mine/source/annotations/labelmap.txt").write_text("1: walk\n")
    Path("boxes.csv").write_text(Path("gt.csv").read_text().replace(",1\n", ",,0.93\n"))
    words = ("mine", "--videos", str(films), "--annotations", "gt.csv", "--force", "--boxes")
    printed = run(*words, "boxes.csv")
    assert "from score 0.9 on 100.0%: thresholds are 0.9 (baseline.box_threshold, " in printed
    assert "box_threshold" not in Path("conf/dataset/mine.yaml").read_text()
    Path("data/mine/source/proposals/boxes.csv").unlink()
    printed = " ".join(run(*words, "gt.csv", status=2).split())
    assert "ERROR proposals-refused" in printed
    assert "no boxes of a detector: gt.csv: annotations (rows with action ids and without scores)" in printed
    Path("boxes.csv").write_text(Path("gt.csv").read_text().replace(",1\n", ",,0.012\n"))
    Path("data/mine/source/proposals/gt.csv").unlink()
    run(*words, "boxes.csv")
    values = compose_params(["dataset=mine"], Path("conf"))
    assert values["boxes"]["min_score"] == values["bank"]["box_threshold"] == 0.012


def test_lists_of_a_mistyped_rate_are_written_again_unless_they_were_edited(project: Path) -> None:
    """Of annotations with and without first timestamps, and of boxes."""
    for name in ("film", "other"):
        write_pictures(project / "rawframes" / name, 120)
    tracks = track(box(0, 0, "walk"), box(100, 50, "sit down"))
    annotations = project / "ann"
    annotations.mkdir()
    for name in ("film", "other"):
        write_cvat(annotations, tracks).rename(annotations / f"{name}.xml")
    rows = "".join(f"film,{second},0.1,0.2,0.5,0.8,1\n" for second in (1, 3))
    (annotations / "rows.csv").write_text(rows)
    labels = project / "labels"
    labels.mkdir()
    for number in range(1, 121):
        (labels / f"film_{number}.txt").write_text("0 0.5 0.5 0.5 0.5 0.95\n")
    lists = annotations / "videos.csv", labels / "videos.csv"
    words = ("mine", "--videos", "rawframes", "--annotations", "ann", "--boxes", "labels", "--frame-rate")

    def run_any(*more: str) -> str:
        return str(CliRunner().invoke(APP, [*words, *more, "--workers", "1"], catch_exceptions=False).output)

    run_any("60")
    wrong = [path.read_text() for path in lists]
    assert "film,,0,60,96,64\n" in wrong[0]
    assert "film,60\n" in wrong[1]
    printed = run_any("30", "--force")
    assert [path.read_text() for path in lists] == [text.replace("60", "30") for text in wrong]
    assert "ann/videos.csv: written, " in printed
    assert "fps-of-videos-csv" not in printed
    noted = [f"# new-dataset wrote videos.csv: sha256 {digest_file(path)}" for path in lists]
    assert Path("conf/dataset/mine.yaml").read_text().splitlines()[-3:] == [
        "# Lists of films beside annotations and boxes: new-dataset --force writes them again unless they were edited.",
        *noted,
    ]
    lists[0].write_text(lists[0].read_text().replace("film,,", "film,train,"))
    edited = lists[0].read_text()
    printed = run_any("60", "--force")
    assert lists[0].read_text() == edited
    assert lists[1].read_text() == wrong[1]
    assert "ann/videos.csv: film: found fps 30, expected 60, as in the file" in printed

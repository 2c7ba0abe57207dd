"""The whole run: films in, a folder out."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.base.errors import InputError
from pipeline.base.files import digest_tree
from pipeline.cli import build_app
from pipeline.evaluation.ava_csv import read_detections, read_keyframe_list
from pipeline.predict import film_results
from pipeline.predict.film_plans import UserChoice
from pipeline.predict.load_model import load_model
from pipeline.predict.predict_film import PredictOptions, predict_film
from pipeline.predict.predict_to_folder import Outputs, predict_to_folder
from pipeline.predict.predicted import read_predicted
from tests.predict.conftest import FILM, Trained

Train = Callable[[str], Trained]
OPTIONS = PredictOptions()


def test_the_same_film_and_model_give_the_same_files(trained: Train, elsewhere: Path, capsys) -> None:
    project = trained("bank")
    model = load_model(project.folder, device="cpu")
    capsys.readouterr()  # what the training told
    for name in ("one", "two"):
        outputs = Outputs(out=Path(name), force=True, echo=name == "two")
        predict_to_folder([str(project.film)], model, UserChoice(), OPTIONS, outputs)
    assert digest_tree(Path("one")) == digest_tree(Path("two"))  # files of a run have no clock, host or place
    found = read_predicted(Path("one"))
    assert found.model["boxes"] == ["the project's"]
    assert (found.model["every"], found.model["memory"]) == (1.0, "full")
    assert Path("one/detections.csv").read_bytes().startswith(f"{FILM},0900,".encode())
    assert len(read_detections(Path("one/detections.csv")).boxes) == len(found.detections)
    lines = Path("one/seconds.jsonl").read_text().splitlines()
    assert [json.loads(line)["timestamp"] for line in lines] == found.persons["timestamp"].unique().to_pylist()
    first, *printed, last = capsys.readouterr().out.splitlines()
    counts = f"1 film; {len(found.detections)} detections of {len(found.persons)} persons"
    assert (first, last) == (f"one: {counts}", f"two: {counts}")
    assert len(printed) == len(lines)
    assert all(one == other for one, other in zip(printed, lines, strict=True))


def test_the_detections_of_the_validation_film_are_scored_as_evaluate_did(trained: Train, elsewhere: Path) -> None:
    project = trained("bank")
    model = load_model(project.folder, device="cpu")
    predict_to_folder([str(project.film)], model, UserChoice(), OPTIONS, Outputs(out=Path("out")))
    wanted = project.scored("detected.csv").read_text().splitlines()
    stamps = {line.split(",")[1] for line in wanted}
    assert [
        line for line in Path("out/detections.csv").read_text().splitlines() if line.split(",")[1] in stamps
    ] == wanted


def test_bad_films_are_counted_and_listed(trained: Train, elsewhere: Path, capsys) -> None:
    project = trained("all")
    model = load_model(project.folder, device="cpu")
    Path("films").mkdir()
    Path("films/empty.mp4").touch()
    Path("films/x;y.mp4").symlink_to(project.film)
    Path("films/a,b.mp4").symlink_to(project.film)
    outputs = Outputs(out=Path("out"), with_csv=False, with_lines=False)
    capsys.readouterr()  # what the training told
    found = predict_to_folder(["films"], model, UserChoice(detector="motion"), OPTIONS, outputs)
    assert [each.item for each in found.problems] == ["a,b", "empty"]
    told = capsys.readouterr().out
    assert told.startswith("out: 1 film")
    assert "; 2 cannot be read (problems.json); " in told
    assert not Path("out/seconds.jsonl").exists()


def test_times_of_no_film_are_refused(trained: Train, elsewhere: Path) -> None:
    project = trained("all")
    model = load_model(project.folder, device="cpu")
    Path("at.csv").write_text("another,5\n")
    options = PredictOptions(at=read_keyframe_list(Path("at.csv")))
    with pytest.raises(InputError, match=rf"^--at: names none of 1 film; the id of a film is its name: '{FILM}'$"):
        predict_to_folder([str(project.film)], model, UserChoice(), options, Outputs(out=Path("out")))
    assert not Path("out").exists()


def test_nothing_half_written_is_left(trained: Train, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = trained("all")
    model = load_model(project.folder, device="cpu")

    def broken(*_, **__) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(film_results, "predict_film", broken)
    with pytest.raises(RuntimeError):
        predict_to_folder([str(project.film)], model, UserChoice(), OPTIONS, Outputs(out=Path("out")))
    assert list(elsewhere.iterdir()) == []


def test_an_interrupted_run_writes_whole_films(
    trained: Train, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = trained("all")
    model = load_model(project.folder, device="cpu")
    Path("zz.mp4").symlink_to(project.film)
    predict = predict_film

    def interrupted(model, film, *arguments, **options):
        if film.video_id == "zz":
            raise KeyboardInterrupt
        return predict(model, film, *arguments, **options)

    monkeypatch.setattr(film_results, "predict_film", interrupted)
    found = predict_to_folder([str(project.film), "zz.mp4"], model, UserChoice(), OPTIONS, Outputs(out=Path("out")))
    assert found.interrupted
    assert read_predicted(Path("out")).videos["video_id"].to_pylist() == [FILM]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell starts a program in the background with SIGINT ignored, and so the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("at", "done"), [("start", []), (FILM, []), ("zz", [FILM])])
def test_a_ctrl_c_ends_the_command_with_130_and_loses_no_result(
    at: str, done: list[str], trained: Train, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal that comes while the model is loaded, while the first film is scored, and while the second one is."""
    project = trained("all")
    Path("zz.mp4").symlink_to(project.film)
    Path("out").mkdir()
    Path("out/detections.parquet").write_text("earlier")
    predict, load = predict_film, load_model

    def interrupted(model, film, *arguments, **options):
        if film.video_id == at:
            signal.raise_signal(signal.SIGINT)
        return predict(model, film, *arguments, **options)

    def start(*arguments, **options):
        if at == "start":
            signal.raise_signal(signal.SIGINT)
        return load(*arguments, **options)

    monkeypatch.setattr(film_results, "predict_film", interrupted)
    monkeypatch.setattr("pipeline.predict.load_model.load_model", start)
    words = ["predict", str(project.film), "zz.mp4", "--model", str(project.folder), "--out", "out", "--force"]
    assert CliRunner().invoke(build_app("predict"), words).exit_code == 130
    if done:
        assert read_predicted(Path("out")).videos["video_id"].to_pylist() == done
        assert len(Path("out/seconds.jsonl").read_text().splitlines()) == 19
    else:
        assert [path.name for path in Path("out").iterdir()] == ["detections.parquet"]
        assert Path("out/detections.parquet").read_text() == "earlier"
    assert sorted(path.name for path in elsewhere.iterdir()) == ["out", "zz.mp4"]


def test_a_folder_that_is_there_is_kept(trained: Train, elsewhere: Path) -> None:
    model = load_model(trained("all").folder, device="cpu")
    Path("out").mkdir()
    with pytest.raises(InputError, match=r"^out: is there already; --force replaces it, --out names another$"):
        predict_to_folder(["x.mp4"], model, UserChoice(), OPTIONS, Outputs(out=Path("out")))

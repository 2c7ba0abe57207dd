"""Films of several shapes, of which a training makes batches of their own; and thresholds that lose persons."""

from pathlib import Path

import pytest

from pipeline.doctor.film_shapes import check_shapes
from pipeline.doctor.probe_films import ProbedFilm
from tests.doctor.sources import params_of, proposals, write_clean
from tests.doctor.test_examine import examined_in
from tests.video.films import write_film

FILMS = {
    "wide": ProbedFilm(width=1280, height=720),
    "small": ProbedFilm(width=640, height=360),
    "tall": ProbedFilm(width=360, height=640),
    "broken": ProbedFilm(found="0 bytes"),
}


def test_films_of_two_shapes() -> None:
    (found,) = check_shapes(params_of(), FILMS, ["wide", "small", "tall", "absent"])
    assert (found.code, found.severity, found.count) == ("film-shapes-differ", "note", 2)
    assert str(found.examples[0]) == (
        "params: baseline.augmentation.crop: found none and clips of 171x96 (small, wide), 96x171 (tall), expected at "
        "most 96 (baseline.augmentation.short_side)"
    )
    assert found.remedy == (
        "Set baseline.augmentation.crop to cut each clip to a random square, as in most published recipes; actionbank "
        "new-dataset writes it. As it stands whole frames are trained on, and a shape of few keyframes makes small "
        "batches, of which batch norms have poor statistics."
    )
    (found,) = check_shapes(params_of("dataset=custom", "scope=all"), FILMS, FILMS)
    assert "Set baseline.augmentation.crop and head_train.augmentation.crop to cut" in found.remedy


@pytest.mark.parametrize(
    "override",
    ["baseline.augmentation.crop=96", "baseline.schedule.epochs=0", "baseline={bn_batch: 1}", "scope=head"],
)
def test_no_training_that_makes_batches_of_several_shapes(override: str) -> None:
    trained = ["wide", "small"] if override == "scope=head" else ["wide", "tall"]
    assert check_shapes(params_of("dataset=custom", override), FILMS, trained) == []


def test_stored_frames_are_scaled_before_clips_are() -> None:
    """1001x750 and 336x252 are 4:3 but for a rounding, which shows in frames of 320 lines as in clips of 96."""
    films = {"a": ProbedFilm(width=854, height=480), "b": ProbedFilm(width=1920, height=1080)}
    assert check_shapes(params_of(), films, films) == []  # 171x96 both
    (found,) = check_shapes(
        params_of("dataset=custom", "frames.short_side=none"), {**films, "c": ProbedFilm(width=400, height=222)}, "abc"
    )
    assert "173x96 (c)" in str(found.examples[0])


def test_the_doctor_says_it(tmp_path: Path) -> None:
    source = write_clean(tmp_path)
    train = source / "annotations/train.csv"
    train.write_text(train.read_text() + train.read_text().replace("kitchen", "phone"))
    (source / "annotations/videos.csv").open("a").write("phone,train,0,0\n")
    write_film(source / "videos/phone.mp4", frames=100, width=64, height=96)
    codes = {each.code: each.severity for each in examined_in(tmp_path, "dataset.classes=2").findings}
    assert codes["film-shapes-differ"] == "note"
    cropped = examined_in(tmp_path, "dataset.classes=2", "baseline.augmentation.crop=96")
    assert "film-shapes-differ" not in {each.code for each in cropped.findings}


def test_boxes_mostly_below_the_thresholds(tmp_path: Path) -> None:
    source = write_clean(tmp_path)
    scores = dict(zip((0.5, 1.5, 2.5, 3.5), (0.95, 0.62, 0.61, 0.63), strict=True))
    keys = {
        f"{film},{at}": [(0.1, 0.2, 0.5, 0.8, score)] for film in ("kitchen", "street") for at, score in scores.items()
    }
    (source / "proposals/boxes.pkl").write_bytes(proposals(keys))
    found = {each.code: each for each in examined_in(tmp_path, "dataset.classes=2").findings}
    assert list(found) == ["proposals-few-above-threshold-train", "proposals-few-above-threshold-val"]
    few = found["proposals-few-above-threshold-train"]
    assert (few.severity, few.count) == ("warning", 3)
    assert [str(each) for each in few.examples] == [
        f"train: {key}.box_threshold: found 25.0% of 4 persons covered by boxes of score 0.9 or more, expected 90% of "
        f"the "
        "100.0% that all boxes cover, or more"
        for key in ("baseline", "head_train", "bank")
    ]
    assert few.remedy == (
        "Set baseline.box_threshold, baseline.validation.box_threshold, bank.box_threshold, head_train.box_threshold, "
        "head_train.validation.box_threshold, evaluation.box_threshold to about 0.61 by these boxes; actionbank "
        "new-dataset --boxes writes them all. As it stands these persons are seen by nobody."
    )
    blocks = ["baseline", "baseline.validation", "bank", "head_train", "head_train.validation", "evaluation"]
    lowered = [f"{key}.box_threshold=0.61" for key in blocks]
    assert list(examined_in(tmp_path, "dataset.classes=2", *lowered).findings) == []

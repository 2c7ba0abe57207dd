"""One film, as a folder of pictures: from new-dataset to an mAP."""

import json
from pathlib import Path

import av
import pytest
import simplejpeg

from pipeline.playground.example import Example, make_example
from tests.end_to_end.harness import new_project

FAST = ["baseline.schedule.epochs=1", "head_train.schedule.epochs=1", "baseline.threads=1", "head_train.threads=1"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_one_film_of_pictures_gets_a_map(tmp_path: Path) -> None:
    project = new_project(tmp_path / "project")
    made = tmp_path / "made"
    make_example(made, [Example("yard", 15)], seconds=40)
    folder = tmp_path / "rawframes/yard"
    folder.mkdir(parents=True)
    with av.open(str(made / "videos/yard.mp4")) as film:
        for number, frame in enumerate(film.decode(video=0), start=1):
            picture = frame.to_ndarray(format="rgb24")
            (folder / f"img_{number:05}.jpg").write_bytes(simplejpeg.encode_jpeg(picture, 92))
    words = ["new-dataset", "yard", "--videos", str(tmp_path / "rawframes"), "--annotations", str(made / "annotations")]
    told = project.run("actionbank", *words, fails=True)
    assert "1 folder of pictures whose frame rate nothing tells (yard), and no video file: set" in told
    told = project.run("actionbank", *words, "--frame-rate", "15")
    assert "one film is annotated, so it is split by time: its last fifth is val (dataset.split_by)" in told
    assert told.endswith("next: read the warnings; dvc exp run -S dataset=yard runs with them\n")
    trained = project.dvc("exp", "run", *(word for each in ["dataset=yard", *FAST] for word in ("-S", each)))
    assert "data/yard/frames: 1 videos (1 by simplejpeg) of 600 grid frames; 1 extracted now" in trained
    assert "of 40 keyframes" not in trained
    counts = json.loads((project.folder / "data/yard/annotations/summary.json").read_text())["split_by_time"]
    assert counts == {"films": 1, "val_keyframes": 8, "left_out": 2}
    assert project.metrics()["counts"]["keyframes"] == 8
    assert 0 < project.metrics()["detected"]["map"] < 1
    shared = [
        json.loads((project.folder / f"data/yard/bank/{split}.zarr/manifest.json").read_text())["parts"]["yard"]
        for split in ("train", "val")
    ]
    assert shared[0] == shared[1]  # the same item
    again = ["dataset=yard", "head=lfb_nl", *FAST]
    trained = project.dvc("exp", "run", *(word for each in again for word in ("-S", each)))
    assert "Running stage 'infer_bank" not in trained
    assert project.metrics()["counts"]["keyframes"] == 8

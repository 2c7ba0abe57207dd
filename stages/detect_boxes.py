"""Make person boxes for a data set that has none.

    python -m stages.detect_boxes motion
    actionbank detect-boxes fasterrcnn --device cuda

Runs in the pipeline where `boxes.detector` is not none. Looks for persons in the stored frames, at every second of
every film that the annotations name and at its keyframes, and writes `data/<name>/detected_boxes`: `boxes.csv`, AVA CSV
with scores, which import_boxes reads, and `summary.json`. Films that were done before are taken from `.work`.
`fasterrcnn` is torchvision's, with the weights `boxes.weights` or those that torchvision downloads; `motion` needs no
weights, and a camera that stands still.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer

from pipeline.base.code import code_version
from pipeline.base.command import BatchOption, DeviceOption, ProcessesOption, WorkersOption, new_app, run, worker_count
from pipeline.base.distributed import across_ranks, from_main
from pipeline.base.errors import counted
from pipeline.base.files import digest_file, replace_folder, write_bytes, write_json
from pipeline.base.numerics import pick_device, set_numerics
from pipeline.base.ranks import is_main
from pipeline.base.runs import recorded_run
from pipeline.boxes.detecting import Detector, detect_films, films_to_detect
from pipeline.boxes.motion import detect_motion
from pipeline.params import Boxes, load_params
from pipeline.tables.schemas import KEYFRAMES, TIMELINES, VIDEOS, read_table
from pipeline.video.store import FrameStore

NO_WEIGHTS = "conf/none/weights"
app = new_app()
OUT = ("summary.json", "boxes.csv")


@app.command()
@across_ranks
def detect_boxes(
    detector: Annotated[Literal["motion", "fasterrcnn"], typer.Argument(help="motion or fasterrcnn.")],
    workers: WorkersOption = 0,
    device: DeviceOption = "auto",
    batch: BatchOption = 8,
    processes: ProcessesOption = 1,
) -> None:
    """Detect persons in every second of every film."""
    params = load_params()
    data = Path("data", params.dataset.name)
    out = data / "detected_boxes"
    films = films_to_detect(
        read_table(data / "annotations" / "timelines.parquet", TIMELINES),
        read_table(data / "frames" / "videos.parquet", VIDEOS),
        read_table(data / "annotations" / "keyframes.parquet", KEYFRAMES),
    )
    films_at_a_time = worker_count(workers)
    if detector == "motion":
        settings, load = {"code": code_version("pipeline.boxes.motion", "pipeline.video.store")}, _motion
    else:
        place = pick_device(device)
        films_at_a_time = 1 if place.type == "cuda" else films_at_a_time
        settings, load = _fasterrcnn(params.boxes, place)
    with recorded_run("detect_boxes", detector, dataset=params.dataset.name, items=len(films)) as record:
        record["device"] = device
        store = FrameStore(data / "frames")
        items = detect_films(films, store, settings=settings, load=load, workers=films_at_a_time, batch=batch)
        if not is_main():
            return
        texts = [(items[video_id] / "boxes.csv").read_bytes() for video_id in sorted(items)]
        counts = {
            "films": len(films),
            "keyframes": sum(len(film.timestamps) for film in films),
            "boxes": sum(text.count(b",,") for text in texts),
        }
        with replace_folder(out, OUT) as folder:
            write_bytes(folder / "boxes.csv", b"".join(texts))
            write_json(folder / "summary.json", {"detector": detector, **counts})
    found, keyframes = counted(counts["boxes"], "box", "boxes"), counted(counts["keyframes"], "keyframe")
    print(f"{out}: {found} by {detector} in {keyframes} of {counted(len(items), 'film')}")


def _motion() -> Detector:
    return detect_motion


def _fasterrcnn(boxes: Boxes, device: torch.device) -> tuple[dict[str, Any], Callable[[], Detector]]:
    """What its boxes depend on beside the frames, and the detector."""
    # With it comes all of torchvision's detection, which `motion` need not wait for.
    from pipeline.boxes.fasterrcnn import load_fasterrcnn, person_detector, published_weights, read_weights

    path = from_main(lambda: published_weights() if boxes.weights == NO_WEIGHTS else Path(boxes.weights))
    weights = read_weights(path)

    def load() -> Detector:
        set_numerics(compute_dtype="fp32", deterministic=False, threads=1)
        model = load_fasterrcnn(weights, where=str(path), min_score=boxes.min_score)
        return person_detector(model.to(device), device=device)

    code = code_version("pipeline.boxes.fasterrcnn")
    return {"weights": digest_file(path), "min_score": boxes.min_score, "code": code}, load


if __name__ == "__main__":
    run(app)

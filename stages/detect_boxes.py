"""Make boxes of persons, and where the detector can also of objects, for a data set that has none.

    python -m stages.detect_boxes motion
    actionbank detect-boxes fasterrcnn --device cuda

Part of the pipeline if `boxes.detector` is not none. Looks at the stored frames of every film that the annotations
name, at every second and at every keyframe. Writes `data/<name>/detected_boxes`: `boxes.csv` (AVA CSV with scores,
which import_boxes reads), `summary.json` and, where the detector finds objects, `objects/objects.csv`. Films that were
finished before are taken from `.work`. `fasterrcnn` is torchvision's, with the weights `boxes.weights` or those that
torchvision downloads. `motion` needs no weights, but a camera that stands still, and finds no objects.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.base.command import BatchOption, DeviceOption, ProcessesOption, WorkersOption, new_app, run, worker_count
from pipeline.base.files import replace_folder
from pipeline.base.rank_processes import across_ranks

app = new_app()


@app.command()
@across_ranks
def detect_boxes(
    detector: Annotated[Literal["motion", "fasterrcnn"], typer.Argument(help="motion or fasterrcnn.")],
    workers: WorkersOption = 0,
    device: DeviceOption = "auto",
    batch: BatchOption = 8,
    processes: ProcessesOption = 1,
) -> None:
    """Detect persons, and objects where the detector can, in every second of every film."""
    from pipeline.base.ranks import is_main
    from pipeline.base.runs import recorded_run
    from pipeline.boxes.detecting import FILES, detect_films, films_to_detect, write_detected
    from pipeline.boxes.detectors import choose_detector
    from pipeline.params import load_params
    from pipeline.video.store import FrameStore

    params = load_params()
    boxes, data = params.boxes, Path("data", params.dataset.name)
    store, films = FrameStore(data / "frames"), films_to_detect(data / "annotations", data / "frames")
    chosen = choose_detector(detector, weights=boxes.weights, min_score=boxes.min_score, device=device)
    at_a_time = 1 if chosen.on_gpu else worker_count(workers)
    with recorded_run("detect_boxes", detector, dataset=params.dataset.name, items=len(films), device=device):
        items = detect_films(
            films, store, settings=chosen.settings, load=chosen.load, workers=at_a_time, batch=batch,
            names=chosen.names, needs=chosen.needs,
        )  # fmt: skip
        if not is_main():
            return
        with replace_folder(data / "detected_boxes", FILES) as folder:
            told = write_detected(folder, films, items, detector=detector)
    print(f"{data / 'detected_boxes'}: {told}")


if __name__ == "__main__":
    run(app)

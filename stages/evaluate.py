"""Score the val split with the trained head: write detections, mAP and tables for `dvc plots`.

    python -m stages.evaluate

Reads annotations, models/head.* and, depending on the head's scope, the val bank or frames, boxes and weights. Writes
results/detections/{detected,ground_truth}.{parquet,csv}, results/evaluate/ (metrics.json, per_class.csv, per_iou.csv,
pr_curves.csv) and results/metrics.json, the numbers that DVC shows. Two evaluations of one checkpoint write the same
bytes.
"""

from pipeline.base.command import (
    BatchOption,
    DeviceOption,
    ProcessesOption,
    WindowCacheOption,
    WindowsOption,
    WorkersOption,
    new_app,
    run,
)
from pipeline.base.rank_processes import across_ranks

app = new_app()


@app.command()
@across_ranks
def evaluate(
    workers: WorkersOption = 0,
    device: DeviceOption = "auto",
    batch: BatchOption = 8,
    processes: ProcessesOption = 1,
    windows: WindowsOption = "resident",
    window_cache: WindowCacheOption = 1024,
) -> None:
    """Score detected and ground-truth boxes of the val split, by class, group and IoU."""
    from pipeline.base.hardware import hardware_of
    from pipeline.features.windows import WindowOptions
    from pipeline.params import load_params
    from pipeline.params.head_rows import row_source
    from pipeline.scoring.evaluate_head import evaluate_head

    params = load_params()
    rows, options = row_source(params, hardware_of(device, workers, batch)), WindowOptions(windows, window_cache)
    evaluate_head(params.evaluation, rows, scope=params.scope.name, classes=params.dataset.classes, options=options)


if __name__ == "__main__":
    run(app)

"""Score a split with the trained recognizer: write predictions, accuracies and tables for `dvc plots`.

    python -m stages.evaluate_recognizer

Reads frames, labels and models/recognizer.*. Writes results/recognition: predictions/{efficient,accurate}.parquet with
every score, metrics.json, per_class.csv, confusion.csv and confused_pairs.csv. Two evaluations of one checkpoint write
the same bytes.
"""

from pathlib import Path

from pipeline.base.command import BatchOption, DeviceOption, ProcessesOption, WorkersOption, new_app, run
from pipeline.base.rank_processes import across_ranks

app = new_app()


@app.command()
@across_ranks
def evaluate_recognizer(
    workers: WorkersOption = 0,
    device: DeviceOption = "auto",
    batch: BatchOption = 8,
    processes: ProcessesOption = 1,
) -> None:
    """Score clips by their centre crops, and by three crops of two samplings."""
    from pipeline.base.hardware import hardware_of
    from pipeline.params import load_track
    from pipeline.recognition import recognizer_evaluation as evaluation

    params = load_track("recognition")
    data, hardware = Path("data", params.dataset.name), hardware_of(device, workers, batch)
    evaluation.evaluate_recognizer(data, params.evaluation, classes=params.dataset.classes, hardware=hardware)


if __name__ == "__main__":
    run(app)

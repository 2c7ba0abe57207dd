"""Train the recognizer of recognition/dvc.yaml.

    python -m stages.train_recognizer
    actionbank train-recognizer --device cuda

Reads frames and labels; writes models/recognizer.safetensors, its sidecar models/recognizer.json and
results/recognizer/{metrics.json,epochs.tsv,validation.tsv}. A run that was killed continues after its last epoch.
"""

from pathlib import Path

from pipeline.base.command import BatchOption, DeviceOption, ProcessesOption, WorkersOption, new_app, run
from pipeline.base.rank_processes import across_ranks

app = new_app()


@app.command()
@across_ranks
def train_recognizer(
    workers: WorkersOption = 0,
    device: DeviceOption = "auto",
    batch: BatchOption = 8,
    processes: ProcessesOption = 1,
) -> None:
    """Train a backbone and its head on clips of classes; a checkpoint of every epoch is kept until the run is done."""
    from pipeline.base.hardware import hardware_of
    from pipeline.checkpoint.specs import RecognizerSpec
    from pipeline.params import load_params
    from pipeline.recognition import recognizer_training as training

    whole = load_params()
    params = whole.recognition
    spec = RecognizerSpec(
        backbone=params.backbone.name,
        width=params.backbone.width,
        input=params.backbone.input,
        head=params.head,
        segments=params.backbone.segments,
        classes=params.dataset.classes,
    )
    data, hardware = Path("data", params.dataset.name), hardware_of(device, workers, batch)
    training.train_recognizer(data, spec, params.train, log=whole.training.log, hardware=hardware)


if __name__ == "__main__":
    run(app)

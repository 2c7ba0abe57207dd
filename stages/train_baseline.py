"""Train the detector whose features fill the bank.

    python -m stages.train_baseline
    actionbank train-baseline --device cuda

Reads frames, annotations and boxes; writes models/baseline.safetensors, its sidecar models/baseline.json,
results/baseline/metrics.json and results/baseline/epochs.tsv. A run that was killed continues after its last epoch.
"""

from pathlib import Path

from pipeline.base import command
from pipeline.base.rank_processes import across_ranks

app = command.new_app()


@app.command()
@across_ranks
def train_baseline(
    workers: command.WorkersOption = 0,
    device: command.DeviceOption = "auto",
    batch: command.BatchOption = 8,
    processes: command.ProcessesOption = 1,
    recompute: command.RecomputeOption = False,
) -> None:
    """Train backbone and head on clips; a checkpoint of every epoch is kept until the run is done."""
    from pipeline.base.hardware import hardware_of
    from pipeline.checkpoint.frozen_network import NETWORK, read_network
    from pipeline.checkpoint.specs import DetectorSpec
    from pipeline.models.settings import columns
    from pipeline.params import load_params
    from pipeline.params.counted_labels import counted_labels
    from pipeline.training import baseline_training

    params = load_params()
    classes, labels, training = params.dataset.classes, counted_labels(params), params.baseline
    hardware = hardware_of(device, workers, batch, recompute=recompute)
    spec = DetectorSpec(
        backbone=params.backbone.name,
        width=params.backbone.width,
        frozen=read_network(NETWORK).spec if params.backbone.name == "transformers" else None,
        input=params.backbone.input,
        roi=params.roi,
        head=training.head,
        labels=labels,
        columns=columns(classes, labels),
        classes=classes,
        dropout=training.dropout,
    )
    data = Path("data", params.dataset.name)
    baseline_training.train_baseline(data, spec, training, log=params.training.log, hardware=hardware)


if __name__ == "__main__":
    command.run(app)

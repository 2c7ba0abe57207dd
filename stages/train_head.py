"""Train a head: on the rows of the bank (scope head), or with the whole detector (scope all).

    python -m stages.train_head
    dvc exp run -S head=lfb_nl

Scope head reads annotations, banks and the baseline's sidecar, but no frames. The head `linear` reads no bank: it takes
its features from .work and computes missing ones. The head `baseline` trains nothing and hands the baseline on. Writes
models/head.safetensors, its sidecar models/head.json, results/head/metrics.json and results/head/epochs.tsv. A run that
was killed continues after its last epoch.
"""

from pipeline.base import command
from pipeline.base.rank_processes import across_ranks

app = command.new_app()


@app.command()
@across_ranks
def train_head(
    workers: command.WorkersOption = 0,
    device: command.DeviceOption = "auto",
    batch: command.BatchOption = 8,
    processes: command.ProcessesOption = 1,
    recompute: command.RecomputeOption = False,
    windows: command.WindowsOption = "resident",
    window_cache: command.WindowCacheOption = 1024,
) -> None:
    """Train a long-term head, or `linear`, the control; its statistics are kept in the checkpoint."""
    from pipeline.base.hardware import hardware_of
    from pipeline.features.windows import WindowOptions
    from pipeline.params import load_params
    from pipeline.params.head_rows import row_source
    from pipeline.params.trained_head import trained_head
    from pipeline.training import head_training
    from pipeline.training.handed_on import hand_on_baseline

    params = load_params()
    training, scope = params.head_train, params.scope.name
    if params.head.is_baseline:
        hand_on_baseline(params.head, scope, threads=training.threads, dataset=params.dataset.name)
        return
    spec, start = trained_head(params)
    rows, options = (
        row_source(params, hardware_of(device, workers, batch, recompute=recompute)),
        WindowOptions(windows, window_cache),
    )
    head_training.train_head(spec, training, rows, start=start, options=options, log=params.training.log)


if __name__ == "__main__":
    command.run(app)

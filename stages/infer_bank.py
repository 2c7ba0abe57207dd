"""Run a split through the baseline and write its feature bank.

    python -m stages.infer_bank train
    actionbank infer-bank val --device cuda

Reads frames, annotations, boxes and models/baseline.*; writes data/<dataset>/bank/<split>.zarr
(docs/bank-format.md). Films that were finished before, in this run or an earlier one, are taken from .work. With
dataset.pack N the films are combined into N parts.
"""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.command import BatchOption, DeviceOption, ProcessesOption, WorkersOption, new_app, run
from pipeline.base.rank_processes import across_ranks

app = new_app()


@app.command()
@across_ranks
def infer_bank(
    split: Annotated[str, typer.Argument(help="train, val or test.")],
    workers: WorkersOption = 0,
    device: DeviceOption = "auto",
    batch: BatchOption = 8,
    processes: ProcessesOption = 1,
) -> None:
    """Write the feature bank of a split: a Zarr part per film (or for many, dataset.pack), provenance and digests."""
    from pipeline.base.hardware import hardware_of
    from pipeline.base.runs import recorded_run
    from pipeline.checkpoint.weights import BASELINE
    from pipeline.features.split_parts import Sources
    from pipeline.features.write_bank import write_bank
    from pipeline.params import load_params

    params = load_params()
    data = Path("data", params.dataset.name)
    sources = Sources(data / "frames", data / "annotations", data / "boxes", BASELINE)
    with recorded_run("infer_bank", split, dataset=params.dataset.name):
        path, hardware = data / "bank" / f"{split}.zarr", hardware_of(device, workers, batch)
        write_bank(path, split, sources, params.bank, pack=params.dataset.pack, hardware=hardware)


if __name__ == "__main__":
    run(app)

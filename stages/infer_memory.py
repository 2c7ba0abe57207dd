"""Run a split through the trained detector and write its memory, which `evaluate` reads (docs/memory.md).

    python -m stages.infer_memory val

Reads frames, annotations, boxes and models/head.*; writes data/<dataset>/memory/<split>.zarr, a bank as any other
(docs/bank-format.md), whose producer is models/head.*. `dvc.yaml` has the stage where head.memory is asynchronous.
Films that were finished before, in this run or an earlier one, are taken from .work.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.command import BatchOption, DeviceOption, ProcessesOption, WorkersOption, new_app, run
from pipeline.base.rank_processes import across_ranks

app = new_app()


@app.command()
@across_ranks
def infer_memory(
    split: Annotated[str, typer.Argument(help="train, val or test.")],
    workers: WorkersOption = 0,
    device: DeviceOption = "auto",
    batch: BatchOption = 8,
    processes: ProcessesOption = 1,
) -> None:
    """Write the memory of a split, a bank of the trained detector's own features."""
    from pipeline.base.hardware import hardware_of
    from pipeline.base.runs import recorded_run
    from pipeline.checkpoint.weights import HEAD
    from pipeline.features.split_parts import Sources
    from pipeline.features.write_bank import write_bank
    from pipeline.params import load_params

    params = load_params()
    data = Path("data", params.dataset.name)
    sources = Sources(data / "frames", data / "annotations", data / "boxes", HEAD)
    with recorded_run("infer_memory", split, dataset=params.dataset.name):
        path, hardware = data / "memory" / f"{split}.zarr", hardware_of(device, workers, batch)
        settings = replace(params.bank, objects=0)  # a detector finds the objects of a clip in the table of boxes
        write_bank(path, split, sources, settings, pack=params.dataset.pack, hardware=hardware)


if __name__ == "__main__":
    run(app)

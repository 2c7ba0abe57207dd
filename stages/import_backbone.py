"""Import a frozen network from a Hugging Face folder, for backbone=transformers.

    python -m stages.import_backbone transformers
    actionbank import-backbone transformers

Reads `backbone.folder`: config.json and model.safetensors of a VideoMAE, V-JEPA 2 or TimeSformer, and, if it is there,
preprocessor_config.json. Writes models/backbone.safetensors and its sidecar models/backbone.json, which every stage
that makes features reads in its place (docs/frozen-features.md).
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.base.command import new_app, run

app = new_app()


@app.command()
def import_backbone(
    library: Annotated[Literal["transformers"], typer.Argument(help="transformers.")] = "transformers",
) -> None:
    """Check the folder, and write what makes features of it."""
    from pipeline.base.runs import recorded_run
    from pipeline.checkpoint.frozen_network import NETWORK
    from pipeline.checkpoint.import_network import import_network
    from pipeline.params import load_params

    params = load_params()
    with recorded_run("import_backbone", library, dataset=params.dataset.name):
        told = import_network(Path(params.backbone.folder or ""), params.backbone.input, NETWORK)
    print(f"{NETWORK}: {told}")


if __name__ == "__main__":
    run(app)

"""`actionbank explain`: tell what a head with attention looked at."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def explain(
    film: Annotated[
        list[str] | None, typer.Option(help="A film of the val split; may be given several times. Absent: all.")
    ] = None,
    boxes: Annotated[
        Literal["detected", "ground_truth"], typer.Option(help="Whose boxes are scored, as in evaluate.")
    ] = "detected",
    top: Annotated[
        int, typer.Option(min=0, help="Of each person, block and layer the largest weights; 0 takes all.")
    ] = 20,
    out: Annotated[
        Path, typer.Option(help="Folder of the tables; an earlier one is replaced, and nothing else.")
    ] = Path("results/explain"),
) -> None:
    """Write a table of what the trained head attends to, for each person of the val split, by block and layer.

    Reads what evaluate reads: models/head.*, and the val bank, or frames and boxes in scope all (docs/view.md).
    """
    # Imported here because PyTorch takes seconds to import.
    from pipeline.base.files import check_own, replace_folder
    from pipeline.base.hardware import hardware_of
    from pipeline.params import load_params
    from pipeline.params.head_rows import row_source
    from pipeline.predict.attention_table import OUT, write_attention
    from pipeline.predict.explain_split import explain_split

    check_own(out, OUT)
    params = load_params()
    source = row_source(params, hardware_of("auto", 0, 8))
    found = explain_split(source, boxes=boxes, rule=params.evaluation.rule, films=film or (), top=top)
    with replace_folder(out, OUT) as folder:
        write_attention(folder, found.attention)
    persons = sum(len(each.boxes_xyxy) for each in found.scored)
    print(f"{out}: {found.attention.num_rows} weights of {persons} persons in {len(found.scored)} seconds")

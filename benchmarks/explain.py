"""Measure whether attention points at the signal: a table of docs/playground.md.

    python -m benchmarks.explain FOLDER...

Each FOLDER is a project on the playground with a val bank and a trained head. For every annotated dance after a signal
it measures which share of each layer's attention falls on the conductor in the seconds of the signal, and on anybody in
these seconds. Beside it stands which share of the rows they are: what attention that asks for nothing would give.
"""

import argparse
import contextlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.hardware import hardware_of
from pipeline.params import load_params
from pipeline.params.head_rows import row_source
from pipeline.playground.actions import DANCE_ID, MOTION_ID
from pipeline.predict.attention_table import SEEN_BOX
from pipeline.predict.explain_split import explain_split
from pipeline.tables.iou import box_iou
from pipeline.tables.schemas import ANNOTATIONS, BOX_COLUMNS, read_table

SIGNAL_OF = {dance: MOTION_ID[signal] for signal, dance in DANCE_ID.items()}
COLUMNS = ("on the conductor", "by chance", "in his seconds", "by chance", "largest weight on him")
Row = dict[str, Any]
Shares = dict[tuple[str, int], np.ndarray]


def measure(folder: Path) -> tuple[str, Shares]:
    """Return the name of the project's head, and `shares` of its val split."""
    with contextlib.chdir(folder):
        params = load_params()
        source = row_source(params, hardware_of("cpu", 1, 8))
        found = explain_split(source, boxes="ground_truth", rule=params.evaluation.rule).attention
        truth = read_table(source.sources.annotations / "annotations.parquet", ANNOTATIONS)
    return params.head.name, shares(found, truth)


def shares(found: pa.Table, truth: pa.Table) -> Shares:
    """Compute where the attention of those who dance after a signal falls.

    Args:
        found: ATTENTION, with all weights of ground-truth boxes.
        truth: ANNOTATIONS.

    Returns:
        For each block and layer that looks at rows of the bank, [dancers, 5], the columns of `COLUMNS`; a dancer in
        whose part of the window no row of the conductor's signal lies is left out.
    """
    conductors = {
        (row["video_id"], round(row["time_seconds"], 3)): (row["action_id"], box_of(row))
        for row in with_actions(truth, list(SIGNAL_OF.values()))
    }
    dances = {
        (row["video_id"], row["timestamp"], box_of(row)): row["action_id"]
        for row in with_actions(truth, list(SIGNAL_OF))
    }
    moments = {(video, timestamp) for video, timestamp, _ in dances}
    keys = zip(found["video_id"].to_pylist(), found["timestamp"].to_pylist(), strict=True)
    near = found.filter(pa.array([key in moments for key in keys]))
    looks: dict[tuple[str, int, str, float, tuple[float, ...]], list[Row]] = defaultdict(list)
    for row in near.filter(pc.is_in(near["block"], pa.array(["M", "past", "future"]))).to_pylist():
        looks[row["block"], row["layer"], row["video_id"], row["timestamp"], box_of(row)].append(row)
    result: dict[tuple[str, int], list[list[float]]] = defaultdict(list)
    for (block, layer, video, timestamp, box), rows in looks.items():
        if action := dances.get((video, timestamp, box)):
            weights = np.array([row["weight"] for row in rows])
            kind = np.array([on_signal(row, SIGNAL_OF[action], conductors) for row in rows])
            if (kind == 2).any():
                result[block, layer].append(
                    [weights[kind == 2].sum(), (kind == 2).mean(), weights[kind >= 1].sum(), (kind >= 1).mean(),
                     kind[weights.argmax()] == 2]
                )  # fmt: skip
    return {key: np.array(values, float) for key, values in result.items()}


def on_signal(row: Row, signal: int, conductors: dict[tuple[str, float], tuple[int, tuple[float, ...]]]) -> int:
    """Return 2 for a row of the conductor while he gives `signal`, 1 for another's in this second, else 0."""
    action, conductor = conductors.get((row["video_id"], round(row["seen_time_seconds"] or -1.0, 3)), (0, ()))
    if action != signal:
        return 0
    seen = np.array([[row[name] for name in SEEN_BOX]], float)
    return 2 if box_iou(seen, np.array([conductor]))[0, 0] >= 0.5 else 1


def box_of(row: Row) -> tuple[float, ...]:
    """Return a box as a key; a bank holds float32."""
    return tuple(float(np.float32(row[name])) for name in BOX_COLUMNS)


def with_actions(table: pa.Table, actions: list[int]) -> list[Row]:
    """Return the rows that have one of these actions."""
    rows: list[Row] = table.filter(pc.is_in(table["action_id"], pa.array(actions, pa.int32()))).to_pylist()
    return rows


def main() -> None:
    """Measure all folders and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    print("| head | block, layer | dancers | " + " | ".join(COLUMNS) + " |\n|---" + "|---" * (len(COLUMNS) + 2) + "|")
    for folder in parser.parse_args().folders:
        name, found = measure(folder)
        for (block, layer), values in found.items():
            cells = " | ".join(f"{each:.3f}" for each in values.mean(axis=0))
            print(f"| {name} | {block} {layer} | {len(values)} | {cells} |", flush=True)


if __name__ == "__main__":
    main()

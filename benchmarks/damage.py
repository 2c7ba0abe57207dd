"""Count how many damaged files are used without an error: random damage to every artefact of a finished project.

    python -m benchmarks.damage PROJECT [--tries 300]

PROJECT is a folder after `dvc repro`; it is copied first. Each try flips a bit, cuts, zeroes or swaps one file of the
copy, reads its artefact as a stage does, compares the result with the earlier one, and puts the file back. Outcomes:
`refused` with one line, `made again`, `no effect` (unused bytes, such as padding), `used` (another result without an
error) and `traceback`. The last two are faults.
"""

import contextlib
import hashlib
import io
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from pipeline.bank.reader import open_bank
from pipeline.base.errors import InputError
from pipeline.base.files import digest_tree, files_below
from pipeline.base.work import is_finished, item_folder, list_items
from pipeline.checkpoint.weights import load_checkpoint
from pipeline.tables.label_map import read_labels
from pipeline.tables.schemas import ANNOTATIONS, BOXES, DETECTIONS, KEYFRAMES, TIMELINES, VIDEOS, read_table
from pipeline.video.store import FrameStore

SCHEMAS = {
    "annotations": ANNOTATIONS, "keyframes": KEYFRAMES, "timelines": TIMELINES, "boxes": BOXES, "videos": VIDEOS,
    "detected": DETECTIONS, "ground_truth": DETECTIONS,
}  # fmt: skip
KINDS = ("flip", "cut", "zero", "swap")


@dataclass(frozen=True)
class Artefact:
    """Something that a stage reads, and how: `read` gives a digest of all that the reader takes from it."""

    name: str
    files: list[Path]
    read: Callable[[], str]


def digest_of(*values: Any) -> str:
    """A digest of arrays, tables and plain values."""
    digest = hashlib.sha256()
    for value in values:
        digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return digest.hexdigest()


def read_bank(path: Path) -> str:
    """All that windows, training and evaluation take from a bank."""
    bank = open_bank(path)
    parts: list[Any] = [bank.split, dict(bank.provenance), bank.videos]
    for video in bank.videos:
        parts += [bank.timestamps_seen(video), sorted(bank.attributes(video).items())]
        for row_set in ("detections", "ground_truth"):
            if bank.has_rows(video, row_set):
                parts += [np.array(each) for each in bank.rows(video, row_set).arrays().values()]
    return digest_of(*parts)


def read_frames(folder: Path) -> str:
    """Every frame of a store, and what its manifest says of each film."""
    store = FrameStore(folder)
    parts: list[Any] = [store.fps, store.video_ids]
    for video in store.video_ids:
        frames = store.read_clip(video, np.arange(store.grid_frames(video)))
        parts += [store.duration_seconds(video), store.size(video), store.digest(video), frames]
    return digest_of(*parts)


def read_values(path: Path) -> str:
    """A table."""
    table: pa.Table = read_table(path, SCHEMAS[path.stem])
    return digest_of(table.to_pydict())


def read_weights(path: Path) -> str:
    """Weights and sidecar."""
    tensors, checkpoint = load_checkpoint(path)
    return digest_of(sorted(checkpoint.to_json().items()), *(tensors[name].numpy() for name in sorted(tensors)))


def read_item(stage: str, key: str) -> str:
    """An item as `make_item` finds it: dropped and made again where it is damaged."""
    with contextlib.redirect_stderr(io.StringIO()):
        return digest_tree(item_folder(stage, key)) if is_finished(stage, key) else "made again"


def artefacts(project: Path) -> list[Artefact]:
    """Everything of a finished project that a stage reads."""
    found = []

    def add(name: str, path: Path, read: Callable[[], str]) -> None:
        files = [path / each for each in files_below(path)] if path.is_dir() else [path]
        found.append(Artefact(name, [each for each in files if each.name != "problems.json"], read))

    for bank in sorted(project.glob("data/*/bank/*.zarr")):
        add(f"bank {bank.stem}", bank, lambda bank=bank: read_bank(bank))  # type: ignore[misc]
    for store in sorted(project.glob("data/*/frames")):
        arrows = [*sorted(store.glob("*.arrow")), store / "manifest.json"]
        found.append(Artefact("frames", arrows, lambda store=store: read_frames(store)))  # type: ignore[misc]
    for table in sorted(project.glob("[dr]*/*/**/*.parquet")):
        if table.stem in SCHEMAS and "errors" not in table.parts:
            add(f"table {table.stem}", table, lambda table=table: read_values(table))  # type: ignore[misc]
    for labels in sorted(project.glob("data/*/annotations/labels.json")):
        add("labels", labels, lambda labels=labels: digest_of(read_labels(labels)))  # type: ignore[misc]
    for weights in sorted(project.glob("models/*.safetensors")):
        files = [weights, weights.with_suffix(".json")]
        found.append(Artefact(weights.stem, files, lambda weights=weights: read_weights(weights)))  # type: ignore[misc]
    for stage, key, _, _ in list_items():
        folder = item_folder(stage, key)
        add(f"item {stage}", folder, lambda stage=stage, key=key: read_item(stage, key))  # type: ignore[misc]
    return found


def damage(path: Path, kind: str, others: list[Path], draw: random.Random) -> None:
    """Harm a file in place, as a disk, a cut copy or a mixed-up restore does."""
    data = bytearray(path.read_bytes())
    if kind == "cut" or not data:
        data = data[: draw.randrange(len(data))] if data else bytearray(b"x")
    elif kind == "flip":
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif kind == "zero":
        start = draw.randrange(len(data))
        data[start : start + 512] = bytes(len(data[start : start + 512]))
    else:
        twins = [each for each in others if each != path and each.suffix == path.suffix]
        data = bytearray((draw.choice(twins) if twins else path).read_bytes())
    path.unlink()  # not through a hard link: what is put back afterwards must be whole
    path.write_bytes(data)


def outcome(artefact: Artefact, path: Path, kind: str, expected: str, draw: random.Random) -> str:
    """What comes of one damage; the file is as before afterwards."""
    with tempfile.TemporaryDirectory() as kept:
        # An item is dropped whole.
        folder = next((each for each in path.parents if each.parent.parent.name == ".work"), path.parent)
        shutil.copytree(folder, Path(kept, "whole"))
        damage(path, kind, artefact.files, draw)
        try:
            found = artefact.read()
        except InputError as error:
            result = "refused" if "\n" not in str(error) else "traceback"
        except Exception as error:  # what is counted
            print(f"{path} {kind}: {type(error).__name__}: {error}", file=sys.stderr)
            result = "traceback"
        else:
            result = "no effect" if found == expected else found if found == "made again" else "used"
        if result == "used":
            print(f"{path} {kind}: used", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(Path(kept, "whole"), folder)
    return result


def tries(project: Path, count: int, seed: int = 0) -> Counter[tuple[str, str]]:
    """Damage a finished project `count` times, each artefact as often as any other.

    Args:
        project: the current folder and `DVC_ROOT`; it is changed and put back.
        count: how many damages.
        seed: of the draws.

    Returns:
        how often each (kind of damage, outcome) came.
    """
    draw = random.Random(seed)
    chosen = artefacts(project)
    whole = [each.read() for each in chosen]
    counts: Counter[tuple[str, str]] = Counter()
    for number in range(count):
        index = number % len(chosen)
        path, kind = draw.choice(chosen[index].files), KINDS[draw.randrange(len(KINDS))]
        counts[kind, outcome(chosen[index], path, kind, whole[index], draw)] += 1
    return counts


def main(
    project: Annotated[Path, typer.Argument(help="A project after `dvc repro`.")],
    count: Annotated[int, typer.Option("--tries", min=1)] = 300,
    seed: int = 0,
) -> None:
    """Count what becomes of damaged files."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "project")
        shutil.copytree(project, copy, ignore=shutil.ignore_patterns(".dvc", ".git", ".venv"))
        os.chdir(copy)
        os.environ["DVC_ROOT"] = str(copy)
        counts = tries(copy, count, seed)
    outcomes = ("refused", "made again", "no effect", "used", "traceback")
    print(f"{'damage':<8}" + "".join(f"{each:>12}" for each in outcomes))
    for kind in KINDS:
        print(f"{kind:<8}" + "".join(f"{counts[kind, each]:>12}" for each in outcomes))


if __name__ == "__main__":
    typer.run(main)

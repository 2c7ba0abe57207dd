"""`actionbank models`: list the published rows that are recipes here, with their cost and reported mAP."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.base.errors import InputError
from pipeline.base.files import digest_file, digest_value, files_below, json_text, read_json
from pipeline.commands.recognition_rows import (
    TITLES,
    list_recognition_rows,
    recognition_cells,
    recognition_experiments,
)

DATASETS = ("ava21", "ava22", "ava_kinetics", "multisports", "common15")
OF_CLIPS = ("sthv1", "sthv2")
"Data sets of published rows of recognition."
PROTOCOLS = ("mmaction2_1x", "mmaction2_0x", "official")
HEADS = (
    "linear", "acrn", "acar", "lfb_nl", "lfb_max", "lfb_avg",
    "two_layer", "aia_parallel", "aia_serial", "aia_dense_serial",
)  # fmt: skip
NUMBERS = ("segments", "params", "GFLOPs", "mAP", "top-1", "top-5")
"Columns that are aligned to the right."
COUNTED = Path(__file__).with_name("models.json")
"Counts of the published rows; `python -m tests.recipes` writes the file."


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the published rows: parameters, GFLOPs per clip, the mAP that their source reports.

    GFLOPs are those of one clip of 256 x 256 pixels with one person, or of one view, a multiply-add counted as two. Run
    a row with `dvc exp run -S +experiment=NAME`; one of the second table, whose numbers are top-1 and top-5 of one view
    and of six, with `recognition/dvc.yaml` behind it.
    """
    rows, others = list_rows(), list_recognition_rows(Path("conf"), _counted(Path("conf")))
    if as_json:
        print(json_text([*rows, *others]), end="")
        return
    _print([("name", "backbone", "clip", "head", "params", "GFLOPs", "mAP", "protocol", "source"), *map(_cells, rows)])
    if others:
        print()
        _print([TITLES, *(line for row in others for line in recognition_cells(row))])


def _print(table: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        cells = [
            text.rjust(width) if title in NUMBERS else text.ljust(width)
            for title, text, width in zip(table[0], row, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())


def list_rows(conf: Path = Path("conf")) -> list[dict[str, Any]]:
    """Return `describe_row` of every experiment that reports a number, in the order of the source's tables.

    Composing and counting 41 networks takes 20 s, so a row is read from the table of counts unless its configuration
    has changed since.

    Raises:
        InputError: see `read_published`.
    """
    known, of_clips = _counted(conf), set(recognition_experiments(conf))
    others = sorted(set(row_keys(conf)) - known.keys() - of_clips)
    described = [describe_row(name, values) for name, values in read_published(conf, others).items()]
    return sorted([*(row for name, row in known.items() if name not in of_clips), *described], key=_place)


def _counted(conf: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of the table of counts whose configuration has not changed since, by name."""
    counted = read_json(COUNTED)
    return {
        name: counted[name]["row"]
        for name, key in row_keys(conf).items()
        if name in counted and counted[name]["key"] == key
    }


def row_keys(conf: Path) -> dict[str, str]:
    """Return, for every experiment, a digest of the files that it depends on: its own file and the shared ones.

    Raises:
        InputError: the folder of experiments does not exist.
    """
    folder = conf / "experiment"
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; run it in the project's folder")
    names = [name for name in files_below(conf) if name.suffix == ".yaml" and name.parts[0] != "experiment"]
    shared = {
        name.as_posix(): digest_file(conf / name)
        for name in names
        if "dataset" not in name.parts or name.stem in DATASETS + OF_CLIPS  # a user's are in no published row
    }
    return {path.stem: digest_value([shared, digest_file(path)]) for path in sorted(folder.glob("*.yaml"))}


def read_published(conf: Path = Path("conf"), names: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
    """Return the composed parameters of every experiment that reports a number, in the order of the source's tables.

    Args:
        conf: the configuration folder.
        names: names of experiments; by default all.

    Raises:
        InputError: the folder does not exist, or an experiment does not compose.
    """
    names = list(row_keys(conf)) if names is None else names
    if not names:
        return {}
    from pipeline.project.compose import compose_params  # imported late: Hydra is slow to import

    rows = {name: compose_params([f"+experiment={name}"], conf) for name in names}
    published = {name: values for name, values in rows.items() if values.get("reported")}
    return dict(sorted(published.items(), key=lambda item: _place(_facts(*item))))


def describe_row(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return one row of the list.

    Args:
        name: the name of the experiment.
        values: its composed parameters.
    """
    # Imported here because PyTorch takes seconds to import, and other commands do not need it.
    import torch

    from pipeline.checkpoint.recipe import build_recipe
    from pipeline.models.build import parameter_count
    from pipeline.models.cost import count_gflops

    with torch.device("meta"):
        detector = build_recipe(values)
    clip, window = values["backbone"]["input"], values["head"].get("window")
    objects = values["head"].get("objects")
    parameters = parameter_count(detector)
    gflops = count_gflops(
        detector,
        frames=clip["frames"],
        side=clip["short_side"],
        slots=window["seconds"] * window["per_second"] if window else 0,
        bank_channels=detector.roi_channels,
        objects=objects["per_keyframe"] if objects else 0,
    )
    return {**_facts(name, values), "parameters": parameters, "gflops": round(gflops, 2)}


def _facts(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a row that needs no counting."""
    clip = values["backbone"]["input"]
    return {
        "name": name,
        "dataset": values["dataset"]["name"],
        "backbone": values["backbone"]["name"],
        "clip": f"{clip['frames']}x{clip['interval']}",
        "head": head_name(values),
        "reported": values["reported"],
    }


def head_name(values: Mapping[str, Any]) -> str:
    """Return the head and its options, e.g. `linear, context, temporal max, mlp, focal`."""
    head, baseline, roi = values["head"], values["baseline"], values["roi"]
    trained = baseline if head["name"] == "baseline" else values["head_train"]
    tricks = {
        "context": roi["context"] == "global",
        "temporal max": roi["temporal"] == "max",
        "mlp": baseline["head"]["mlp"] if head["name"] == "baseline" else head.get("mlp", False),
        "focal": trained["loss"]["gamma"] > 0,
    }
    return ", ".join([_head(values), *(trick for trick, used in tricks.items() if used)])


def _head(values: Mapping[str, Any]) -> str:
    name: str = values["head"]["name"]
    return str(values["baseline"]["head"]["name"]) if name == "baseline" else name


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the sort key of a row: data set, zoo, head; SlowOnly, non-local, deeper, SlowFast; clip; mAP."""
    backbone, reported = row["backbone"], row["reported"]
    return (
        _rank(DATASETS, row["dataset"]),
        _rank(PROTOCOLS, reported["protocol"]),
        _rank(HEADS, row["head"].partition(",")[0]),
        *("slowfast" in backbone, "r101" in backbone, "_nl" in backbone),
        backbone,
        int(row["clip"].partition("x")[0]),
        reported["map"],
    )


def _rank(known: tuple[str, ...], name: str) -> tuple[int, str]:
    return (known.index(name) if name in known else len(known), name)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    reported = row["reported"]
    return (
        row["name"],
        row["backbone"],
        row["clip"],
        row["head"],
        f"{row['parameters'] / 1e6:.2f} M",
        f"{row['gflops']:.1f}",
        f"{reported['map']:.2f}",
        reported["protocol"],
        reported["source"],
    )

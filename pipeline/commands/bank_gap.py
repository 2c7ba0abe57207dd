"""`actionbank bank gap`: measure how rows of the train films differ from rows of the val films."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.base.errors import InputError
from pipeline.base.files import json_text

KINDS = {"ground_truth": "annotated boxes", "detected": "detected boxes"}


def gap(
    train: Annotated[
        str | None, typer.Option(help="The train bank, or its URL; absent: that of params.yaml.", show_default=False)
    ] = None,
    val: Annotated[
        str | None, typer.Option(help="The val bank, or its URL; absent: that of params.yaml.", show_default=False)
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(help="Folder of import_annotations; absent: that of params.yaml.", show_default=False),
    ] = None,
    checkpoint: Annotated[
        str, typer.Option(help="The baseline that made the banks; none measures without AP.")
    ] = "models/baseline.safetensors",
    folds: Annotated[
        int | None,
        typer.Option(min=1, help="Folds of the train films; absent: head_train.videos.", show_default=False),
    ] = None,
    use: Annotated[
        list[int] | None,
        typer.Option(min=0, help="With --folds, a fold that takes part; may be repeated.", show_default=False),
    ] = None,
    rows: Annotated[int, typer.Option(min=2, help="Largest number of rows of each bank that are read.")] = 20_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Measure how train rows differ from val rows: the bank's model was fitted to the train films (docs/gap.md).

    Prints the AP of the baseline's own classifier on both banks, shift of means and norms of the features, and how
    well a linear classifier tells train rows from val rows.
    """
    from pipeline.analysis.feature_gap import load_producer, measure_gap
    from pipeline.bank.remote import open_place
    from pipeline.params import load_params
    from pipeline.tables.split_tables import read_tables

    _check_folds(folds, use)
    with_ap = checkpoint != "none"
    mixed = False
    if None in (train, val, folds) or (with_ap and annotations is None):
        params = load_params()
        train, val = train or params.bank.train, val or params.bank.val
        annotations = annotations or Path("data", params.dataset.name, "annotations")
        if folds is None:
            folds, use = params.head_train.videos.folds, params.head_train.videos.use
        mixed = params.bank.allow_mixed
    assert train
    assert val
    assert folds
    assert use
    banks = open_place(train), open_place(val)
    report = measure_gap(
        *banks,
        producer=load_producer(Path(checkpoint)) if with_ap else None,
        tables=read_tables(annotations, None) if with_ap and annotations else None,
        folds=folds,
        use=use,
        cap=rows,
        allow_mixed=mixed,
    )
    print(json_text(report) if as_json else _text(report), end="")


def _check_folds(folds: int | None, use: list[int] | None) -> None:
    if (folds is None) != (not use):
        raise InputError("--folds and --use belong together: found one of them")
    if folds is not None and use and max(use) >= folds:
        raise InputError(f"--use: found {max(use)}, expected folds from 0 to {folds - 1}")


def _text(report: dict[str, Any]) -> str:
    lines = []
    for side in ("train", "val"):
        each = report[side]
        fitted = each["fitted_films"]
        seen = "" if fitted is None or side == "val" else f", {fitted} of them in the checkpoint's training"
        chosen = f" ({report['choice']})" if side == "train" and report["choice"] != "fold 0 of 1" else ""
        lines.append(
            f"{side}: {each['bank']}: {each['films']} films{chosen}{seen}; "
            f"{each['rows']:,} of {each['rows_in_films']:,} rows"
            + (f", {each['keyframes']:,} of {each['keyframes_in_films']:,} keyframes" if "keyframes" in each else "")
        )
    train, val = report["train"], report["val"]
    lines.append(f"{'':34}{'train':>8}{'val':>8}")
    for kind, name in KINDS.items():
        for group in train.get("ap", {}).get(kind, {}):
            title = f"mAP, {name}" if group == "map" else f"  {group}"
            lines.append(f"{title:34}" + "".join(f"{_figure(each['ap'][kind][group]):>8}" for each in (train, val)))
    for name in ("mean", "std"):
        title = f"norm of a row, {'mean' if name == 'mean' else 'standard deviation'}"
        lines.append(f"{title:34}" + "".join(f"{_figure(each['norm'][name]):>8}" for each in (train, val)))
    shift = report["mean_shift"]
    lines.append(
        f"shift of a channel's mean, in its standard deviations: {shift['mean']:.3f} in the mean, "
        f"{shift['max']:.3f} at most"
    )
    lines.append(
        "train against val, films held out: " + _classifier(report["train_against_val"], "2 films with rows in each")
    )
    lines.append(
        "two halves of the train films, the same way: "
        + _classifier(report["between_train_films"], "4 train films with rows")
    )
    return "\n".join(lines) + "\n"


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _classifier(found: dict[str, float] | None, needs: str) -> str:
    if found is None:
        return f"not measured, it takes {needs}"
    spread = f"{found['lowest']:.3f}-{found['highest']:.3f}"
    return f"accuracy {found['accuracy']:.3f} ({spread}), AUC {found['auc']:.3f}; 0.5 is chance"

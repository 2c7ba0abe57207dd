"""`actionbank bank import` and `actionbank bank export`: convert other projects' banks to ours, and back."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.base.files import check_own
from pipeline.commands.bank_sets import BANK_FILES
from pipeline.interop.exchange_options import ExportFormat, ImportFormat

ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is there already.")]


def import_foreign(
    source: Annotated[Path, typer.Argument(help="The file: lfb_train.pkl, train_lfb.pkl, train.h5 ...")],
    out: Annotated[Path, typer.Argument(help="The bank to make, e.g. data/ava/bank/train.zarr.")],
    split: Annotated[str, typer.Option(help="train, val or test.")],
    kind: Annotated[
        ImportFormat | None, typer.Option("--format", help="The file's format; it is recognised by its first bytes.")
    ] = None,
    dtype: Annotated[
        Literal["fp16", "fp32"] | None, typer.Option(help="Type of the features; that of the file by default.")
    ] = None,
    provenance: Annotated[
        list[str] | None,
        typer.Option(help="key=value of what is known of the rows, e.g. box_threshold=0.9; may be repeated."),
    ] = None,
    videos: Annotated[
        Path | None, typer.Option(help="caffe2: ids, one a line, in the order of the videos' numbers in the file.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=0.001, help="caffe2: the keys number frames at this rate, not seconds.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Make a bank of the file of MMAction2, of the Caffe2 LFB or of plain HDF5.

    Nothing that a file names is run. What the file does not know (boxes, scores, who made it) is left out of the
    bank, as `bank info` says.
    """
    from pipeline.bank.output import check_new_bank
    from pipeline.interop.banks.exchange import Keys, import_bank, parse_provenance, recognise_format

    check_new_bank(out, force=force)
    check_own(out, BANK_FILES)
    known = parse_provenance(provenance or [])
    bank, notes = import_bank(
        source,
        out,
        kind=kind or recognise_format(source),
        split=split,
        dtype=dtype,
        provenance=known,
        keys=Keys(fps, videos),
    )
    rows = f"{len(bank.videos)} videos, {bank.count('detections'):,} rows"
    print(f"{out}: {rows}, {bank.channels} channels {bank.dtype}, digest {bank.digest[:12]}")
    for note in notes:
        print(f"  {note}")


def export(
    path: Annotated[Path, typer.Argument(help="The bank's folder, e.g. data/playground/bank/train.zarr.")],
    out: Annotated[Path, typer.Argument(help="The file to write, e.g. lfb_train.pkl.")],
    kind: Annotated[
        ExportFormat,
        typer.Option("--format", help="mmaction2-list has a list of vectors for each second, as upstream writes it."),
    ],
    dtype: Annotated[
        Literal["fp16", "fp32"] | None,
        typer.Option(help="Type of the features; by default fp16 for mmaction2, fp32 for caffe2, the bank's for hdf5."),
    ] = None,
    videos: Annotated[
        Path | None, typer.Option(help="caffe2: ids, one a line; a video's place in it is written in place of its id.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Write a bank's detections as MMAction2, the Caffe2 LFB or HDF5 have them, and say what has no place there."""
    from pipeline.bank.output import check_new_file
    from pipeline.bank.reader import open_bank
    from pipeline.interop.banks.exchange import export_bank

    check_new_file(out, force=force)
    bank = open_bank(path)
    losses = export_bank(bank, out, kind=kind, dtype=dtype, videos=videos)
    print(f"{out}: {len(bank.videos)} videos, {bank.count('detections'):,} rows, {out.stat().st_size / 1e6:,.1f} MB")
    for each in losses:
        print(f"  not in it: {each}")

"""Commands about feature banks: `info` and `verify`. The other commands are in `bank_sets` and `bank_exchange`."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.command import new_app
from pipeline.base.files import json_text
from pipeline.commands.bank_exchange import export, import_foreign
from pipeline.commands.bank_gap import gap
from pipeline.commands.bank_sets import diff, merge, subset

bank_app = new_app("Look at feature banks, check and compare them, and exchange them with other projects.")
for name, command in (
    ("diff", diff), ("merge", merge), ("subset", subset), ("import", import_foreign), ("export", export),
):  # fmt: skip
    bank_app.command(name)(command)

bank_app.command()(gap)

PathArgument = Annotated[Path, typer.Argument(help="The bank's folder, e.g. data/playground/bank/train.zarr.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@bank_app.command()
def info(
    path: Annotated[str, typer.Argument(help="The bank's folder, a URL (s3://...), or its path in --repo.")],
    repo: Annotated[str | None, typer.Option(help="URL or folder of the DVC repository that has it.")] = None,
    rev: Annotated[str | None, typer.Option(help="Branch, tag or commit of that repository.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a bank holds, what made it and what it lacks.

    Reads the manifest and looks at names and sizes of files, of the manifest alone where the bank lies elsewhere
    (--repo, or a URL). Half a bank is refused.
    """
    from pipeline.bank.check_bank import list_missing
    from pipeline.bank.format import VERSION
    from pipeline.bank.reader import open_bank
    from pipeline.bank.remote import open_remote

    elsewhere = repo is not None or rev is not None or "://" in path
    bank = open_remote(path, repo=repo, rev=rev) if elsewhere else open_bank(Path(path))
    sizes = [sum(each.shard_bytes.values()) for part in bank.manifest.parts.values() for each in part.row_sets.values()]
    missing = list_missing(bank, files=not elsewhere)
    facts = {
        "path": bank.where,
        "version": VERSION,
        "split": bank.split,
        "videos": len(bank.videos),
        "parts": len(bank.parts),
        "rows": {name: bank.count(name) for name in bank.manifest.row_sets},
        "channels": bank.channels,
        "dtype": str(bank.dtype),
        "codec": bank.manifest.codec,
        "bytes": sum(sizes),
        "digest": bank.digest,
        "provenance": dict(bank.provenance),
        "missing": missing,
    }
    if as_json:
        print(json_text(facts), end="")
        return
    rows = ", ".join(f"{bank.count(name):,} rows of {name}" for name in bank.manifest.row_sets)
    print(f"{bank.where}: feature bank of split {bank.split}, format version {VERSION}")
    print(f"  {len(bank.videos)} videos in {len(bank.parts)} parts, {rows}")
    print(f"  {bank.channels} channels {bank.dtype}, codec {bank.manifest.codec}, {sum(sizes) / 1e6:,.1f} MB")
    print(f"  digest {bank.digest}")
    print("  made by" if bank.provenance else "  made by: it does not say")
    for key, value in sorted(bank.provenance.items()):
        print(f"    {key}: {value}")
    print("  missing" if missing else "  missing: nothing")
    for line in missing:
        print(f"    {line}")


@bank_app.command()
def verify(
    path: PathArgument,
    boxes: Annotated[
        Path | None,
        typer.Option(help="Also compare detections and objects with this box table, e.g. data/playground/boxes."),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(help="Also compare ground_truth with these annotations, e.g. data/playground/annotations."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Also compare the producer with the sidecar of these weights, e.g. models/baseline.safetensors."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read a whole bank and check every digest, array, value and the order of rows.

    The sources are compared once the bank itself is whole. Exits with 0 if there are no findings and with 1 if there
    are, which are printed one per line.
    """
    from pipeline.bank.check_bank import verify_bank
    from pipeline.bank.reader import open_bank, read_manifest

    manifest, digest = read_manifest(path)
    findings = verify_bank(path)
    if not findings and (boxes or annotations or checkpoint):
        from pipeline.features.check_sources import check_sources  # imported late: it imports pyarrow

        findings = check_sources(open_bank(path), boxes=boxes, annotations=annotations, checkpoint=checkpoint)
    rows = sum(each.rows for part in manifest.parts.values() for each in part.row_sets.values())
    videos = len(manifest.part_of)
    if as_json:
        found = [each.written() for each in findings]
        report = {"path": str(path), "digest": digest, "videos": videos, "parts": len(manifest.parts), "rows": rows}
        print(json_text({**report, "whole": not findings, "findings": found}), end="")
    else:
        for each in findings:
            print(each)
        state = "whole" if not findings else f"not whole, {len(findings)} findings"
        print(f"{path}: {videos} videos in {len(manifest.parts)} parts, {rows:,} rows: {state}")
    if findings:
        raise typer.Exit(1)

"""`actionbank convert` and `actionbank export`: convert other frameworks' checkpoints to ours, and back."""

import re
import urllib.error
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlparse

import typer

from pipeline.base.errors import InputError
from pipeline.base.files import atomic_path, check_own_file, check_report, digest_file, write_json
from pipeline.interop.exchange_options import NO_FRAMES, Background

if TYPE_CHECKING:
    from pipeline.checkpoint.sidecars import Checkpoint
    from pipeline.interop.conversion import ConversionReport
    from pipeline.interop.convert_checkpoint import Converted, DetectorSettings
    from pipeline.interop.foreign_checkpoint import Foreign

SHOWN = 3
# AlphAction's classes in order of id, by their number: AVA's poses, actions with objects and with persons, each with
# the weight of its loss; and the 15 of its demonstration, of whose training nothing is known.
ALPHACTION_GROUPS = {80: ((14, 1.2), (49, 49.0), (17, 17.0)), 15: ((6, 1.0), (5, 1.0), (4, 1.0))}
# Of ACAR-Net: poses, and all other classes; and how it cuts persons out of the map.
ACAR_CLASSES = (13, 47)
ACAR_ROI = ("roi.output_size=7", "roi.aligned=false", "roi.scale=map")
# Names of files that OpenMMLab publishes end with the first digits of their sha256.
_HASHED = re.compile(r"-([0-9a-f]{8})\.pth")

TakenAsOption = Annotated[
    Literal["detector", "classifier", "recognizer", "frames"] | None,
    typer.Option(
        "--as", help="What keys do not show: what PySlowFast's head scores; that a network for frames stays one."
    ),
]
SortedClassesOption = Annotated[
    Path | None,
    typer.Option(help="Names of classes, one a line, whose sorted order is that of the source's ids (TRN-pytorch)."),
]


def convert(
    checkpoint: Annotated[str, typer.Argument(help="A file, or an https URL, which is kept in .work/downloads.")],
    to: Annotated[Path, typer.Option(help="The safetensors file to write; its sidecar .json stands beside it.")],
    recipe: Annotated[
        str | None, typer.Option(help="A row of conf/experiment: tells what weights do not (RoI, labels, clips).")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="As after -S: roi.context=global, labels.kind=single, head=lfb_max."),
    ] = None,
    taken_as: TakenAsOption = None,
    background: Annotated[
        Background | None,
        typer.Option(
            help="Row 0 of the classifier; without it, dropped from MMAction2's multi-label files, else kept."
        ),
    ] = None,
    drop_head: Annotated[
        list[str] | None,
        typer.Option(help="Leave out the keys that begin so, e.g. roi_head; without any head, a backbone is written."),
    ] = None,
    sorted_classes: SortedClassesOption = None,
    report: Annotated[Path | None, typer.Option(help="Write every key of the report to this JSON file.")] = None,
) -> None:
    """Convert a checkpoint of another framework (docs/checkpoints.md) or ours; say what became of every key.

    A detector or recognizer comes with the sidecar that the stages read; a classifier gives its backbone. Keys
    that are missing, left over or of another shape are refused. Nothing that a file names is run.
    """
    from pipeline.checkpoint.sidecars import Record
    from pipeline.checkpoint.weights import save_checkpoint
    from pipeline.commands.convert_recognizers import converted_recognizer, is_for_frames
    from pipeline.interop.frameworks import recognise_checkpoint

    _check_places(to, report)
    source = fetch(checkpoint)
    foreign = recognise_checkpoint(source, taken_as=taken_as)
    print(f"{source.name}: {foreign.described}")
    given, left = overrides or [], drop_head or []
    if sorted_classes or is_for_frames(foreign, given):
        result = converted_recognizer(foreign, source, recipe, given, left, sorted_classes)
    else:
        result = _converted(foreign, source, recipe, given, drop_heads=left, background=background)
    facts = {"file": source.name, "sha256": digest_file(source), "framework": foreign.described}
    record: Record = {
        **result.checkpoint.record,
        "source": {**facts, "recipe": recipe, "keys": result.report.counts()},
    }
    print("\n  ".join([_named(result.checkpoint), *result.notes]))
    _print_report(result.report)
    if report:
        write_json(report, {**facts, **result.report.as_dict(), "notes": result.notes})
    digest = save_checkpoint(to, result.tensors, replace(result.checkpoint, record=record))
    print(f"{to}: {len(result.tensors)} tensors, sha256 {digest[:12]}")


def _converted(
    foreign: "Foreign",
    source: Path,
    recipe: str | None,
    overrides: list[str],
    *,
    drop_heads: list[str],
    background: Background | None,
) -> "Converted":
    """Convert the recognised checkpoint to ours, with the parameters that the recipe and the overrides compose.

    Raises:
        InputError: see `convert_foreign`; the message names `source`. Or the parameters do not compose.
    """
    from pipeline.interop.convert_checkpoint import convert as convert_foreign
    from pipeline.project.compose import compose_params

    given = [*([f"+experiment={recipe}"] if recipe else []), *overrides]
    named = bool(recipe) or any(each.split("=")[0] in ("backbone", "backbone.name") for each in given)
    defaults = [*NO_FRAMES, *([] if recipe else _file_defaults(foreign))]
    composed = compose_params([*defaults, *given]) if named else None
    if foreign.kind == "recognizer":
        foreign = replace(foreign, kind="classifier")  # of which a backbone for clips takes no head
    try:
        return convert_foreign(
            foreign,
            lambda backbone: _settings(
                foreign, composed or compose_params([f"backbone={backbone}", *defaults, *given]), given
            ),
            backbone=composed["backbone"]["name"] if composed else None,
            drop_heads=drop_heads,
            background=background,
        )
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def _named(checkpoint: "Checkpoint") -> str:
    from pipeline.checkpoint.sidecars import HandedOn
    from pipeline.checkpoint.specs import BackboneSpec, DetectorSpec, HeadSpec

    spec = checkpoint.spec
    assert not isinstance(spec, HandedOn)  # a handed-on head was converted as the baseline that it copies
    mlp = isinstance(spec, DetectorSpec | HeadSpec) and spec.head.mlp
    head = "" if isinstance(spec, BackboneSpec) else f"head {spec.head.name}{' with mlp' if mlp else ''}, "
    return f"{head}backbone {spec.backbone}{f' of width {spec.width}' if spec.width else ''}"


def _check_places(to: Path, report: Path | None) -> None:
    """Check that only an earlier conversion or report would be replaced; see `check_own_file`."""
    if to.suffix != ".safetensors":
        raise InputError(f"--to {to}: expected a .safetensors file")
    sidecar = to.with_suffix(".json")
    check_report(sidecar, "sha256", "source")
    check_own_file(to, lambda _: sidecar.exists())
    if report:
        check_report(report, "file", "sha256", "framework", "notes")


def _print_report(report: "ConversionReport") -> None:
    print(", ".join(f"{count} {name}" for name, count in report.counts().items()))
    for name, keys in report.as_dict().items():
        if name != "loaded":
            for key in keys[:SHOWN]:
                print(f"  {name}: {key}")
            if len(keys) > SHOWN:
                print(f"  {name}: and {len(keys) - SHOWN} more")


def _file_defaults(foreign: "Foreign") -> list[str]:
    """Return settings that all files of a source share.

    PySlowFast's persons are aligned to 7x7 cells, for Caffe2 without the shift by half a cell. AlphAction's dropout is
    not the default, and its classes are in groups; the rest of its settings come with its backbones. ACAR-Net has the
    backbones of two families and one RoI.
    """
    if foreign.framework == "alphaction":
        return ["baseline.dropout=0.2", *_alphaction_labels(foreign)]
    if foreign.framework == "acar":
        return ["baseline.dropout=0.0", *ACAR_ROI, *_acar_labels(foreign)]
    if foreign.framework != "pyslowfast":
        return []
    return ["roi.output_size=7", f"roi.aligned={str(not foreign.folded).lower()}"]


def _alphaction_labels(foreign: "Foreign") -> list[str]:
    """Return the groups of AlphAction's classes: a softmax over poses, and sigmoids; none for an unknown number."""
    from pipeline.interop.alphaction import CLASSIFIER

    weight = foreign.tensors.get(CLASSIFIER)
    groups = ALPHACTION_GROUPS.get(len(weight) if weight is not None and weight.dim() else 0)
    if groups is None:
        return []
    kinds = ("softmax", "sigmoid", "sigmoid")
    told = [
        f"{{classes: {classes}, kind: {kind}, weight: {weight}}}"
        for kind, (classes, weight) in zip(kinds, groups, strict=True)
    ]
    return [
        f"dataset.classes={sum(classes for classes, _ in groups)}",
        "labels.kind=grouped",
        f"labels.groups=[{','.join(told)}]",
    ]


def _acar_labels(foreign: "Foreign") -> list[str]:
    """Return the groups of ACAR-Net's 60 classes; none for another number."""
    weight = next((value for key, value in foreign.tensors.items() if key.endswith("fc2.weight")), None)
    if weight is None or not weight.dim() or len(weight) != sum(ACAR_CLASSES):
        return []
    poses, others = ACAR_CLASSES
    groups = (
        f"{{classes: {poses}, kind: softmax, weight: {poses / len(weight)!r}, loss: binary}}",
        f"{{classes: {others}, kind: sigmoid, weight: {others / len(weight)!r}}}",
    )
    return [f"dataset.classes={len(weight)}", "labels.kind=grouped", f"labels.groups=[{','.join(groups)}]"]


def _settings(foreign: "Foreign", composed: dict[str, Any], given: list[str]) -> "DetectorSettings":
    """Return what weights do not show: from our own sidecar, from the recipe, or from the backbone's group in conf/."""
    from pipeline.checkpoint.specs import DetectorSpec, HeadSpec
    from pipeline.interop.convert_checkpoint import DetectorSettings
    from pipeline.params import parse_params

    spec = foreign.checkpoint.spec if foreign.checkpoint and not given else None
    if isinstance(spec, DetectorSpec | HeadSpec) and spec.roi and spec.input:
        return DetectorSettings(
            input=spec.input,
            roi=spec.roi,
            labels=spec.labels,
            dropout=spec.dropout,
            heads=(spec.head.name,),
            window=spec.head.window if isinstance(spec, HeadSpec) else None,
            objects=spec.head.objects if isinstance(spec, HeadSpec) else None,
        )
    # The default head and data set belong to the current experiment and say nothing about the file.
    keys = {each.split("=")[0] for each in given}
    told_head, told_data = bool(keys & {"+experiment", "head"}), bool(keys & {"+experiment", "dataset"})
    params = parse_params(composed, "conf")
    head, baseline = params.head, params.baseline
    if params.labels.names:
        raise InputError(
            f"labels.groups are {', '.join(params.labels.names)}, which a data set's label map counts; expected "
            "numbers of classes (--set labels.groups=[...])"
        )
    return DetectorSettings(
        input=params.backbone.input,
        roi=params.roi,
        labels=params.labels,
        dropout=baseline.dropout,
        # A recipe with a bank has two detectors: one fills the bank, and the other has the head that reads it.
        heads=tuple(sorted({baseline.head.name, head.name} - {"baseline"})) if told_head else (),
        classes=params.dataset.classes if told_data else None,
        window=head.window if told_head else None,
        objects=head.objects if told_head else None,
        threads=params.head_train.threads,
    )


def fetch(checkpoint: str) -> Path:
    """Return the path of a local file, or of the download of a URL.

    Raises:
        InputError: the file does not exist, or cannot be downloaded.
    """
    import torch

    from pipeline.base.work import item_key, make_item

    if "://" not in checkpoint:
        path = Path(checkpoint)
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        return path
    url = urlparse(checkpoint)
    name = Path(url.path).name
    if url.scheme != "https" or not re.fullmatch(r"\w[\w.+-]*", name):
        raise InputError(f"{checkpoint}: expected a file, or an https URL that ends with a file's name")

    def download(folder: Path) -> None:
        hashed = _HASHED.search(name)
        try:
            torch.hub.download_url_to_file(checkpoint, str(folder / name), hash_prefix=hashed[1] if hashed else None)
        except (urllib.error.URLError, OSError, RuntimeError) as error:
            reason = " ".join(str(getattr(error, "reason", error)).split())
            raise InputError(
                f"{checkpoint}: cannot be downloaded: {reason}; without network, bring the file and give its path"
            ) from None

    # The folder depends on the whole address: many files are called model.pth.
    return make_item("downloads", item_key(url=checkpoint), download) / name


def export(
    checkpoint: Annotated[Path, typer.Argument(help="A safetensors file of ours, e.g. models/baseline.safetensors.")],
    to: Annotated[Path | None, typer.Option(help="The .pth file to write, for another framework.")] = None,
    layout: Annotated[Literal["mmaction2"], typer.Option("--format", help="Whose names and shapes.")] = "mmaction2",
    onnx: Annotated[Path | None, typer.Option(help="The .onnx file to write; its description .json beside it.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="With --onnx: a label map that names the classes; else labels.json beside it.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file that is there already.")] = False,
) -> None:
    """Write a checkpoint of ours as MMAction2's state dict (--to), or as an ONNX model to serve elsewhere (--onnx).

    A state dict has MMAction2's names and shapes, and converted back it is the same to the bit. An ONNX model is the
    whole detector, or a head on stored features, with any number of clips, boxes and windows: docs/export.md.
    """
    if (to is None) == (onnx is None):
        raise InputError("export writes one thing: give --to FILE.pth or --onnx FILE.onnx")
    if to is not None and labels is not None:
        raise InputError("--labels: a state dict holds no names of classes; it goes with --onnx")
    if to is not None:
        _export_state(checkpoint, to, layout, force=force)
    elif onnx is not None:
        _export_onnx(checkpoint, onnx, labels, force=force)


def _export_state(checkpoint: Path, to: Path, layout: str, *, force: bool) -> None:
    import torch

    from pipeline.bank.output import check_new_file
    from pipeline.checkpoint.sidecars import BARE
    from pipeline.checkpoint.weights import load_checkpoint, load_tensors
    from pipeline.interop.export import export_mmaction2

    check_new_file(to, force=force)
    if checkpoint.with_suffix(".json").exists():
        tensors, described = load_checkpoint(checkpoint)
    else:
        tensors, described = load_tensors(checkpoint), BARE
    try:
        value, notes = export_mmaction2(tensors, described)
    except InputError as error:
        raise InputError(f"{checkpoint}: {error}") from None
    with atomic_path(to) as partial:
        torch.save(value, partial)
    for note in notes:
        print(f"  {note}")
    print(f"{to}: {len(value['state_dict'])} tensors in the layout of {layout}")


def _export_onnx(checkpoint: Path, to: Path, label_map: Path | None, *, force: bool) -> None:
    from pipeline.bank.output import check_new_file
    from pipeline.checkpoint.weights import load_checkpoint
    from pipeline.interop.onnx_export import export_onnx
    from pipeline.interop.onnx_graph import need_packages
    from pipeline.tables.label_map import read_label_map

    if to.suffix != ".onnx":
        raise InputError(f"--onnx {to}: expected a .onnx file")
    for path in (to, to.with_suffix(".json")):
        check_new_file(path, force=force)
    need_packages()
    tensors, described = load_checkpoint(checkpoint)
    beside = checkpoint.with_name("labels.json")
    label_map = beside if label_map is None and beside.is_file() else label_map
    names = read_label_map(label_map) if label_map else None
    try:
        known = export_onnx(to, tensors, described, names)
    except InputError as error:
        raise InputError(f"{checkpoint}: {error}") from None
    for end in ("inputs", "outputs"):
        for port in known[end]:
            print(f"  {end[:-1]} {port['name']} {port['type']} [{', '.join(map(str, port['shape']))}]")
    if label_map is None:
        print("  the classes have numbers and no names: --labels FILE names them")
    print(f"{to}: {known['checkpoint']['kind']} with head {known['head']}, opset {known['opset']}")

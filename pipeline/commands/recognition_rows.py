"""The published rows of recognition, with their cost: the second table of `actionbank models`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

TITLES = ("name", "backbone", "segments", "head", "params", "GFLOPs", "top-1", "top-5", "protocol", "source")
PROTOCOLS = ("mmaction2_1x", "mmaction2_0x")


def recognition_experiments(conf: Path) -> list[str]:
    """Return the names of the experiments that choose a data set of recognition."""
    files = sorted((conf / "experiment").glob("*.yaml"))
    return [path.stem for path in files if "override /recognition/dataset:" in path.read_text(encoding="utf-8")]


def list_recognition_rows(conf: Path, known: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each experiment of recognition that reports a number.

    Args:
        conf: the configuration folder.
        known: rows that need no counting, by name.
    """
    found = []
    for name in recognition_experiments(conf):
        if name in known:
            found.append(known[name])
            continue
        from pipeline.project.compose import compose_params  # imported late: Hydra is slow to import

        block = compose_params([f"+experiment={name}"], conf)["recognition"]
        if block.get("reported"):
            found.append(describe_recognition(name, block))
    return found


def describe_recognition(name: str, block: dict[str, Any]) -> dict[str, Any]:
    """Return one row: operations are those of one view, a multiply-add counted as two.

    Args:
        name: of the experiment.
        block: `recognition` of its composed parameters.
    """
    # Imported here because PyTorch takes seconds to import, and other commands do not need it.
    import torch

    from pipeline.checkpoint.sidecars import read_settings
    from pipeline.models.build import parameter_count
    from pipeline.models.cost import count_recognizer_gflops
    from pipeline.models.recognition_settings import RecognitionHead
    from pipeline.models.recognizer import Recognizer, build_recognition_head, build_recognizer_backbone

    shown, segments = block["backbone"], block["backbone"]["segments"]
    head = read_settings(RecognitionHead, block["head"], f"{name}: recognition.head")
    with torch.device("meta"):
        backbone = build_recognizer_backbone(shown["name"], width=shown["width"])
        classes = block["dataset"]["classes"]
        scorer = build_recognition_head(head, inputs=backbone.out_channels, segments=segments, classes=classes)
    recognizer = Recognizer(backbone, scorer)
    gflops = count_recognizer_gflops(recognizer, segments=segments, side=shown["input"]["crop"])
    return {
        "name": name,
        "dataset": block["dataset"]["name"],
        "backbone": shown["name"],
        "segments": segments,
        "head": head.name,
        "reported": block["reported"],
        "parameters": parameter_count(recognizer),
        "gflops": round(gflops, 2),
    }


def recognition_cells(row: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the lines of a row in the table, one per protocol: efficient / accurate accuracies."""
    lines = []
    for protocol in PROTOCOLS:
        both = [row["reported"][protocol][kind] for kind in ("efficient", "accurate")]
        shown = [" / ".join(f"{each[which]:.2f}" for each in both) for which in ("top1", "top5")]
        start = (row["name"], row["backbone"], str(row["segments"]), row["head"])
        cost = (f"{row['parameters'] / 1e6:.2f} M", f"{row['gflops']:.1f}")
        lines.append((*start, *cost, *shown, protocol, row["reported"]["source"]))
    return lines

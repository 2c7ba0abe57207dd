"""One sidecar of every form that was ever written, as JSON."""

from typing import Any

from pipeline.checkpoint.sidecars import Checkpoint

SHA = "0" * 64
INPUT = {
    "frames": 4,
    "interval": 2,
    "short_side": 64,
    "offset_frames": 0,
    "mean": [1.0, 2.0, 3.0],
    "std": [4.0, 5.0, 6.0],
}
ROI = {"output_size": 7, "temporal": "max", "context": "global", "aligned": False}
LABELS = {"kind": "single", "background": True, "several": "soft"}
WINDOW = {"seconds": 6, "per_second": 2, "mask": "none", "score": 0.9,
          "span": "past", "exclude_keyframe": True, "draw": "roi"}  # fmt: skip
TRAINED = {"parameters": {"lr": 0.1, "videos": {"folds": 2, "use": [0]}}, "selected_epoch": 3}
SOURCE = {"file": "u.pth", "sha256": SHA, "framework": "MMAction2 detector", "recipe": None, "keys": {"loaded": 3}}

BACKBONE: dict[str, Any] = {
    "sha256": SHA, "kind": "backbone", "backbone": "slowonly_r50", "width": 8, "source": SOURCE,
}  # fmt: skip
DETECTOR: dict[str, Any] = {
    "sha256": SHA, "kind": "detector", "backbone": "slowfast_tiny", "width": None, "input": INPUT, "roi": ROI,
    "head": {"name": "acrn", "mlp": True, "options": {"convs": 2}}, "labels": LABELS, "columns": 6, "classes": 5,
    "dropout": 0.25,
}  # fmt: skip
"As the stages describe a baseline before they train it."
BASELINE: dict[str, Any] = {
    **DETECTOR, **TRAINED, "channels": 160, "initial_weights": {"file": "k.safetensors", "sha256": SHA},
    "trained_on": {"frames": SHA, "annotations": SHA, "boxes": SHA}, "history": [{"epoch": 1, "lr": 0.1, "loss": None}],
}  # fmt: skip
CONVERTED: dict[str, Any] = {
    **DETECTOR, "labels": {"kind": "multi", "background": False}, "channels": 160, "background_row": "dropped",
    "source": SOURCE,
}  # fmt: skip
HEAD: dict[str, Any] = {
    "sha256": SHA, "kind": "head", "scope": "head",
    "head": {"name": "lfb_nl", "reads": "bank", "banks": ["train", "val"], "standardise": "train", "window": WINDOW,
             "mlp": False, "options": {"layers": 2, "latent": 8, "dropout": 0.2}},
    "backbone": "slowfast_tiny", "width": 8, "input": INPUT, "roi": ROI, "labels": LABELS, "columns": 6, "classes": 5,
    "roi_channels": 160, "bank_channels": 24, "dropout": 0.25, "feature_dropout": 0.1, "threads": 2,
    "producer": SHA, "baseline": SHA, "banks": {"train": SHA, "val": SHA}, "mixed_banks": {"channels": [1, 2]},
    "annotations": SHA, **TRAINED,
}  # fmt: skip
LINEAR: dict[str, Any] = {
    **HEAD, "bank_channels": 0,
    "head": {**HEAD["head"], "name": "linear", "reads": "features", "banks": [], "window": None, "options": {}},
}  # fmt: skip
FOREIGN_BANKS: dict[str, Any] = {**HEAD, "backbone": None, "width": None, "input": None, "roi": None, "baseline": None}
ALL: dict[str, Any] = {**HEAD, "kind": "detector", "scope": "all", "initial_weights": None}
CONVERTED_READER: dict[str, Any] = {
    **{key: value for key, value in ALL.items() if key not in (*TRAINED, "annotations", "initial_weights")},
    "head": {"name": "lfb_max", "mlp": False, "options": {}, "reads": "bank", "standardise": "none",
             "window": {"seconds": 60, "per_second": 5, "mask": "none", "score": 0.9}},
    "labels": {"kind": "multi", "background": False}, "channels": 160, "background_row": "none", "source": SOURCE,
    "producer": None, "baseline": None, "banks": {}, "mixed_banks": {},
}  # fmt: skip
HANDED_ON: dict[str, Any] = {
    "sha256": SHA, "kind": "detector", "scope": "all", "classes": 5, "input": INPUT, "labels": LABELS, "threads": 2,
    "head": {**LINEAR["head"], "name": "baseline", "standardise": "none"}, "detector": BASELINE, "mixed_banks": {},
}  # fmt: skip
RECOGNIZER: dict[str, Any] = {
    "sha256": SHA, "kind": "recognizer", "backbone": "resnet50", "width": 8, "segments": 8, "classes": 5,
    "input": {"short_side": 256, "crop": 224, "mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0]},
    "head": {"name": "trn_multiscale", "dropout": 0.8, "channels": 16, "hidden": 24, "per_scale": 3,
             "test_relations": "all", "relation_seed": 1},
    "initial_weights": {"file": "k.safetensors", "sha256": SHA}, **TRAINED,
}  # fmt: skip
SHAPES = {
    "backbone": BACKBONE, "detector": DETECTOR, "baseline": BASELINE, "converted": CONVERTED, "head": HEAD,
    "linear": LINEAR, "foreign banks": FOREIGN_BANKS, "all": ALL, "converted reader": CONVERTED_READER,
    "recognizer": RECOGNIZER, "handed on": HANDED_ON, "converted and handed on": {**HANDED_ON, "detector": CONVERTED},
}  # fmt: skip
# What a sidecar may lack: it was written before there was the key, or by `convert`, which does not know it.
OPTIONAL = {
    "labels", "labels.kind", "labels.several", "roi.output_size", "roi.temporal", "roi.context", "roi.aligned",
    "input.offset_frames", "head.mlp", "head.options", "head.banks", "head.window.span", "head.window.draw",
    "head.window.exclude_keyframe", "channels", "initial_weights", "parameters", "selected_epoch", "trained_on",
    "history", "annotations", "producer", "baseline", "banks", "mixed_banks", "background_row", "source",
}  # fmt: skip


def checkpoint(value: dict[str, Any], **changes: Any) -> Checkpoint:
    """The checkpoint of a sidecar with some of its keys changed."""
    return Checkpoint.from_json({**value, **changes}, "x.json")


def head_checkpoint() -> Checkpoint:
    """Of a head without a backbone."""
    return checkpoint(HEAD)

"""Settings of a training for tests, with a value for everything that a test does not set."""

from typing import Any

from pipeline.training.settings import BaselineTraining

NESTED = {
    "epochs": "schedule",
    "epoch_steps": "schedule",
    "warmup_epochs": "schedule",
    "warmup_factor": "schedule",
    "warmup_by": "schedule",
    "schedule_decay": "schedule",
    "milestones": "schedule",
    "gamma": "schedule",
    "interval": "validation",
    "select": "checkpoint",
    "patience": "early_stop",
    "min_delta": "early_stop",
}
VALUES: dict[str, Any] = {
    "videos": {"folds": 1, "use": [0]}, "box_threshold": 0.0, "lower_threshold": False, "match_iou": 0.9,
    "augmentation": {
        "short_side": (32, 32), "crop": "none", "flip": 0.0, "colour": 0.0, "box_jitter": 0.0, "max_boxes": 32,
    },
    "loss": {"alpha": 1.0, "gamma": 0.0}, "lr": 0.1, "base_batch": 8, "auto_scale_lr": False, "optimiser": "sgd",
    "momentum": 0.9, "nesterov": False, "weight_decay": 1e-4, "decay": "all", "bias_lr_factor": 1.0,
    "interaction_lr_factor": 1.0, "layer_decay": 1.0, "drop_path": 0.0, "norm": "batch", "clip_norm": 1.0,
    "dropout": 0.5, "global_batch": 8, "bn_batch": 4,
    "schedule": {
        "epochs": 4, "epoch_steps": "pass", "warmup_epochs": 1, "warmup_factor": 0.1, "warmup_by": "iteration",
        "decay": "cosine", "milestones": [], "gamma": 0.1,
    },
    "validation": {"interval": 1, "boxes": "detected", "box_threshold": 0.0}, "checkpoint": {"select": "last"},
    "early_stop": {"patience": 0, "min_delta": 0.0}, "compute_dtype": "fp32", "memory_format": "contiguous",
    "compile": False, "deterministic": False, "threads": 1, "seed": 7,
    "head": {"name": "linear", "mlp": False, "options": {}}, "freeze": "none", "init": "none", "full_frame_box": False,
}  # fmt: skip


def training_settings(**changes: Any) -> BaselineTraining:
    """The settings with `changes`; those of a nested block are named as in `NESTED`, its `decay` as schedule_decay."""
    values = {key: dict(value) if isinstance(value, dict) else value for key, value in VALUES.items()}
    for key, value in changes.items():
        place = values[NESTED[key]] if key in NESTED else values
        place[key.removeprefix("schedule_")] = value
    return BaselineTraining.model_validate(values)

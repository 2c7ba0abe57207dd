"""Small models of the library, with weights of a size that lets every part of them matter."""

from pathlib import Path
from typing import Any

import torch

from pipeline.models.backbones.token_map import ModelType

SHARED = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
SIDES = {"patch_size": 8, "intermediate_size": 32}
OF_KIND: dict[str, dict[str, Any]] = {
    "videomae": {"image_size": 32, "num_frames": 4, "tubelet_size": 2, "use_mean_pooling": False, **SIDES},
    "vjepa2": {
        "crop_size": 32, "frames_per_clip": 4, "tubelet_size": 2, "patch_size": 8,
        "pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1,
    },
    "timesformer": {"image_size": 32, "num_frames": 4, **SIDES},
}  # fmt: skip
NAMES = {"videomae": "VideoMAE", "vjepa2": "VJEPA2", "timesformer": "Timesformer"}


def make_folder(folder: Path, kind: ModelType, **more: Any) -> Any:
    """Write a model's folder; returns the library's model."""
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{NAMES[kind]}Config")(**{**SHARED, **OF_KIND[kind], **more})
    model = getattr(transformers, f"{NAMES[kind]}Model")(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    return model

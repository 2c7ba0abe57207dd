#!/bin/sh
# transformers' V-JEPA 2 with clips of another size than config.crop_size.
#
# One would expect: rotary positions know no table, so that clips of any size are taken; what the model then gives for
#   them is what the same weights give that were told of this size. Or else the size is refused, as VideoMAE does.
# What happens: the clip is taken, and its tokens are numbered by the rows and columns of crop_size. In a clip of half
#   the side, the tokens of four times lie at the places of one: the second time is taken for the second row, and so on.
#   In one of another shape rows begin at other columns. Nothing is said, and the result has the right shape. The same
#   weights loaded with crop_size=SIDE give another result
#   for a square clip. For a clip that is not square no crop_size is right.
# Who meets it: whoever takes features of whole frames (16:9), or of clips of another side than the checkpoint's 256 or
#   384, to save time or to see small things; and who uses the video processor's output with another crop_size.
# What to do: give the model squares, and load it with the side that it will see:
#   VJEPA2Model.from_pretrained(..., crop_size=SIDE).
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
uv venv --quiet --python '>=3.11,<3.13' "$dir/venv"
uv pip install --quiet --python "$dir/venv/bin/python" torch==2.15.0 transformers==5.24.0 numpy==2.4.6
cd "$dir"
HF_HUB_OFFLINE=1 venv/bin/python -W ignore - <<'END'
import sys
from importlib.metadata import version

import torch
from transformers import VJEPA2Config, VJEPA2Model, VideoMAEConfig, VideoMAEModel

print(*(f"{name} {version(name)}" for name in ("torch", "transformers")))
SMALL = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, patch_size=8, tubelet_size=2)


def vjepa2(side):
    """A small V-JEPA 2 that is told of clips of this side; its weights are the same for every side."""
    more = dict(pred_hidden_size=24, pred_num_attention_heads=2, pred_num_hidden_layers=1, frames_per_clip=4)
    model = VJEPA2Model(VJEPA2Config(crop_size=side, **more, **SMALL)).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7, generator=generator)
    return model


def tokens(side, clip):
    with torch.no_grad():
        return vjepa2(side)(clip, skip_predictor=True).last_hidden_state


def positions(side, count):
    """Time, row and column that the model gives to each of its tokens."""
    attention = vjepa2(side).encoder.layer[0].attention
    found = attention.get_position_ids(torch.zeros(1, count, 24))
    return [tuple(int(axis[token]) for axis in found) for token in range(count)]


small = torch.randn(1, 4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
told, untold = tokens(16, small), tokens(32, small)
apart = float((told - untold).norm() / told.norm())
print("a clip of 2 times, 2 rows and 2 columns of tokens, in a model for 4 rows and 4 columns")
print("expected (time, row, column):", [(t, y, x) for t in range(2) for y in range(2) for x in range(2)])
print("the model's:                 ", positions(32, 8))
print(f"tokens, told of the size and not, differ by {apart:.0%} of their length")
wide = [(t, y, x) for t in range(2) for y in range(2) for x in range(4)]
taken = positions(32, 16)
print("a clip of 2 rows and 4 columns: the first token of its second time is at", taken[8], "expected", wide[8])
try:
    VideoMAEModel(VideoMAEConfig(image_size=32, num_frames=4, intermediate_size=32, **SMALL))(small)
    refused = "taken"
except ValueError as error:
    refused = str(error)
print("VideoMAE, for comparison:", refused)
ok = positions(32, 8) == [(0, y, x) for y in range(2) for x in range(4)] and apart > 0.05
ok = ok and taken[8] == (0, 2, 0) and refused.startswith("Input image size (16*16) doesn't match model (32*32)")
print("as described" if ok else "this has changed: look at the script again")
sys.exit(not ok)
END

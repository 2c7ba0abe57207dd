"""Take the weights of a video Hiera out of a state dict of facebookresearch/hiera, whose names are ours."""

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.interop.videomae_files import ReadWeights
from pipeline.models.backbones.hiera import BASE, HieraShape
from pipeline.models.backbones.hiera_tokens import resize_positions

HEAD = "head."
SPATIAL, TEMPORAL = "pos_embed_spatial", "pos_embed_temporal"
# What a masked autoencoder has beside the encoder; its encoder_norm stands behind a sum of all stages.
PRETRAINING = ("mask_token", "decoder_", "encoder_norm.", "multi_scale_fusion_heads.")
LICENCE = "licence: the published weights of Hiera, and what is trained from them, are CC BY-NC 4.0 (no commercial use)"


def is_hiera(keys: Collection[str]) -> bool:
    """Return whether keys are those of a Hiera for clips; one for images has no table of times."""
    return {SPATIAL, TEMPORAL, "patch_embed.proj.weight"} <= set(keys)


def our_key(key: str) -> str | None:
    """Return our name of a key; None for the classifier's."""
    return None if key.startswith(HEAD) else f"backbone.{key}"


def read_hiera(tensors: Mapping[str, Tensor]) -> ReadWeights:
    """Leave out what belongs to a pre-training, and resize the tables of positions to those of clips of 16 x 224 x 224.

    Raises:
        InputError: a table has another shape than [1, positions, channels], or its grid is not square.
    """
    found = ReadWeights(dict(tensors), "", notes=[LICENCE])
    found.drop([key for key in tensors if key.startswith(PRETRAINING)])
    if found.dropped:
        found.notes.append(
            f"{len(found.dropped)} tensors are left out: the decoder of a masked autoencoder and what belongs to it"
        )
    resized, notes = _resized(tensors[SPATIAL], tensors[TEMPORAL])
    found.tensors |= resized
    found.notes += notes
    if found.dropped and "norm.weight" not in tensors:
        channels = tensors[SPATIAL].shape[2] << 3
        found.make("norm.weight", torch.ones(channels))
        found.make("norm.bias", torch.zeros(channels))
        found.notes.append("the pre-training has no final norm: it begins with scale 1 and shift 0")
    return found


def _resized(spatial: Tensor, temporal: Tensor) -> tuple[dict[str, Tensor], list[str]]:
    for key, table in ((SPATIAL, spatial), (TEMPORAL, temporal)):
        if table.dim() != 3 or table.shape[0] != 1 or 0 in table.shape:
            raise InputError(f"{key}: shape is {tuple(table.shape)}, expected (1, positions, channels)")
    side, slices = math.isqrt(spatial.shape[1]), temporal.shape[1]
    if side**2 != spatial.shape[1]:
        raise InputError(
            f"{SPATIAL}: {spatial.shape[1]} positions, expected those of a square clip, as {side}x{side}: weights do "
            "not show the rows and columns of another grid"
        )
    wanted = HieraShape(BASE, 0, 0)
    tables = resize_positions(spatial.float(), temporal.float(), (side, side), (wanted.slices, *wanted.grid))
    notes = []
    if (side, side) != wanted.grid:
        notes.append(f"{SPATIAL} is resized from {side}x{side} to {wanted.grid[0]}x{wanted.grid[1]} cells, bicubically")
    if slices != wanted.slices:
        notes.append(f"{TEMPORAL} is resized from {slices} to {wanted.slices} time slices, linearly")
    return dict(zip((SPATIAL, TEMPORAL), (each.contiguous() for each in tables), strict=True)), notes

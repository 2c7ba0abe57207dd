"""Translate key names of PySlowFast's ResNets and SlowFasts, and of their Caffe2 files, to ours.

This module works on names only; it reads no file.
"""

import re
from collections.abc import Iterable

# s1 is the stem, s2 to s5 are the stages; sN_fuse brings the fast pathway to the slow one after stage N.
_STEM = re.compile(r"s1\.pathway([01])_stem\.(conv|bn)\.(\w+)")
_BLOCK = re.compile(r"s([2-5])\.pathway([01])_res(\d+)\.(branch1|branch2\.[abc])(_bn)?\.(\w+)")
_FUSE = re.compile(r"s([1-4])_fuse\.(conv_f2s|bn)\.(\w+)")
_HEAD = re.compile(r"head\.projection\.(weight|bias)")
_BRANCHES = {"branch1": "downsample", "branch2.a": "conv1", "branch2.b": "conv2", "branch2.c": "conv3"}

# Caffe2 writes _w and _b of a convolution, and _s, _b, _rm, _riv of a batch norm (riv is the variance).
_CAFFE2_NORM = {"s": "weight", "b": "bias", "rm": "running_mean", "riv": "running_var"}
_CAFFE2_CONV = {"w": "weight", "b": "bias"}
_CAFFE2 = [
    (re.compile(r"(t_)?conv1_(w)"), "s1.{path}_stem.conv.{conv}"),
    (re.compile(r"(t_)?res_conv1_bn_(s|b|rm|riv)"), "s1.{path}_stem.bn.{norm}"),
    (re.compile(r"(t_)pool1_subsample_(w)"), "s1_fuse.conv_f2s.{conv}"),
    (re.compile(r"(t_)pool1_subsample_bn_(s|b|rm|riv)"), "s1_fuse.bn.{norm}"),
    (re.compile(r"(t_)res([2-4])_\d+_branch2c_bn_subsample_(w)"), "s{0}_fuse.conv_f2s.{conv}"),
    (re.compile(r"(t_)res([2-4])_\d+_branch2c_bn_subsample_bn_(s|b|rm|riv)"), "s{0}_fuse.bn.{norm}"),
    (re.compile(r"(t_)?res([2-5])_(\d+)_branch1_(w)"), "s{0}.{path}_res{1}.branch1.{conv}"),
    (re.compile(r"(t_)?res([2-5])_(\d+)_branch1_bn_(s|b|rm|riv)"), "s{0}.{path}_res{1}.branch1_bn.{norm}"),
    (re.compile(r"(t_)?res([2-5])_(\d+)_branch2([abc])_(w)"), "s{0}.{path}_res{1}.branch2.{2}.{conv}"),
    (re.compile(r"(t_)?res([2-5])_(\d+)_branch2([abc])_bn_(s|b|rm|riv)"), "s{0}.{path}_res{1}.branch2.{2}_bn.{norm}"),
    (re.compile(r"()pred_(w|b)"), "head.projection.{conv}"),
]
_NO_WEIGHT = re.compile(r"lr|model_iter|epoch|.*_momentum")
_LFB = re.compile(r"(lfb_|nonlocal_conv|box_pooled_fbo|res5_2_branch2c_bn_pooled_fbo).*")


def our_key(key: str, *, pathways: int) -> str | None:
    """Return our name of a PySlowFast key; None if there is no counterpart.

    Args:
        key: a key of the state dict.
        pathways: 1 for a network of one pathway, 2 for SlowFast.
    """
    stem, block, fuse, head = (pattern.fullmatch(key) for pattern in (_STEM, _BLOCK, _FUSE, _HEAD))
    if stem:
        return f"backbone.{_path(stem[1], pathways)}conv1.{stem[2]}.{stem[3]}"
    if block:
        part = f"{_BRANCHES[block[4]]}.{'bn' if block[5] else 'conv'}.{block[6]}"
        return f"backbone.{_path(block[2], pathways)}layer{int(block[1]) - 1}.{block[3]}.{part}"
    if fuse and pathways == 2:
        after = "conv1" if fuse[1] == "1" else f"layer{int(fuse[1]) - 1}"
        return f"backbone.slow_path.{after}_lateral.{'conv' if fuse[2] == 'conv_f2s' else 'bn'}.{fuse[3]}"
    if head:
        return f"head.classifier.{head[1]}"
    return None


def _path(number: str, pathways: int) -> str:
    return "" if pathways == 1 else ("slow_path.", "fast_path.")[int(number)]


def count_pathways(keys: Iterable[str]) -> int:
    """Return 2 if there is a fast pathway, else 1."""
    return 2 if any(key.startswith("s1.pathway1_") for key in keys) else 1


def caffe2_key(name: str) -> str | None:
    """Return PySlowFast's name of a Caffe2 blob; None if there is no counterpart."""
    for pattern, template in _CAFFE2:
        match = pattern.fullmatch(name)
        if match:
            fast, *middle, kind = match.groups()
            return template.format(
                *middle,
                path="pathway1" if fast else "pathway0",
                conv=_CAFFE2_CONV.get(kind),
                norm=_CAFFE2_NORM.get(kind),
            )
    return None


def is_no_weight(name: str) -> bool:
    """Return whether a Caffe2 blob belongs to the training and not to the network."""
    return _NO_WEIGHT.fullmatch(name) is not None


def lfb_blobs(names: Iterable[str]) -> list[str]:
    """Return the Caffe2 blobs of the I3D networks of Long-Term Feature Banks, which we do not have."""
    return [name for name in names if _LFB.fullmatch(name)]

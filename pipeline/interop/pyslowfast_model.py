"""Build the detector that a configuration of PySlowFast describes (the `resolved_config` of a parity fixture)."""

from typing import Any

from pipeline.interop.checked_config import Checked
from pipeline.interop.mmaction2_head import DescribedModel
from pipeline.interop.mmaction2_model import leave_frames_alone
from pipeline.models.backbones.resnet3d import R50, R101, ResNet3d, Stage
from pipeline.models.backbones.slowfast import Pathways, SlowFast
from pipeline.models.detector import Backbone, Detector
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.linear import linear
from pipeline.models.roi import roi_channels
from pipeline.models.settings import RoiSettings

# Temporal kernels of each stage, slow pathway first; the stem of the fast pathway has a kernel of 5 frames.
_KERNELS = {"slow": [[1], [1], [3], [3]], "slowfast": [[1, 3], [1, 3], [3, 3], [3, 3]]}
_BLOCKS = {50: R50, 101: R101}


def describe_pyslowfast(config: Any) -> DescribedModel:
    """Build the detector of a fixture's `resolved_config`, on torch's default device, with any weights.

    Raises:
        InputError: a key has a value that is not supported, or is not known.
    """
    given = Checked(config, "resolved_config")
    given.without_effect("SOLVER", "AVA", "TRAIN", "TEST", "DATA_LOADER")
    norm = given.block("BN")
    norm.fixed("NORM_TYPE", "batchnorm", "sync_batchnorm")
    norm.without_effect(
        "USE_PRECISE_STATS", "NUM_BATCHES_PRECISE", "WEIGHT_DECAY", "NUM_SPLITS", "NUM_SYNC_DEVICES", "GLOBAL_SYNC"
    )
    model = given.block("MODEL")
    arch = model.one_of("ARCH", *_KERNELS)
    model.fixed("MODEL_NAME", "SlowFast" if arch == "slowfast" else "ResNet")
    columns = model.integer("NUM_CLASSES")
    activation = model.one_of("HEAD_ACT", "sigmoid", "softmax")
    model.without_effect(
        "LOSS_FUNC", "SINGLE_PATHWAY_ARCH", "MULTI_PATHWAY_ARCH", "DROPOUT_RATE", "DROPCONNECT_RATE", "FC_INIT_STD",
        "ACT_CHECKPOINT", "DETACH_FINAL_FC", "FROZEN_BN", "FP16_ALLREDUCE",
    )  # fmt: skip
    data = given.block("DATA")
    data.integer("NUM_FRAMES")
    paths = 2 if arch == "slowfast" else 1
    data.fixed("INPUT_CHANNEL_NUM", [3] * paths)
    data.without_effect(*data.values)  # how clips are made; a fixture already has the clip
    backbone = _backbone(given, arch, paths)
    detection = given.block("DETECTION")
    detection.one_of("ENABLE", True)
    detection.one_of("SPATIAL_SCALE_FACTOR", backbone.stride)
    roi = RoiSettings(output_size=detection.integer("ROI_XFORM_RESOLUTION"), aligned=detection.flag("ALIGNED"))
    given.finish()
    settings = HeadSettings(roi_channels=roi_channels(backbone.out_channels, roi), bank_channels=0, classes=columns)
    return DescribedModel(Detector(backbone, linear(settings), roi=roi), columns, activation == "sigmoid")


def _backbone(given: Checked, arch: str, paths: int) -> Backbone:
    resnet = given.block("RESNET")
    resnet.fixed("TRANS_FUNC", "bottleneck_transform")
    resnet.fixed("NUM_GROUPS", 1)
    resnet.fixed("STRIDE_1X1", False)
    resnet.without_effect("INPLACE_RELU", "ZERO_INIT_FINAL_BN", "ZERO_INIT_FINAL_CONV")
    blocks = _BLOCKS[resnet.one_of("DEPTH", *_BLOCKS)]
    width = resnet.integer("WIDTH_PER_GROUP")
    kernels = _per_stage(resnet, "NUM_BLOCK_TEMP_KERNEL", paths)
    strides = _per_stage(resnet, "SPATIAL_STRIDES", paths)
    dilations = _per_stage(resnet, "SPATIAL_DILATIONS", paths)
    for key, values in (("SPATIAL_STRIDES", strides), ("SPATIAL_DILATIONS", dilations)):
        if any(min(each) < 1 or len(set(each)) > 1 for each in values):
            resnet.refuse(key, values, "the same positive numbers in both pathways")
    local = given.block("NONLOCAL")
    local.one_of("LOCATION", [[[]] * paths] * 4)
    local.without_effect(*local.values)  # settings of non-local blocks, of which there are none
    stages = [
        [
            Stage(
                blocks=blocks[number],
                width=width * 2**number,
                stride=strides[number][path],
                temporal_kernel=_KERNELS[arch][number][path],
                dilation=dilations[number][path],
            )
            for number in range(4)
        ]
        for path in range(paths)
    ]
    inflated = [
        [
            [_KERNELS[arch][number][path] > 1 and block < kernels[number][path] for block in range(blocks[number])]
            for number in range(4)
        ]
        for path in range(paths)
    ]
    fusion = given.block("SLOWFAST")
    if arch == "slow":
        fusion.without_effect(*fusion.values)
        slow = ResNet3d(stages[0], stem_width=width, stem_kernel=7)
        leave_frames_alone(slow, inflated[0])
        return slow
    network = SlowFast(stages[0], _pathways(fusion, resnet, width), stem_width=width)
    for path, flags in zip((network.slow_path, network.fast_path), inflated, strict=True):
        leave_frames_alone(path, flags)
    return network


def _pathways(fusion: Checked, resnet: Checked, width: int) -> Pathways:
    beta = fusion.integer("BETA_INV")
    fusion.fixed("FUSION_CONV_CHANNEL_RATIO", 2)
    kernel = fusion.integer("FUSION_KERNEL_SZ")
    if kernel % 2 == 0:
        fusion.refuse("FUSION_KERNEL_SZ", kernel, "an odd number")
    if width % beta:
        resnet.refuse("WIDTH_PER_GROUP", width, f"a multiple of SLOWFAST.BETA_INV {beta}")
    alpha = fusion.integer("ALPHA")
    return Pathways(alpha=alpha, beta=beta, fusion_kernel=kernel, fusion_norm=True, slow_frames="linspace")


def _per_stage(resnet: Checked, key: str, paths: int) -> list[list[int]]:
    """Return one number per pathway for each stage."""
    value = resnet.take(key)
    rows = value if isinstance(value, list) else []
    if len(rows) != 4 or not all(
        isinstance(row, list) and len(row) == paths and all(type(each) is int and each >= 0 for each in row)
        for row in rows
    ):
        resnet.refuse(key, value, f"four lists of {paths} whole numbers")
    return [list(row) for row in rows]

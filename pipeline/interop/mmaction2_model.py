"""Build the detector that a configuration of MMAction2 describes, from its own numbers and not by its name.

The configuration is the `hyper` of a parity fixture: the values that upstream's modules had after construction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.base.errors import InputError
from pipeline.interop.checked_config import Checked
from pipeline.interop.mmaction2_head import DescribedModel, described_detector, described_roi
from pipeline.models.backbones.conv import ConvBN
from pipeline.models.backbones.resnet3d import Bottleneck, ResNet3d, Stage
from pipeline.models.backbones.slowfast import Pathways, SlowFast
from pipeline.models.detector import Backbone

EXPANSION = 4
_BLOCKS = {50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3]}
_NORMS = ("BN3d", "BN", "SyncBN")


@dataclass(frozen=True)
class _Pathway:
    stages: list[Stage]
    width: int
    stem_frames: int
    stem_kernel: int
    inflated: list[list[bool]]
    "For each stage, whether each block has a temporal kernel above 1."

    @property
    def inputs(self) -> list[int]:
        """Return the number of channels that enter each stage."""
        return [self.width, *[stage.width * EXPANSION for stage in self.stages[:3]]]


def leave_frames_alone(network: ResNet3d, inflated: Sequence[Sequence[bool]]) -> None:
    """Give blocks that are not inflated a temporal kernel of 1, in stages whose other blocks have 3.

    Args:
        network: the network to change; the random values of the new kernels do not matter, as weights are loaded later.
        inflated: one flag per block of each stage.
    """
    layers = (network.layer1, network.layer2, network.layer3, network.layer4)
    for layer, flags in zip(layers, inflated, strict=True):
        for block, flag in zip(layer, flags, strict=True):
            if not flag:
                assert isinstance(block, Bottleneck)
                conv = block.conv1.conv
                block.conv1 = ConvBN(conv.in_channels, conv.out_channels, kernel=(1, 1, 1))


def describe_mmaction2(hyper: Any) -> DescribedModel:
    """Build the detector of a fixture's `hyper`, on torch's default device, with any weights.

    Raises:
        InputError: a key has a value that is not supported, or is not known.
    """
    given = Checked(hyper, "hyper")
    if "backbone_type" not in given.values:
        raise InputError("hyper.backbone_type is missing: this is no detector (recognizers such as TRN are not built)")
    kind = given.one_of("backbone_type", "ResNet3dSlowOnly", "ResNet3dSlowFast")
    backbone: Backbone
    frame_step = 1
    if kind == "ResNet3dSlowOnly":
        path = given.block("backbone")
        path.fixed("lateral", False)
        path.fixed("with_pool2", False)
        path.without_effect(*_LATERAL_ONLY)
        slow = _pathway(path)
        backbone = ResNet3d(
            slow.stages, stem_width=slow.width, stem_kernel=slow.stem_kernel, stem_frames=slow.stem_frames
        )
        leave_frames_alone(backbone, slow.inflated)
    else:
        backbone, frame_step = _slowfast(given)
    roi = described_roi(given.block("roi_extractor"), backbone)
    model = described_detector(given, backbone, roi, frame_step)
    given.finish()
    return model


# Keys that have no effect in a pathway without lateral connections into it.
_LATERAL_ONLY = (
    "speed_ratio", "channel_ratio", "fusion_kernel", "lateral_infl", "lateral_activate", "lateral_inplanes",
    "lateral_norm",
)  # fmt: skip


def _pathway(path: Checked) -> _Pathway:
    path.fixed("in_channels", 3)
    path.fixed("num_stages", 4)
    path.fixed("out_indices", [3])
    path.fixed("block", "Bottleneck3d")
    path.fixed("style", "pytorch")
    path.fixed("inflate_style", "3x1x1")
    path.fixed("bn_eps", 1e-5)
    for key in ("conv1_stride_t", "pool1_stride_t"):
        path.fixed(key, 1)
    for key in ("conv1_stride_s", "pool1_stride_s"):
        path.fixed(key, 2)
    path.fixed("with_pool1", True)
    path.fixed("temporal_strides", [1, 1, 1, 1])
    path.without_effect("frozen_stages", "norm_eval", "zero_init_residual", "bn_momentum")
    if "norm_cfg" in path.values:
        _norm(path.block("norm_cfg"))
    depth = path.one_of("depth", *_BLOCKS)
    blocks = path.one_of("stage_blocks", _BLOCKS[depth])
    width = path.integer("base_channels")
    kernel = path.take("conv1_kernel")
    sizes = kernel if isinstance(kernel, list) and len(kernel) == 3 else [0, 0, 0]
    if any(type(size) is not int or size % 2 == 0 for size in sizes) or sizes[1] != sizes[2]:
        path.refuse("conv1_kernel", kernel, "three odd numbers, the last two equal")
    strides, dilations = (_numbers(path, key) for key in ("spatial_strides", "dilations"))
    inflated = _per_block(path, "stage_inflations", blocks)
    non_local = _per_block(path, "non_local_stages", blocks)
    if "non_local_cfg" in path.values:
        _non_local(path.block("non_local_cfg"), used=any(map(any, non_local)))
    elif any(map(any, non_local)):
        path.take("non_local_cfg")
    stages = [
        Stage(
            blocks=blocks[number],
            width=width * 2**number,
            stride=strides[number],
            temporal_kernel=3 if any(inflated[number]) else 1,
            dilation=dilations[number],
            non_local=tuple(place for place, there in enumerate(non_local[number]) if there),
        )
        for number in range(4)
    ]
    return _Pathway(stages, width, stem_frames=sizes[0], stem_kernel=sizes[1], inflated=inflated)


def _numbers(path: Checked, key: str) -> list[int]:
    value = path.take(key)
    if not (isinstance(value, list) and len(value) == 4 and all(type(each) is int and each > 0 for each in value)):
        path.refuse(key, value, "four whole numbers")
    return list(value)


def _per_block(path: Checked, key: str, blocks: list[int]) -> list[list[bool]]:
    """Return one flag per block of each stage, from flags per block or one flag per stage."""
    value = path.take(key)
    if not isinstance(value, list) or len(value) != 4:
        path.refuse(key, value, "four flags, or four lists of flags")
    flags = [each if isinstance(each, list) else [each] * count for each, count in zip(value, blocks, strict=True)]
    lengths = [len(each) for each in flags]
    if lengths != blocks or any(flag not in (0, 1) for each in flags for flag in each):
        path.refuse(key, value, f"0 or 1 for each of {blocks} blocks")
    return [[bool(flag) for flag in each] for each in flags]


def _norm(norm: Checked) -> None:
    norm.fixed("type", *_NORMS)
    norm.without_effect("requires_grad")


def _non_local(given: Checked, *, used: bool) -> None:
    if not used:
        given.without_effect(*given.values)
        return
    given.one_of("sub_sample", True)
    given.fixed("use_scale", True)
    given.fixed("mode", "embedded_gaussian")
    given.fixed("reduction", 2)
    if "norm_cfg" in given.values:
        _norm(given.block("norm_cfg"))


def _slowfast(given: Checked) -> tuple[SlowFast, int]:
    alpha, beta, tau = (given.integer(key) for key in ("speed_ratio", "channel_ratio", "resample_rate"))
    if tau % alpha:
        given.refuse("resample_rate", tau, f"a multiple of the speed_ratio {alpha}")
    slow_given, fast_given = given.block("slow_path"), given.block("fast_path")
    slow_given.fixed("lateral", True)
    slow_given.fixed("speed_ratio", alpha)
    slow_given.fixed("channel_ratio", beta)
    slow_given.fixed("lateral_infl", 2)
    slow_given.fixed("lateral_activate", [1, 1, 1, 1])
    fast_given.fixed("lateral", False)
    fast_given.without_effect(*_LATERAL_ONLY)
    for path in (slow_given, fast_given):
        path.without_effect("with_pool2")  # SlowFast's own forward pass skips this pooling
    kernel, norm = slow_given.integer("fusion_kernel"), slow_given.flag("lateral_norm")
    if kernel % 2 == 0:
        slow_given.refuse("fusion_kernel", kernel, "an odd number")
    slow, fast = _pathway(slow_given), _pathway(fast_given)
    if slow.stem_frames != 1:
        raise InputError(f"{slow_given.where}.conv1_kernel has {slow.stem_frames} frames, supported: 1")
    if [each * beta for each in fast.inputs] != slow.inputs:
        raise InputError(
            f"{fast_given.where}.base_channels is {fast.width}, supported: {slow.width} of the slow pathway / {beta}"
        )
    if [each.stride for each in fast.stages] != [each.stride for each in slow.stages]:
        raise InputError(f"{fast_given.where}.spatial_strides are not those of the slow pathway, as they must be")
    slow_given.fixed("lateral_inplanes", [2 * channels for channels in fast.inputs])
    network = SlowFast(
        slow.stages,
        Pathways(alpha=alpha, beta=beta, fusion_kernel=kernel, fusion_norm=norm),
        stem_width=slow.width,
        stem_kernel=slow.stem_kernel,
    )
    network.fast_path = ResNet3d(
        fast.stages, stem_width=fast.width, stem_kernel=fast.stem_kernel, stem_frames=fast.stem_frames
    )
    leave_frames_alone(network.slow_path, slow.inflated)
    leave_frames_alone(network.fast_path, fast.inflated)
    return network, tau // alpha

"""torchvision's RoIAlign, without the import of torchvision, which takes a second of every process that needs boxes.

The operators are in one compiled library, which is loaded in a millisecond. What torchvision's Python adds to them is
the gradient; here it calls the same operator, so both directions give the same bits.
"""

import functools
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# The names of the compiled library; the first since torchvision 0.29, the second before.
LIBRARIES = ("_C_stable.so", "_C.so")


def roi_align(
    map_BChw: Tensor, rois_R5: Tensor, size: int, *, spatial_scale: float, sampling_ratio: int, aligned: bool
) -> Tensor:
    """Apply `torchvision.ops.roi_align`; see there.

    Args:
        map_BChw: float.
        rois_R5: clip and xyxy of each box, in the type of the map.
        size: cells per side of the result.
        spatial_scale: cells of the map per unit of the boxes.
        sampling_ratio: samples per side of a cell of the result; 0 takes as many as it covers cells of the map.
        aligned: shift boxes by half a cell.

    Returns:
        [R, C, s, s].
    """
    # An exporter imports torchvision itself, and knows the operator by what this registers.
    if "torchvision" in sys.modules or map_BChw.device.type not in ("cpu", "cuda") or not _has_operators():
        from torchvision import ops

        plain: Tensor = ops.roi_align(
            map_BChw, rois_R5, size, spatial_scale=spatial_scale, sampling_ratio=sampling_ratio, aligned=aligned
        )
        return plain
    apply: Callable[..., Tensor] = _RoiAlign.apply if torch.is_grad_enabled() else _operators().roi_align
    return apply(map_BChw, rois_R5, spatial_scale, size, size, sampling_ratio, aligned)


def _operators() -> Any:
    return torch.ops.torchvision


@functools.cache
def _has_operators() -> bool:
    """Load torchvision's compiled library; returns False where it is not where it is expected, or cannot be loaded."""
    found = importlib.util.find_spec("torchvision")  # imports nothing
    for folder in (found.submodule_search_locations or ()) if found else ():
        for library in (Path(folder, name) for name in LIBRARIES):
            if library.is_file():
                try:
                    torch.ops.load_library(library)  # type: ignore[no-untyped-call]
                except OSError:
                    continue
                return hasattr(_operators(), "roi_align") and hasattr(_operators(), "_roi_align_backward")
    return False


class _RoiAlign(torch.autograd.Function):
    """The operator with its gradient by the map; as upstream, boxes have none."""

    @staticmethod
    def forward(ctx: Any, map_BChw: Tensor, rois_R5: Tensor, spatial_scale: float, *sizes: Any) -> Tensor:
        ctx.save_for_backward(rois_R5)
        ctx.shape, ctx.spatial_scale, ctx.sizes = map_BChw.shape, spatial_scale, sizes
        aligned: Tensor = _operators().roi_align(map_BChw, rois_R5, spatial_scale, *sizes)
        return aligned

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_RCss: Tensor) -> tuple[Tensor | None, ...]:
        (rois_R5,) = ctx.saved_tensors
        height, width, sampling_ratio, aligned = ctx.sizes
        grad_BChw = _operators()._roi_align_backward(
            grad_RCss, rois_R5, ctx.spatial_scale, height, width, *ctx.shape, sampling_ratio, aligned
        )
        return grad_BChw, *[None] * 6

"""Small networks with every head, and inputs of any sizes for their ONNX graphs."""

from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from pipeline.interop.onnx_graph import INPUTS, Graph, Port, ports, trace
from pipeline.models.build import build_backbone
from pipeline.models.detector import Detector
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.models.roi import roi_channels
from pipeline.models.settings import Labels, RoiSettings
from pipeline.models.standardise import Standardise, StandardisedHead

SECONDS, PER_SECOND, CLASSES, FRAMES = 6, 2, 5, 16
AIA = {"order": "POM", "latent": 8, "hidden": 8, "persons": 2}
OPTIONS: dict[str, dict[str, Any]] = {
    "linear": {},
    "acrn": {},
    "acar": {"reduced": 8, "hidden": 8, "depth": 1},
    "acar_lfb": {"reduced": 8, "hidden": 8, "depth": 1, "latent": 8},
    "lfb_nl": {"latent": 8},
    "lfb_max": {},
    "lfb_avg": {},
    "lfb_nl_split": {"latent": 8},
    "aia_parallel": AIA,
    "aia_serial": AIA,
    "aia_dense_serial": AIA,
    "aia_split": {"latent": 8, "persons": 2},
}
"Every head; `persons` is below the number of boxes in some clips."
NO_BANK = ("linear", "acrn", "acar")
# clips, boxes, windows, objects, height, width; boxes 5, clips 2, windows 3 and objects 4 are traced.
SIZES = ((2, 3, 2, 3, 48, 64), (1, 0, 1, 2, 48, 64), (1, 1, 1, 1, 64, 48), (3, 9, 9, 5, 64, 80), (4, 7, 4, 0, 48, 48))


def small_head(head: str, channels: int, *, mask: Any = "valid") -> Head:
    """A head whose weights all count: those that begin at 0 are drawn too."""
    torch.manual_seed(0)
    window: dict[str, Any] = {} if head in NO_BANK else {"window_seconds": SECONDS, "per_second": PER_SECOND}
    settings = HeadSettings(
        roi_channels=channels,
        bank_channels=channels if window else 0,
        map_channels=channels,
        classes=CLASSES,
        mask=mask,
        objects=3 if head.startswith("aia") else 0,
        **window,
    )
    made = build_head(head, settings, OPTIONS[head])
    for name, value in made.named_parameters():
        if "classifier" not in name and value.dim() > 1 and not value.any():
            nn.init.normal_(value, std=value.shape[-1] ** -0.5)
    return made.eval()


def small_detector(head: str, backbone: str, *, roi: RoiSettings | None = None, mask: Any = "valid") -> Detector:
    """A detector of width 8; as in a trained one, the batch norms have the statistics of clips."""
    torch.manual_seed(0)
    network, roi = build_backbone(backbone, width=8), roi or RoiSettings()
    detector = Detector(network, small_head(head, roi_channels(network.out_channels, roi), mask=mask), roi=roi)
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = 1.0
    graph = Graph(detector.train(), Labels())
    with torch.no_grad():
        graph(inputs_of(ports(INPUTS, graph.names(), sizes_of(detector.roi_channels)), SIZES[3]))
    return detector.eval()


def standardised(head: Head, channels: int) -> StandardisedHead:
    """The head with statistics of its own for persons and rows."""
    generator = torch.Generator().manual_seed(1)
    parts = [
        Standardise(torch.randn(channels, generator=generator), torch.rand(channels, generator=generator) + 0.5)
        for _ in range(2)
    ]
    return StandardisedHead(head, roi=parts[0], bank=parts[1]).eval()


def inputs_of(listed: list[Port], sizes: tuple[int, ...], seed: int = 0) -> dict[str, Tensor]:
    """Random inputs of these ports; boxes lie in the frame and over its edge, and some windows are empty."""
    clips, boxes, windows, objects, height, width = sizes
    known = {"clips": clips, "boxes": boxes, "windows": windows, "objects": objects, "height": height, "width": width}
    generator = torch.Generator().manual_seed(seed)
    given = {}
    for port in listed:
        shape = [known[size] if isinstance(size, str) else size for size in port.shape]
        if port.type == "bool":
            given[port.name] = torch.rand(shape, generator=generator) > 0.4
            given[port.name][-1] = False
        elif port.type == "int64":
            given[port.name] = torch.randint(clips, shape, generator=generator)
        elif port.name in ("boxes", "object_boxes"):
            first = torch.rand([*shape[:-1], 2], generator=generator) * 0.8 - 0.1
            size = torch.rand([*shape[:-1], 2], generator=generator) * 0.6
            given[port.name] = torch.cat([first, first + size], dim=-1) * torch.tensor([width, height] * 2)
        else:
            given[port.name] = torch.randn(shape, generator=generator)
    for rows, mask in (("window_rows", "window_mask"), ("object_boxes", "object_mask"), ("object_rows", "object_mask")):
        if rows in given:
            given[rows] = given[rows] * given[mask][..., None]
    if "window_owner" in given:  # all persons of a window are of one clip
        given["window_owner"] = given["clip_index"].clone() if windows == clips else torch.arange(boxes)
    return given


def sizes_of(channels: int) -> dict[str, int]:
    """The sizes that the settings of these small networks fix."""
    return {
        "FRAMES": FRAMES, "CHANNELS": channels, "BANK": channels, "SLOTS": SECONDS * PER_SECOND,
        "CLASSES": CLASSES, "COLUMNS": CLASSES,
    }  # fmt: skip


def session_of(data: bytes) -> Any:
    """onnxruntime with the model, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


class Exported:
    """A network, its graph in onnxruntime, and the ports of both."""

    def __init__(
        self, network: Detector | Head | StandardisedHead, channels: int, labels: Labels | None = None
    ) -> None:
        self.graph = Graph(network, labels or Labels())
        sizes = sizes_of(channels)
        model, self.used, self.outputs = trace(self.graph, sizes, lambda inputs, outputs: {})
        self.data: bytes = model.SerializeToString(deterministic=True)
        self.every = ports(INPUTS, self.graph.names(), sizes)
        self.session = session_of(self.data)

    def largest_difference(self, sizes: tuple[int, ...]) -> float:
        """The largest difference (see `share`) of any output from the network's own."""
        given = inputs_of(self.every, sizes)
        with torch.no_grad():
            expected = [each.numpy() for each in self.graph(given)]
        found = self.session.run(None, {port.name: given[port.name].numpy() for port in self.used})
        assert [each.shape for each in found] == [each.shape for each in expected]
        assert all(np.isfinite(each).all() for each in found)
        return max(share(one, other) for one, other in zip(found, expected, strict=True))


def share(found: Any, expected: Any) -> float:
    """The largest difference, as a share of the largest expected value where that is above 1."""
    return float(np.abs(found - expected).max(initial=0) / np.abs(expected).max(initial=1))

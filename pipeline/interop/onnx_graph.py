"""Trace a detector, or a head on stored features, into an ONNX graph with named inputs and open sizes.

What docs/export.md says about the inputs and outputs is held here, once: `INPUTS` and `OUTPUTS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.base.errors import InputError, how_to_install
from pipeline.models.context import BankWindow, Context, ObjectBoxes, ObjectRows
from pipeline.models.detector import Detector
from pipeline.models.heads.head import Head
from pipeline.models.scores import action_scores
from pipeline.models.settings import Labels
from pipeline.models.standardise import StandardisedHead

OPSET = 20
# Sizes while tracing. They differ, so that none is taken for another, and none is 0 or 1, which would be kept as it is.
SAMPLE = {"boxes": 5, "clips": 2, "windows": 3, "objects": 4, "height": 96, "width": 160}
REMEDY = "its forward may not ask for len() or int() of a tensor, nor branch on values"


@dataclass(frozen=True)
class Port:
    """An input or an output of the graph."""

    name: str
    type: str
    "float32, int64 or bool."
    shape: tuple[int | str, ...]
    "A word is a size that is open, or is filled in by the model's settings (in capitals)."
    meaning: str


INPUTS = (
    Port("clips", "float32", ("clips", 3, "FRAMES", "height", "width"), "RGB, (value - mean) / std of values 0 to 255"),
    Port("boxes", "float32", ("boxes", 4), "x1, y1, x2, y2 of each person, in pixels of the clip"),
    Port("persons", "float32", ("boxes", "CHANNELS"), "feature of each person"),
    Port("clip_index", "int64", ("boxes",), "clip (keyframe) of each person, from 0"),
    Port("window_rows", "float32", ("windows", "SLOTS", "BANK"), "rows of the bank in order of time, empty slots 0"),
    Port("window_mask", "bool", ("windows", "SLOTS"), "true where a slot holds a row"),
    Port("window_owner", "int64", ("boxes",), "window of each person, from 0"),
    Port("object_boxes", "float32", ("clips", "objects", 4), "boxes of objects as boxes, the best first, then zeros"),
    Port("object_rows", "float32", ("clips", "objects", "CHANNELS"), "features of objects, the best first, then zeros"),
    Port("object_mask", "bool", ("clips", "objects"), "true where a place holds an object"),
)
OUTPUTS = (
    Port("scores", "float32", ("boxes", "CLASSES"), "score of each action in [0, 1]; column c is action id c + 1"),
    Port("logits", "float32", ("boxes", "COLUMNS"), "what the scores are made of"),
    Port("features", "float32", ("boxes", "CHANNELS"), "feature of each person, as a bank stores it"),
)
Tell = Callable[[list[Port], list[Port]], Mapping[str, str]]
OF_DETECTOR = ("clips", "boxes", "clip_index")
OF_HEAD = ("persons", "clip_index")
OF_WINDOW = ("window_rows", "window_mask", "window_owner")


class Graph(nn.Module):
    """A network that takes the tensors of `INPUTS` by name and returns those of `OUTPUTS`."""

    def __init__(self, network: Detector | Head | StandardisedHead, labels: Labels) -> None:
        super().__init__()
        self.network = network
        self.labels = labels

    def names(self) -> list[str]:
        """Return the inputs that the network takes, in order."""
        of_clips = isinstance(self.network, Detector)
        needs = self.network.head.needs if isinstance(self.network, Detector) else self.network.needs
        names = [*(OF_DETECTOR if of_clips else OF_HEAD), *(OF_WINDOW if "window" in needs else ())]
        return [*names, *(("object_boxes" if of_clips else "object_rows", "object_mask") if "objects" in needs else ())]

    def forward(self, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Return scores and logits and, of a detector, features, for the inputs `given` by name."""
        window, objects = None, None
        if "window_rows" in given:
            stored, mask, owner = (given[name] for name in OF_WINDOW)
            window = BankWindow(stored, mask, owner)
        if isinstance(self.network, Detector):
            kept: list[Tensor] = []
            if "object_boxes" in given:
                objects = ObjectBoxes(given["object_boxes"], given["object_mask"])
            logits = self.network(*(given[name] for name in OF_DETECTOR), window, objects, kept.append)
            return action_scores(logits, self.labels), logits, kept[0]
        rows = ObjectRows(given["object_rows"], given["object_mask"]) if "object_rows" in given else None
        logits = self.network(given["persons"], Context(given["clip_index"], window, None, rows))
        return action_scores(logits, self.labels), logits


def ports(listed: tuple[Port, ...], names: list[str], sizes: Mapping[str, int]) -> list[Port]:
    """Return the inputs or outputs of these names, with the sizes that the settings fix (`CHANNELS`) filled in."""
    known = {port.name: port for port in listed}
    return [
        Port(
            name, known[name].type, tuple(sizes.get(str(size), size) for size in known[name].shape), known[name].meaning
        )
        for name in names
    ]


def trace(graph: Graph, sizes: Mapping[str, int], tell: Tell) -> tuple[Any, list[Port], list[Port]]:
    """Trace a graph in evaluation mode.

    Args:
        graph: on the CPU.
        sizes: of what the settings fix: FRAMES, CHANNELS, BANK, SLOTS, CLASSES, COLUMNS.
        tell: what the model's metadata shall hold, given its inputs and outputs.

    Returns:
        The model (onnx `ModelProto`), its inputs and its outputs. Inputs that nothing reads are left out.

    Raises:
        InputError: a package is absent, or the network cannot be traced with these sizes open.
    """
    onnx_ir = need_packages()
    inputs = ports(INPUTS, graph.names(), sizes)
    try:
        with torch.no_grad():
            program = torch.export.export(
                graph.eval(),
                ({port.name: _sample(port) for port in inputs},),
                dynamic_shapes=({port.name: _open(port) for port in inputs},),
                strict=False,
            )
        outputs = ports(OUTPUTS, ["scores", "logits", "features"][: len(program.graph_signature.user_outputs)], sizes)
        names = [each.name for each in outputs]
        written = torch.onnx.export(program, output_names=names, opset_version=OPSET, verbose=False)
        assert written is not None  # it is, with the exporter that takes a traced program
        model = written.model
    except Exception as error:  # what a network of a user does in its forward can fail in any way
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"cannot be traced: {reason}; {REMEDY}") from error
    _tidy(model)
    used = [port for port, value in zip(inputs, model.graph.inputs, strict=True) if value.uses()]
    for value in [each for each in model.graph.inputs if not each.uses()]:
        model.graph.inputs.remove(value)
    _name_sizes(onnx_ir, model.graph.inputs, used)
    _name_sizes(onnx_ir, model.graph.outputs, outputs)
    model.metadata_props.update(tell(used, outputs))
    proto = onnx_ir.to_proto(model)
    del proto.graph.value_info[:]  # sizes in between, by other names; every reader works them out for itself
    return proto, used, outputs


def need_packages() -> Any:
    """Import what writes ONNX.

    Raises:
        InputError: a package is absent.
    """
    try:
        import onnx_ir
        import onnxscript  # noqa: F401
        import torchvision  # noqa: F401  registers RoIAlign; the exporter does not know it otherwise
    except ImportError as error:
        raise InputError(f"--onnx needs the package {error.name}; {how_to_install('onnx')}") from None
    return onnx_ir


def _sample(port: Port) -> Tensor:
    shape = [SAMPLE.get(size, 0) if isinstance(size, str) else size for size in port.shape]
    types = {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool}
    return torch.zeros(shape, dtype=types[port.type])


def _open(port: Port) -> dict[int, Any]:
    return {axis: torch.export.Dim.DYNAMIC for axis, size in enumerate(port.shape) if isinstance(size, str)}


def _tidy(model: Any) -> None:
    """Take out what tells of the machine that traced: paths of files, with every step."""
    for each in (model, model.graph, *model.graph.inputs, *model.graph.all_nodes()):
        each.metadata_props.clear()
    for node in model.graph.all_nodes():
        for value in node.outputs:
            value.metadata_props.clear()


def _name_sizes(onnx_ir: Any, values: Any, named: list[Port]) -> None:
    """Name the open sizes, and add what each value means.

    Raises:
        InputError: the graph has fixed a size that must be open.
    """
    for value, port in zip(values, named, strict=True):
        for found, size in zip(value.shape, port.shape, strict=True):
            if isinstance(size, str) and isinstance(found, int):
                raise InputError(f"cannot be traced: {size} of {port.name} would be {found} for ever; {REMEDY}")
        value.shape = onnx_ir.Shape(port.shape)
        value.name, value.doc_string = port.name, port.meaning

#!/bin/sh
# torch.onnx.export (and torch.export below it) with example inputs of which two are the same tensor.
#
# One would expect: example inputs show types and sizes; which values they hold, and which tensor object holds them, makes
#   no difference to the graph.
# What happens: where one tensor is given for two inputs, the graph computes with one of the two alone, without a word.
#   Both are still inputs of the model, by their names; what is fed to the first is ignored. a * 10 + b for a = 1 and b = 2
#   becomes 22. With a copy of the tensor as the second example it is 12, and two different tensors with equal values
#   are fine as well.
# Who meets it: whoever exports a network that takes several index tensors, which in an example are often one and the same:
#   the clip of each person and the window of each person; query, key and value of an attention; token types and positions.
#   The check that is usual afterwards, onnxruntime against torch on the example inputs, passes.
# What to do: give every input a tensor of its own (`x.clone()`), and compare on other inputs than the example's.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
uv venv --quiet --python '>=3.11,<3.13' "$dir/venv"
uv pip install --quiet --python "$dir/venv/bin/python" \
    torch==2.15.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$dir"
venv/bin/python -W ignore - <<'END'
import logging
import sys
from importlib.metadata import version

logging.disable(logging.WARNING)  # torchvision is not there
import numpy as np
import onnxruntime
import torch

print(*(f"{name} {version(name)}" for name in ("torch", "onnxscript", "onnxruntime")))


class Sum(torch.nn.Module):
    def forward(self, a, b):
        return a * 10 + b


def answer(first, second):
    """What the exported model gives for a = 1 and b = 2, and the names of its inputs."""
    program = torch.onnx.export(Sum(), (first, second), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    feed = {"a": np.float32([1]), "b": np.float32([2])}
    return float(session.run(None, feed)[0][0]), [each.name for each in session.get_inputs()]


same = torch.ones(1)
seen = {"two tensors": answer(same, same.clone()), "the same tensor twice": answer(same, same)}
print("expected 12.0, as the module itself gives:", float(Sum()(torch.ones(1), 2 * torch.ones(1))))
for name, (value, inputs) in seen.items():
    print(f"{name}: {value}, inputs {', '.join(inputs)}")
ok = seen == {"two tensors": (12.0, ["a", "b"]), "the same tensor twice": (22.0, ["a", "b"])}
print("as described" if ok else "this has changed: look at the script again")
sys.exit(not ok)
END

import subprocess
import sys

import pytest
import torch

from pipeline.models import roi_align as module
from pipeline.models.roi_align import roi_align

# In a process of its own: elsewhere in the tests torchvision is imported, and then its own function is called.
SAME_BITS = """
import sys
import torch
from pipeline.models.roi_align import roi_align

torch.manual_seed(0)
x = torch.randn(2, 3, 14, 20)
corners = torch.rand(40, 2) * 20
rois = torch.cat([torch.arange(40)[:, None] % 2, corners, corners + torch.rand(40, 2) * 9 - 0.5], 1)
weights = torch.randn(40, 3, 7, 7)
settings = [(1.0, 0, True), (0.5, 2, False)]

def both(align):
    made = []
    for scale, ratio, aligned in settings:
        t = x.clone().requires_grad_()
        y = align(t, rois, 7, spatial_scale=scale, sampling_ratio=ratio, aligned=aligned)
        (y * weights).sum().backward()
        with torch.no_grad():
            z = align(t, rois, 7, spatial_scale=scale, sampling_ratio=ratio, aligned=aligned)
        made += [y.detach(), z, t.grad]
    return made

ours = both(roi_align)
small = x[:, :1, :5, :6].double().requires_grad_()
settings_2 = dict(spatial_scale=0.3, sampling_ratio=0, aligned=True)
assert torch.autograd.gradcheck(lambda t: roi_align(t, rois[:5].double(), 2, **settings_2), small)
assert "torchvision" not in sys.modules
from torchvision import ops
assert all(map(torch.equal, ours, both(ops.roi_align)))
assert all(map(torch.equal, ours, both(roi_align)))
print("same")
"""


def test_it_is_torchvisions_to_the_bit_in_both_directions_without_its_import() -> None:
    done = subprocess.run([sys.executable, "-c", SAME_BITS], capture_output=True, text=True, check=False)
    assert done.stdout == "same\n", done.stderr


@pytest.mark.parametrize("libraries", [("absent.so",), ("__init__.py",)])
def test_where_the_library_cannot_be_loaded_torchvision_is_imported(
    libraries: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIBRARIES", libraries)
    module._has_operators.cache_clear()
    assert not module._has_operators()
    module._has_operators.cache_clear()
    rois = torch.tensor([[0.0, 0, 0, 4, 4]])
    found = roi_align(torch.ones(1, 1, 4, 4), rois, 2, spatial_scale=1, sampling_ratio=0, aligned=True)
    assert torch.equal(found, torch.ones(1, 1, 2, 2))

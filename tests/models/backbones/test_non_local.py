import torch
from torch import nn

from pipeline.models.backbones.non_local import NonLocal


def _block(channels: int = 6) -> NonLocal:
    """In float64 and eval mode, every weight drawn at random so that all of it counts."""
    torch.manual_seed(0)
    block = NonLocal(channels).double().eval()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    return block


def _plain(block: NonLocal, x: torch.Tensor) -> torch.Tensor:
    """The published formula, cell by cell."""
    pool = nn.MaxPool3d((1, 2, 2))
    theta, phi, g = (block.get_submodule(name) for name in ("theta.conv", "phi.0.conv", "g.0.conv"))
    query = theta(x).flatten(2)
    key, value = (pool(conv(x)).flatten(2) for conv in (phi, g))
    found = torch.zeros_like(query)
    for cell in range(query.shape[2]):
        weight = ((query[:, :, cell, None] * key).sum(dim=1) / query.shape[1] ** 0.5).softmax(dim=1)
        found[:, :, cell] = (value * weight[:, None]).sum(dim=2)
    out = block.conv_out(found.view(len(x), -1, *x.shape[2:]))
    return torch.as_tensor(x + out)


def test_it_computes_the_published_formula() -> None:
    block = _block()
    x = torch.randn(2, 6, 3, 5, 7, dtype=torch.float64)
    assert torch.allclose(block(x), _plain(block, x), atol=1e-10)


def test_any_frame_and_cell_reaches_any_other() -> None:
    block = _block()
    x = torch.randn(1, 6, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    block(x)[0, 0, 0, 0, 0].backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(dim=(0, 1, 3, 4)) > 0).all()


def test_it_begins_as_the_identity_and_learns_from_the_second_step_on() -> None:
    block = NonLocal(8)
    x = torch.rand(2, 8, 2, 4, 4)
    assert torch.equal(block(x), x)
    optimiser = torch.optim.SGD(block.parameters(), lr=1.0)
    for _ in range(2):
        optimiser.zero_grad()
        block(x).square().sum().backward()
        optimiser.step()
    grads = {name: each.grad for name, each in block.named_parameters()}
    # A softmax does not mind what is added to all its logits, so the bias of the keys has no gradient but rounding.
    del grads["phi.0.conv.bias"]
    assert all(each is not None and each.abs().sum() > 0 for each in grads.values())


def test_gradients() -> None:
    block = _block(4)
    x = torch.randn(1, 4, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (x,))

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.pool import FrameMaxPool, align_boxes, align_by_matrices, mean_by_matrices, mean_cells


def gradient(y: Tensor, x: Tensor) -> Tensor:
    weights = torch.sin(torch.arange(y.numel(), dtype=y.dtype)).view_as(y)
    return torch.autograd.grad((y * weights).sum(), x)[0]


@pytest.mark.parametrize("settings", [{"kernel": 3, "stride": 2, "padding": 1}, {"kernel": 2, "stride": 2}])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last_3d])
def test_pooling_frame_by_frame_is_the_same_pool(settings: dict[str, int], memory: torch.memory_format) -> None:
    torch.manual_seed(0)
    # Few values, so that there are ties: both take the first.
    x = torch.randint(0, 4, (2, 3, 4, 9, 12)).double().contiguous(memory_format=memory).requires_grad_()
    pool = FrameMaxPool(**settings)
    padding, stride = settings.get("padding", 0), settings["stride"]
    plain = nn.MaxPool3d((1, settings["kernel"], settings["kernel"]), (1, stride, stride), (0, padding, padding))
    for found in (pool(x), pool.by_frame(x)):
        assert torch.equal(found, plain(x))
        torch.testing.assert_close(gradient(found, x), gradient(plain(x), x), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("height", "width", "size"), [(16, 16, 8), (14, 25, 8), (3, 5, 8), (7, 7, 7), (6, 4, 1)])
def test_the_mean_of_cells_by_matrices_is_the_same_mean(height: int, width: int, size: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    plain = F.adaptive_avg_pool2d(x, size)
    assert torch.equal(mean_cells(x, size), plain)
    found = mean_by_matrices(x, size)
    torch.testing.assert_close(found, plain, atol=1e-12, rtol=0)
    torch.testing.assert_close(gradient(found, x), gradient(plain, x), atol=1e-12, rtol=0)


BOXES = torch.tensor(
    [
        [3.0, 5, 100, 120], [10, 10, 300, 200], [0, 0, 320, 224], [0, 0, 3, 3],
        [5, 5, 5, 20], [31, 31, 31, 31],  # without area, as a crop leaves them
        [-5, -5, 400, 400], [200, 100, 900, 300], [-90, -90, -20, -20],  # beyond the map
    ],
    dtype=torch.float64,
)  # fmt: skip


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("size", [8, 3])
def test_aligning_boxes_by_matrices_is_the_same_alignment(aligned: bool, size: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 14, 20, dtype=torch.float64, requires_grad=True)
    clip_index = torch.arange(len(BOXES)) % 2
    plain, found = (
        each(x, BOXES, clip_index, size, stride=16, aligned=aligned) for each in (align_boxes, align_by_matrices)
    )
    torch.testing.assert_close(found, plain, atol=1e-9, rtol=0)
    torch.testing.assert_close(gradient(found, x), gradient(plain, x), atol=1e-9, rtol=0)
    none = align_by_matrices(x, BOXES[:0], clip_index[:0], size, stride=16, aligned=aligned)
    assert none.shape == (0, 3, size, size)


@pytest.mark.gpu
def test_gradients_are_deterministic_on_cuda() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.manual_seed(0)
    x = torch.randn(2, 8, 4, 56, 56, device="cuda", requires_grad=True)
    torch.use_deterministic_algorithms(True)
    try:
        boxes, index = BOXES.float().cuda(), torch.arange(len(BOXES), device="cuda") % 2
        for pool in (
            FrameMaxPool(3, stride=2, padding=1),
            lambda x: mean_cells(x.mean(2), 8),
            lambda x: align_boxes(x.mean(2), boxes, index, 8, stride=4, aligned=True),
        ):
            first, second = (torch.autograd.grad(pool(x).square().sum(), x)[0] for _ in range(2))
            assert torch.equal(first, second)
    finally:
        torch.use_deterministic_algorithms(False)

"""Project each row of the bank once for all windows that it is in, while one head scores many.

Windows of neighbouring keyframes share nearly all their rows. Each row is projected by itself, so that what it becomes
does not depend on the rows beside it: libraries round a product of matrices by its size.

Shape suffixes of names: W windows, L slots of a window, n rows, C channels of a row, d latent channels.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.models.context import BankWindow, KeptRows, Placed, Projections


def project_windows(window: BankWindow, project: nn.Linear, kept: KeptRows) -> BankWindow:
    """Return the windows with a table of rows W x, [d], in place of rows x, [C]; the bias is not added.

    A row that this call or the one before has read under the same number is not projected again. Windows without
    numbers share nothing.

    Args:
        window: on a CPU, without dropped values, which are of training.
        project: has the weight W, which must stay as it is while `kept` is used.
        kept: gets the projected rows.
    """
    numbers_WL = _numbers(window)
    wanted, place = np.unique(numbers_WL, return_index=True)
    wanted, place = wanted[wanted != 0], place[wanted != 0]
    shared = window.numbers is not None
    last = kept.of.get(project) if shared else None
    numbers = wanted if last is None else np.union1d(wanted, last.asked)
    rows_nd = project.weight.new_zeros(1 + len(numbers), len(project.weight))
    new = np.ones(len(numbers), bool)
    if last is not None:
        new = np.isin(numbers, last.numbers, invert=True)
        rows_nd[1 + torch.from_numpy(np.flatnonzero(~new))] = last.rows[
            1 + np.searchsorted(last.numbers, numbers[~new])
        ]
    if new.any():
        first = place[np.searchsorted(wanted, numbers[new])]
        rows_nd[1 + torch.from_numpy(np.flatnonzero(new))] = _project(
            _rows(window, torch.from_numpy(first), rows_nd.dtype), project
        )
    if shared:
        kept.of[project] = Projections(numbers, rows_nd, wanted)
    slots_WL = np.where(numbers_WL == 0, 0, np.searchsorted(numbers, numbers_WL) + 1)
    return BankWindow(
        rows_nd, window.mask, window.owner, torch.from_numpy(slots_WL), placed=_project_placed(window.placed, project)
    )


def _numbers(window: BankWindow) -> NDArray[np.int64]:
    """Return the number of the row in each slot, [W, L]; 0 where the slot holds none of the bank's."""
    if window.numbers is not None:
        numbers_WL = window.numbers.numpy().copy()
    else:
        numbers_WL = np.where(window.mask.numpy(), 1 + np.arange(window.mask.numel()).reshape(window.mask.shape), 0)
    if window.placed is not None:
        numbers_WL[:, window.placed.slots] = 0
    return numbers_WL


def _rows(window: BankWindow, place: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the rows in some slots, which are counted through all windows, as they are read: [n, C]."""
    if window.slots is not None:
        rows_nC = window.stored[window.slots.flatten()[place]]
    else:
        rows_nC = window.stored.flatten(0, 1)[place]
    if window.mean is None or window.std is None:
        return rows_nC
    return rows_nC.to(dtype).sub_(window.mean.to(dtype)).div_(window.std.to(dtype))


def _project(rows_nC: Tensor, project: nn.Linear) -> Tensor:
    """Return W x for each row x, [n, d]."""
    weight = project.weight
    found_nd = weight.new_empty(len(rows_nC), len(weight))
    # The same memory for every row: some libraries also round by where it lies.
    row_C, found_d = weight.new_empty(weight.shape[1]), weight.new_empty(len(weight))
    with torch.autocast("cpu", enabled=False):
        for row, found in zip(rows_nC, found_nd, strict=True):
            torch.mv(weight, row_C.copy_(row), out=found_d)
            found.copy_(found_d)
    return found_nd


def _project_placed(placed: Placed | None, project: nn.Linear) -> Placed | None:
    if placed is None:
        return None
    rows_nd = _project(placed.rows.flatten(0, 1), project)
    return Placed(placed.slots, torch.unflatten(rows_nd, 0, placed.rows.shape[:2]))

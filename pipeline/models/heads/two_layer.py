"""Two hidden layers before the classifier, as every head of AlphAction has (Tang et al. 2020).

Shape suffixes of names: R persons, C channels, h hidden channels.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.models.context import Context
from pipeline.models.heads.head import Head, HeadSettings, pool_persons


class TwoLayers(nn.Module):
    """Two linear layers, each with a ReLU."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, hidden)

    def forward(self, roi: Tensor, context: Context) -> Tensor:
        """RoI features (see `Head`) -> [R, hidden]; it reads nothing of the context."""
        hidden_Rh: Tensor = F.relu(self.fc2(F.relu(self.fc1(pool_persons(roi)))))
        return hidden_Rh


def two_layers(settings: HeadSettings, *, head: str, hidden: int) -> TwoLayers:
    """Build the layers of a head that is called `head` in messages.

    Raises:
        InputError: `hidden` is below 1.
    """
    if hidden < 1:
        raise InputError(f"head {head}: hidden is {hidden}, expected at least 1")
    return TwoLayers(settings.roi_channels, hidden)


def two_layer(settings: HeadSettings, *, hidden: int = 1024) -> Head:
    """Build two hidden layers, dropout and a linear layer (AlphAction's baselines). It reads no bank.

    Args:
        settings: see `HeadSettings`; dropout acts before the last layer alone.
        hidden: channels of both layers.

    Raises:
        InputError: `hidden` is below 1.
    """
    return Head(two_layers(settings, head="two_layer", hidden=hidden), settings, channels=hidden)

"""The head `tsn`: the mean of the segments, which does not know their order (Wang et al. 2016).

Shape suffixes of names: B views, S segments, C channels, K classes.
"""

from torch import Tensor, nn

from pipeline.models.relations import Relations

INIT_STD = 0.01
"Deviation of the classifier's first weights (MMAction2 `TSNHead`)."


class MeanHead(nn.Module):
    """The mean of the segments' features, dropout and a classifier (MMAction2 `TSNHead` with `AvgConsensus`)."""

    def __init__(self, inputs: int, *, classes: int, dropout: float) -> None:
        """Build the head; weights are drawn from torch's global generator.

        Args:
            inputs: channels of the backbone.
            classes: columns of the logits.
            dropout: of the mean.
        """
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(inputs, classes)
        start_small(self.classifier, INIT_STD)

    def forward(self, features_BSC: Tensor, relations: Relations | None = None) -> Tensor:
        """[B, S, C] -> logits [B, K]; this head has no relations."""
        logits_BK: Tensor = self.classifier(self.dropout(features_BSC.mean(dim=1)))
        return logits_BK


def start_small(layer: nn.Linear, deviation: float) -> None:
    """Draw a layer's weights from N(0, deviation); its bias is 0."""
    if not layer.weight.is_meta:
        nn.init.normal_(layer.weight, 0.0, deviation)
        nn.init.zeros_(layer.bias)

"""The heads `trn` and `trn_multiscale`: relations between frames in the order of time (Zhou et al. 2018).

Shape suffixes of names: B views, S segments, C channels of the backbone, D of a segment's vector, R relations of a
scale, s segments of a relation, K classes.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.models.heads.tsn import start_small
from pipeline.models.recognition_settings import TestRelations
from pipeline.models.relations import Relations, all_relations, count_relations, drawn_relations, fixed_relations

INIT_STD = 0.001
"Deviation of the projection's first weights (MMAction2 `TRNHead`); the layers of relations have PyTorch's."
MOST_RELATIONS = 4096
"Those of 12 segments: so many can be added up for every clip."


class Relation(nn.Module):
    """The layers that score one relation of a scale: ReLU, linear, ReLU, linear."""

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, hidden)
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, together: Tensor) -> Tensor:
        """[..., s * D], after its ReLU -> logits [..., K]."""
        logits: Tensor = self.classifier(F.relu(self.hidden(together)))
        return logits


class RelationHead(nn.Module):
    """Dropout and a projection of each segment, and the sum of the scores of relations (MMAction2 `TRNHead`).

    In training the relations of each forward pass are drawn from torch's global generator, which the training loop
    seeds with the seed, the epoch, the step and the part. In testing the settings say which are taken.
    """

    def __init__(
        self,
        inputs: int,
        *,
        segments: int,
        scales: Sequence[int],
        widths: tuple[int, int],
        classes: int,
        dropout: float,
        test_relations: TestRelations = "fixed",
        draws: tuple[int, int] = (3, 0),
    ) -> None:
        """Build the head; weights are drawn from torch's global generator.

        Args:
            inputs: channels of the backbone.
            segments: S.
            scales: numbers of segments of a relation, in the order in which they are drawn and added up.
            widths: channels of a segment's vector (D) and of a relation's hidden layer.
            classes: K.
            dropout: of the backbone's channels.
            test_relations: see `RecognitionHead`.
            draws: relations of each scale that are drawn, and the seed of the fixed ones.

        Raises:
            InputError: `test_relations` is all, and there are too many.
        """
        super().__init__()
        channels, hidden = widths
        self.segments, self.sizes = segments, tuple(scales)
        self.test_relations = test_relations
        self.per_scale, seed = draws
        number = sum(count_relations(segments, scale) for scale in scales)
        if test_relations == "all" and number > MOST_RELATIONS:
            raise InputError(
                f"recognition.head.test_relations is all, and {segments} segments have {number} relations, expected at "
                f"most {MOST_RELATIONS}; fixed takes {self.per_scale} of each scale"
            )
        self.fixed = fixed_relations(segments, scales, self.per_scale, seed)
        # Upstream's order: its optimiser has the relations' layers first.
        self.scales = nn.ModuleDict({str(scale): Relation(scale * channels, hidden, classes) for scale in scales})
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(inputs, channels)
        start_small(self.project, INIT_STD)

    def forward(self, features_BSC: Tensor, relations: Relations | None = None) -> Tensor:
        """Compute logits, [B, K].

        Args:
            features_BSC: features of the segments, in the order of time.
            relations: for each scale its relations; None takes those of training or testing.
        """
        segments_BSD = F.relu(self.project(self.dropout(features_BSC)))
        chosen = self.choose() if relations is None else relations
        logits_BK = segments_BSD.new_zeros(())
        for scale, tuples in zip(self.sizes, chosen, strict=True):
            places_Rs = torch.tensor(tuples, device=segments_BSD.device)
            scores_BK = self.scales[str(scale)](segments_BSD[:, places_Rs].flatten(2)).sum(dim=1)
            if relations is None and self._takes_all:
                scores_BK = scores_BK * (min(self.per_scale, len(tuples)) / len(tuples))
            logits_BK = logits_BK + scores_BK
        return logits_BK

    @property
    def _takes_all(self) -> bool:
        return self.test_relations == "all" and not self.training

    def choose(self) -> Relations:
        """Return the relations of a forward pass: drawn in training, else as `test_relations` says."""
        if self.training or self.test_relations == "drawn":
            return drawn_relations(self.segments, self.sizes, self.per_scale)
        return all_relations(self.segments, self.sizes) if self._takes_all else self.fixed

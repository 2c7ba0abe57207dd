"""ACAR: how each person relates to what is around it, and how these relations relate to each other (Pan et al. 2021).

A first-order relation is a map for each person: a 1x1 convolution of the person beside every cell of its clip, then a
3x3 convolution. Relations of a higher order are attention among the persons of a clip, at each cell for itself. The
arithmetic is that of ACAR-Net's `ACARHead`.

Shape suffixes of names: R persons, B clips, C channels of the clip's map, c reduced channels, d channels of a relation,
h and w cells of the clip's map, y and x cells of a relation's map, s cells per side of a RoI.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.models.context import Context
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.roi import pool_roi

LEAST_CELLS = 3
"Cells per side of a map that the 3x3 convolution without padding needs."


class HigherOrder(nn.Module):
    """Attention among the persons of a clip at each cell, added to their relations (ACAR-Net `HR2O_NL`)."""

    def __init__(self, channels: int, *, kernel: int, dropout: float) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.key = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.value = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(1, channels)
        self.out = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, relation_Rdyx: Tensor, together_RR: Tensor) -> Tensor:
        """Return the relations with what they read of each other, [R, d, y, x].

        Args:
            relation_Rdyx: one for each person.
            together_RR: True for persons of the same clip.
        """
        made = (layer(relation_Rdyx).permute(2, 3, 0, 1) for layer in (self.query, self.key, self.value))
        query_yxRd, key_yxRd, value_yxRd = made
        # All pairs of the batch, without those of two clips: few beside the convolutions, and no loop over clips.
        product_yxRR = query_yxRd @ key_yxRd.transpose(2, 3) / math.sqrt(query_yxRd.shape[3])
        weight_yxRR = product_yxRR.masked_fill(~together_RR, -math.inf).softmax(dim=3)
        read_Rdyx = (weight_yxRR.to(value_yxRd.dtype) @ value_yxRd).permute(2, 3, 0, 1)
        # A group norm of one group; as such it could not be traced for a batch without persons.
        normed_Rdyx = F.layer_norm(read_Rdyx, read_Rdyx.shape[1:], eps=self.norm.eps)
        scaled_Rdyx = normed_Rdyx * self.norm.weight[:, None, None] + self.norm.bias[:, None, None]
        update_Rdyx: Tensor = self.dropout(self.out(F.relu(scaled_Rdyx)))
        return relation_Rdyx + update_Rdyx


@dataclass(frozen=True, kw_only=True)
class RelationOptions:
    """The options of the relations of ACAR."""

    depth: int = 2
    "Layers of attention among relations; published 2 on R50, 1 on R101."
    kernel: int = 3
    "Side of the convolution that ends each of these layers: 3, or 1 as published on R101."
    reduced: int = 1024
    "Channels of the clip's map after its reduction, and of a person."
    hidden: int = 512
    "Channels of a relation, and of a person beside it."
    dropout: float = 0.2
    "Of what each layer adds."
    downsample: str = "max2x2"
    "max2x2 halves the cells of the relations (a maximum over 3x3 with stride 2); none keeps them."


class Relations(nn.Module):
    """The persons' own features and their relations, pooled: [R, 2 * hidden]."""

    def __init__(self, channels: int, options: RelationOptions) -> None:
        super().__init__()
        reduced, hidden = options.reduced, options.hidden
        self.reduce = nn.Conv2d(channels, reduced, 1, bias=False)
        # Upstream's order of inputs: the map, then the person.
        self.conv1 = nn.Conv2d(2 * reduced, hidden, 1, bias=False)
        self.conv2 = nn.Conv2d(hidden, hidden, LEAST_CELLS, bias=False)
        self.down = nn.MaxPool2d(3, stride=2, padding=1) if options.downsample == "max2x2" else nn.Identity()
        self.layers = nn.ModuleList(
            [HigherOrder(hidden, kernel=options.kernel, dropout=options.dropout) for _ in range(options.depth)]
        )
        self.fc1 = nn.Linear(reduced, hidden, bias=False)

    def forward(self, roi: Tensor, context: Context) -> Tensor:
        """RoI maps [R, C, 1, s, s] -> [R, 2 * hidden]; R may be 0."""
        map_BChw = context.feature_map
        assert map_BChw is not None  # the head needs it
        person_Rc = self.persons(roi)
        relation_Rd = self.relate(self.reduce(map_BChw), person_Rc, context.clip_index)
        return torch.cat([F.relu(self.fc1(person_Rc)), relation_Rd], dim=1)

    def persons(self, roi: Tensor) -> Tensor:
        """Reduce RoI maps [R, C, 1, s, s] and pool them, [R, c].

        Upstream cuts the boxes out of the reduced map. RoIAlign takes weighted sums of cells, and the reduction has no
        bias, so that their order does not matter.
        """
        return pool_roi(self.reduce(roi[:, :, 0]).unsqueeze(2))

    def relate(self, map_Bchw: Tensor, person_Rc: Tensor, clip_index: Tensor) -> Tensor:
        """Compute the relations of persons, [R, d], the mean of each over its cells.

        Args:
            map_Bchw: the reduced map of each clip.
            person_Rc: see `persons`.
            clip_index: [R], the clip of each person.

        Raises:
            InputError: the map has less than 3 cells per side.
        """
        height, width = map_Bchw.shape[2:]
        if min(height, width) < LEAST_CELLS:
            raise InputError(
                f"head acar: the map of a clip has {height} x {width} cells, expected at least {LEAST_CELLS} x "
                f"{LEAST_CELLS}, as a 3x3 convolution without padding needs; take larger clips"
            )
        together_RR = clip_index[:, None] == clip_index
        relation_Rdyx = self._first_order(map_Bchw, person_Rc, clip_index)
        for layer in self.layers:
            relation_Rdyx = layer(relation_Rdyx, together_RR)
        return relation_Rdyx.mean(dim=(2, 3))

    def _first_order(self, map_Bchw: Tensor, person_Rc: Tensor, clip_index: Tensor) -> Tensor:
        # The 1x1 convolution of [map, person] is the sum of one of the map and one of the person. The former is equal
        # for all persons of a clip, the latter for all cells, so each is computed only once, and nothing is tiled.
        weight_dc = self.conv1.weight.flatten(1)
        reduced = person_Rc.shape[1]
        of_map_Bdhw = F.conv2d(map_Bchw, weight_dc[:, :reduced, None, None])
        of_person_Rd = F.linear(person_Rc, weight_dc[:, reduced:])
        both_Rdhw = F.relu(of_map_Bdhw[clip_index] + of_person_Rd[:, :, None, None], inplace=True)
        down_Rdyx: Tensor = self.down(F.relu(self.conv2(both_Rdhw)))
        return down_Rdyx


def build_relations(settings: HeadSettings, options: RelationOptions, *, head: str) -> Relations:
    """Build the relations.

    Raises:
        InputError: as `acar`, with the name of the head.
    """
    depth, kernel, reduced, hidden = options.depth, options.kernel, options.reduced, options.hidden
    if min(depth, reduced, hidden) < 1:
        raise InputError(
            f"head {head}: depth is {depth}, reduced {reduced} and hidden {hidden}, expected at least 1 of each"
        )
    if kernel not in (1, 3):
        raise InputError(f"head {head}: kernel is {kernel}, expected 1 or 3")
    if options.downsample not in ("max2x2", "none"):
        raise InputError(f"head {head}: downsample is {options.downsample}, expected max2x2 or none")
    if not 0 <= options.dropout < 1:
        raise InputError(f"head {head}: dropout is {options.dropout}, expected 0 to below 1")
    if settings.map_channels == 0:
        raise InputError(f"head {head}: it reads the feature map, found map_channels 0")
    if settings.roi_channels != settings.map_channels:
        raise InputError(
            f"head {head}: a person has {settings.roi_channels} channels and the feature map "
            f"{settings.map_channels}, expected equal numbers: one layer reduces both (roi.context none)"
        )
    return Relations(settings.map_channels, options)


def acar(
    settings: HeadSettings,
    *,
    depth: int = RelationOptions.depth,
    kernel: int = RelationOptions.kernel,
    reduced: int = RelationOptions.reduced,
    hidden: int = RelationOptions.hidden,
    dropout: float = RelationOptions.dropout,
    downsample: str = RelationOptions.downsample,
    bias: bool = False,
) -> Head:
    """Build the actor-context-actor relation head. It reads the feature map: scope all, or the head of a baseline.

    Args:
        settings: see `HeadSettings`.
        depth: see `RelationOptions`, as for all up to `downsample`.
        kernel: see there.
        reduced: see there.
        hidden: see there.
        dropout: see there.
        downsample: see there.
        bias: of the classifier; published without.

    Raises:
        InputError: a size is below 1, `kernel` is not 1 or 3, `downsample` is another word, `dropout` is not in
            [0, 1), or the settings have no feature map, or one of other channels than the persons.
    """
    options = RelationOptions(
        depth=depth, kernel=kernel, reduced=reduced, hidden=hidden, dropout=dropout, downsample=downsample
    )
    relations = build_relations(settings, options, head="acar")
    return Head(
        relations,
        settings,
        channels=2 * hidden,
        needs=frozenset({"feature_map"}),
        scopes=frozenset({"all"}),
        bias=bias,
    )

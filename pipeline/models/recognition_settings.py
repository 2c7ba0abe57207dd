"""Settings of a recognizer's head: plain values, without tensors, as `params.yaml` and sidecars hold them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Lt

from pipeline.models.settings import STRICT

TestRelations = Literal["fixed", "all", "drawn"]


@dataclass(frozen=True, kw_only=True)
class RecognitionHead:
    """The head that scores a clip by its segments.

    Raises:
        ValueError: `tsn` has a field of relations, or another head lacks one.
    """

    __pydantic_config__: ClassVar = STRICT

    name: Literal["tsn", "trn", "trn_multiscale"]
    "tsn: the mean of the segments; trn: one relation over all segments; trn_multiscale: relations of 2 and more."
    dropout: Annotated[float, Ge(0), Lt(1)]
    "Of the backbone's channels, before the first linear layer."
    channels: Annotated[int, Gt(0)] | None = None
    "Of the vector of a segment that relations read (256 as published); null for tsn."
    hidden: Annotated[int, Gt(0)] | None = None
    "Channels of the hidden layer of a relation (published: trn 512, trn_multiscale 256); null for tsn."
    per_scale: Annotated[int, Gt(0)] = 3
    "trn_multiscale: relations of each scale below the largest that are drawn, or all if there are fewer."
    test_relations: TestRelations = "fixed"
    """trn_multiscale in testing. fixed: those that relation_seed draws, the same in every run; all: every relation,
    each counting per_scale / (their number), which is the mean over draws; drawn: anew for each batch, as published."""
    relation_seed: int = 0
    "Of the fixed relations."

    def __post_init__(self) -> None:
        for key in ("channels", "hidden"):
            value = getattr(self, key)
            if (value is None) != (self.name == "tsn"):
                expected = "null" if self.name == "tsn" else "a number"
                raise ValueError(f".{key} is {value}, and .name is {self.name}; expected {expected}")

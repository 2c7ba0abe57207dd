"""The views that a recognizer gets as input; `params.yaml` and sidecars hold these settings."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt


@dataclass(frozen=True, kw_only=True)
class ViewInput:
    """How the pictures of a clip are scaled and cropped."""

    __pydantic_config__: ClassVar = {"extra": "forbid", "allow_inf_nan": False}

    short_side: Annotated[int, Gt(0)]
    "Pictures are scaled to this short side in pixels before they are cropped; also the side of each of three crops."
    crop: Annotated[int, Gt(0)]
    "Side in pixels of a training view and of the centre crop."
    mean: tuple[float, float, float]
    "RGB mean, of values 0 to 255."
    std: tuple[float, float, float]
    "RGB standard deviation, of values 0 to 255."

    def __post_init__(self) -> None:
        """Refuse a crop that a scaled picture cannot hold.

        Raises:
            ValueError: the crop is larger than the short side.
        """
        if self.crop > self.short_side:
            raise ValueError(f"a crop of {self.crop} from a short side of {self.short_side}")

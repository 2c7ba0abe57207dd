"""The official AVA evaluation and the copies of it that published numbers were made with."""

from dataclasses import dataclass
from typing import Literal

from pipeline.base.errors import InputError

ProtocolName = Literal["official", "mmaction2_1x", "mmaction2_0x", "pyslowfast", "alphaction"]


@dataclass(frozen=True)
class Protocol:
    """What an evaluation does; the defaults are the official code (ActivityNet repository, January 2021)."""

    capped: bool = True
    "Keep only the best rows of a frame, all classes together."
    frames: Literal["named", "labelled", "any"] = "named"
    "Detections count in frames that the ground truth names; with a box of a scored class; in all frames."
    ground_truth_order: Literal["heap", "value", "file"] = "heap"
    "Of boxes with equal IoU the first is claimed: person id descending, then heap or file order; file order."
    first_claim: Literal["score", "file"] = "score"
    "Which of several detections on one box is right: the best scored, or the first in the file."
    single_precision: bool = False
    "Coordinates and scores are float32."
    drops_degenerate: bool = True
    "Detections without area are left out; else they are false positives, and an inverted one is an error."
    excludes_ground_truth: bool = True
    "Ground truth of excluded frames is left out; else it counts as missed."
    scores_undetected: bool = True
    "A class with ground truth and no detection has AP 0; else it is left out of the mean."
    whole_seconds: bool = False
    "Timestamps are integers."


PROTOCOLS = {
    "official": Protocol(),
    "mmaction2_1x": Protocol(
        capped=False,
        frames="labelled",
        ground_truth_order="value",
        single_precision=True,
        drops_degenerate=False,
        excludes_ground_truth=False,
        scores_undetected=False,
        whole_seconds=True,
    ),
    "mmaction2_0x": Protocol(capped=False, frames="any", ground_truth_order="value", whole_seconds=True),
    "pyslowfast": Protocol(
        capped=False, frames="any", ground_truth_order="file", first_claim="file", whole_seconds=True
    ),
    # Also the official code of 2018.
    "alphaction": Protocol(capped=False, frames="any", ground_truth_order="file", whole_seconds=True),
}


def find_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        InputError: there is none.
    """
    if name not in PROTOCOLS:
        raise InputError(f"protocol is '{name}', expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]

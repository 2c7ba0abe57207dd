"""Define the official AVA evaluation, and the copies of it that published numbers were made with."""

from dataclasses import dataclass
from typing import Literal

from pipeline.base.errors import InputError

OFFICIAL_CAP = 50
"Rows of a frame that the official AVA code keeps."
MIN_FRAMES = 15
"Frames of the shortest tube that MultiSports' code counts."
ProtocolName = Literal["official", "mmaction2_1x", "mmaction2_0x", "pyslowfast", "alphaction"]


@dataclass(frozen=True)
class Protocol:
    """The rules of an evaluation; the defaults are the official code (ActivityNet repository, January 2021)."""

    capped: bool = True
    "Keep only the best rows of a frame, over all classes."
    frames: Literal["named", "labelled", "any"] = "named"
    "Frames in which detections count: named by the ground truth; with a box of a scored class; all frames."
    ground_truth_order: Literal["heap", "value", "file"] = "heap"
    "Which of several boxes with equal IoU is claimed: by descending person id, then heap or file order; by file order."
    first_claim: Literal["score", "file"] = "score"
    "Which of several detections on one box is right: the best scored, or the first in the file."
    single_precision: bool = False
    "Coordinates and scores are float32."
    drops_degenerate: bool = True
    "Leave out detections without area; else they are false positives, and an inverted box is an error."
    excludes_ground_truth: bool = True
    "Leave out the ground truth of excluded frames; else it counts as missed."
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
    # The official code of 2018 has the same rules.
    "alphaction": Protocol(capped=False, frames="any", ground_truth_order="file", whole_seconds=True),
}


def find_protocol(name: str) -> Protocol:
    """Return the protocol of that name.

    Raises:
        InputError: the name is unknown.
    """
    if name not in PROTOCOLS:
        raise InputError(f"protocol is '{name}', expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]

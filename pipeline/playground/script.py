"""Write the script of a film: who does what, and when.

Time is divided into whole seconds with a keyframe in the middle of each. Everything that has a label lasts whole
seconds, so a change is half a second away from the nearest keyframes. A script depends on (seed, split, index) and on
the range of lengths, but not on the number of films.
"""

from dataclasses import dataclass
from typing import Literal

from pipeline.playground.actions import SIGNALS
from pipeline.playground.chance import deal, stream
from pipeline.playground.looks import Look, draw_look
from pipeline.playground.timeline import (
    EPISODE_SECONDS,
    EPISODE_TAIL,
    Performance,
    SkyObject,
    fill_timeline,
)

FRAME_RATES = (15, 24, 25, 30)
LANE_MARGIN = 20.0  # world units: pixels of a frame with height 120
SCENE_SECONDS = (12, 25)

Split = Literal["train", "val"]


@dataclass(frozen=True)
class Figure:
    """One person of a film."""

    look: Look
    lane_x: float
    "Where the figure stands; it walks only a few units away from there (world units)."
    foot_y: float
    "Height of the ground under the feet: a larger value is nearer to the camera (world units)."
    size: float
    actions: tuple[Performance, ...]
    "What the figure does, in order and without gaps."


@dataclass(frozen=True)
class Script:
    """A film before rendering."""

    split: Split
    index: int
    seconds: int
    fps: int
    world_width: float
    figures: tuple[Figure, ...]
    conductor: int
    "Index of the figure that gives the signals."
    signals: tuple[tuple[int, str], ...]
    "(second, motion) of each signal."
    sky: tuple[SkyObject, ...]
    cuts: tuple[int, ...]
    "Seconds at which the background changes."
    empty: tuple[int, ...]
    "Seconds without any person."
    excluded: tuple[int, ...]
    "Seconds that are not annotated."
    still: bool = False
    "True if the camera stands still."

    @property
    def video_id(self) -> str:
        """Return the name of the video file without its suffix."""
        return f"{self.split}_{self.index:03d}"

    def labels(self, second: int) -> list[tuple[int, tuple[int, ...]]]:
        """Return (figure, action ids) of every figure at the keyframe of `second`; empty if it is not annotated."""
        if second in self.empty or second in self.excluded:
            return []
        return [
            (number, action.event.labels)
            for number, figure in enumerate(self.figures)
            for action in figure.actions
            if action.event.start <= second < action.event.start + action.event.seconds
        ]


def film_length(seed: int, split: Split, index: int, *, min_seconds: int, max_seconds: int) -> int:
    """Draw the length of a film."""
    return int(stream(seed, split, index, "seconds").integers(min_seconds, max_seconds + 1))


def episode_count(seconds: int) -> int:
    """Return how many signals with their dances fit into a film."""
    return max(0, (seconds - EPISODE_TAIL) // EPISODE_SECONDS + 1)


def write_script(
    seed: int, split: Split, index: int, *, min_seconds: int, max_seconds: int, world_width: float = 160.0
) -> Script:
    """Write the script of film `index` of `split`.

    Args:
        seed: the seed of the data set.
        split: "train" or "val"; the two have different films.
        index: number of the film in its split, from 0.
        min_seconds: length of the shortest film.
        max_seconds: length of the longest film.
        world_width: width of a frame with height 120.
    """
    lengths = [
        film_length(seed, split, each, min_seconds=min_seconds, max_seconds=max_seconds) for each in range(index + 1)
    ]
    seconds = lengths[-1]
    first = sum(map(episode_count, lengths[:-1]))
    signals = [deal(SIGNALS, first + each, seed, split, "signals") for each in range(episode_count(seconds))]
    rng = stream(seed, split, index, "script")
    count = int(rng.choice([3, 4], p=[0.25, 0.75]))
    spacing = (world_width - 2 * LANE_MARGIN) / (count - 1)
    lanes = [LANE_MARGIN + spacing * int(place) for place in rng.permutation(count)]
    conductor = int(rng.integers(count))
    timeline = fill_timeline(
        stream(seed, split, index, "timeline"),
        seconds=seconds,
        lanes=lanes,
        conductor=conductor,
        signals=signals,
        lone_jump=index % 2,
        world_width=world_width,
    )
    looks = stream(seed, split, index, "looks")
    figures = []
    for lane, actions in zip(lanes, timeline.actions, strict=True):
        foot_y = float(rng.uniform(103, 114))
        size = float(rng.uniform(1.0, 1.18)) * (1 + (foot_y - 108) / 60)
        figures.append(Figure(draw_look(looks), lane, foot_y, size, actions))
    cuts = []
    cut = int(rng.integers(*SCENE_SECONDS))
    while cut < seconds:
        cuts.append(cut)
        cut += int(rng.integers(*SCENE_SECONDS))
    return Script(
        split=split,
        index=index,
        seconds=seconds,
        fps=deal(FRAME_RATES, index, seed, split, "fps"),
        world_width=world_width,
        figures=tuple(figures),
        conductor=conductor,
        signals=timeline.signals,
        sky=timeline.sky,
        cuts=tuple(cuts),
        empty=timeline.empty,
        excluded=timeline.excluded,
    )

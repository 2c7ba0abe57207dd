"""Draw the timeline of a film: signals, dances, jumps with crouches, waves with bows, pointing with balls, fillers.

The event that gives a motion its second label is drawn after the motion's place and time, in shuffled pairs (or in
permutations of the three signals). So place, time and actor say nothing about the label.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.playground.actions import DANCE_ID, JUMP_IDS, MOTION_ID, POINT_IDS, WAVE_IDS
from pipeline.playground.board import Board, Event
from pipeline.playground.looks import Colour, draw_colour

SIGNAL_SECONDS = 5
DANCE_SECONDS = 2
DANCES = 4  # per signal
# Starts of dances after the signal's start: the whole signal lies 5 to 15 s before every keyframe of a dance.
FIRST_DANCE, LAST_DANCE = 10, 13
EPISODE_TAIL = LAST_DANCE + DANCE_SECONDS  # from a signal's start to the end of its last dance
# A window of +-14 s around any second of a dance holds its whole signal and no part of the next one.
EPISODE_SECONDS = EPISODE_TAIL + 14
SHORT_SECONDS = 2  # length of jumps, crouches, waves, bows and pointing
PAIR_EVERY_SECONDS = 15  # one pair of waves and one pair of pointings in this time
CROUCH_SECONDS = 5  # from the start of a crouch to the start of its jump
JUMP_SPACING = 14  # other crouches stay at least 7 s away from a jump
# Least distances of two figures, and of a figure and a ball: too far for a small network that sees one box.
PARTNER_DISTANCE = 75.0
BALL_DISTANCE = 55.0
WALK_REACH = 8.0


@dataclass(frozen=True)
class Performance:
    """How a figure performs an event."""

    event: Event
    x_from: float
    x_to: float
    facing: int
    "1 as drawn, -1 mirrored left to right."
    tempo: float
    phase: float
    "Phase in cycles."
    strength: float


@dataclass(frozen=True)
class SkyObject:
    """A ball or a kite above the heads."""

    kind: str
    start: int
    seconds: int
    x: float
    y: float
    colour: Colour


@dataclass(frozen=True)
class ScriptTimeline:
    """The result of `fill_timeline`; the fields are those of a script."""

    actions: tuple[tuple[Performance, ...], ...]
    signals: tuple[tuple[int, str], ...]
    sky: tuple[SkyObject, ...]
    empty: tuple[int, ...]
    excluded: tuple[int, ...]


def fill_timeline(
    rng: np.random.Generator,
    *,
    seconds: int,
    lanes: Sequence[float],
    conductor: int,
    signals: Sequence[str],
    lone_jump: int,
    world_width: float,
) -> ScriptTimeline:
    """Draw a timeline.

    Args:
        rng: the random generator.
        seconds: length of the film.
        lanes: x of each figure, in world units.
        conductor: index of the figure that gives the signals.
        signals: motions of the signals, in order.
        lone_jump: 0 or 1, the kind of jump in a film with room for only one.
        world_width: width of the frame in world units.
    """
    board = Board(len(lanes), seconds)
    slack = seconds - EPISODE_TAIL - EPISODE_SECONDS * (len(signals) - 1)
    late = sorted(int(each) for each in rng.integers(0, slack + 1, len(signals))) if signals else []
    starts = [EPISODE_SECONDS * number + each for number, each in enumerate(late)]
    empty, excluded = _reserve_quiet(rng, board, starts)
    for start, signal in zip(starts, signals, strict=True):
        board.place(conductor, start, SIGNAL_SECONDS, signal)
        # Two dancers always have room for two dances each, wherever the first one dances.
        for _ in range(DANCES):
            free = [
                (figure, begin)
                for figure in range(board.figures)
                for begin in range(start + FIRST_DANCE, start + LAST_DANCE + 1)
                if figure != conductor and board.free(figure, begin, DANCE_SECONDS)
            ]
            figure, begin = free[int(rng.integers(len(free)))]
            board.place(figure, begin, DANCE_SECONDS, "dance", DANCE_ID[signal])
    _place_jumps(rng, board, lone_jump)
    _place_waves(rng, board, lanes)
    sky = _place_pointing(rng, board, lanes, world_width)
    sky += _kites(rng, seconds, world_width)
    return ScriptTimeline(
        actions=tuple(_gapless(rng, board, figure, lane, world_width) for figure, lane in enumerate(lanes)),
        signals=tuple(zip(starts, signals, strict=True)),
        sky=tuple(sky),
        empty=empty,
        excluded=excluded,
    )


def _reserve_quiet(
    rng: np.random.Generator, board: Board, starts: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Draw seconds without persons and seconds without annotation, outside of all events that must stay balanced."""
    quiet = np.ones(board.seconds, bool)
    for start in starts:
        quiet[start : start + SIGNAL_SECONDS] = False
        quiet[start + FIRST_DANCE : start + EPISODE_TAIL] = False
    seconds = [int(each) for each in np.flatnonzero(quiet)]
    count = min(max(1, len(quiet) // 45), len(seconds) // 2)
    drawn = [seconds[each] for each in rng.permutation(len(seconds))[: 2 * count]]
    board.busy[:, drawn] = True
    return tuple(sorted(drawn[:count])), tuple(sorted(drawn[count:]))


def _shuffled_pairs(rng: np.random.Generator, count: int) -> list[int]:
    return [int(each) for _ in range(count // 2) for each in rng.permutation(2)]


def _place_jumps(rng: np.random.Generator, board: Board, lone_jump: int) -> None:
    """Place jumps with a crouch of the same figure before or after; equally many of both kinds."""
    slots: list[tuple[int, int]] = []
    earliest = CROUCH_SECONDS
    while earliest < board.seconds:
        # Require room for either order, so that figure and time of a jump do not depend on the order.
        free = [
            (start, figure)
            for start in range(earliest, earliest + 4)
            for figure in range(board.figures)
            if all(board.free(figure, start + shift, SHORT_SECONDS) for shift in (-CROUCH_SECONDS, 0, CROUCH_SECONDS))
        ]
        if free:
            slots.append(free[int(rng.integers(len(free)))])
            earliest = slots[-1][0] + JUMP_SPACING
        else:
            earliest += 4
    kinds = [lone_jump] if len(slots) == 1 else _shuffled_pairs(rng, len(slots))
    for (start, figure), kind in zip(slots, kinds, strict=False):
        board.place(figure, start, SHORT_SECONDS, "jump", JUMP_IDS[kind])
        crouch = start - CROUCH_SECONDS if kind == 0 else start + CROUCH_SECONDS
        board.place(figure, crouch, SHORT_SECONDS, "crouch")


def _place_waves(rng: np.random.Generator, board: Board, lanes: Sequence[float]) -> None:
    """Place waves while a distant figure bows or while nobody does, and bows while nobody waves."""
    everyone = range(board.figures)
    # A free partner is chosen even if it does not bow, so that place and time do not depend on the label.
    pairs = [(a, b) for a in everyone for b in everyone if abs(lanes[a] - lanes[b]) >= PARTNER_DISTANCE]
    taken = np.zeros(board.seconds, bool)
    count = 2 * round(board.seconds / PAIR_EVERY_SECONDS)
    slots = board.draw_slots(rng, groups=pairs, seconds=SHORT_SECONDS, count=count, taken=taken)
    for (start, (waver, partner)), kind in zip(slots, _shuffled_pairs(rng, len(slots)), strict=False):
        board.place(waver, start, SHORT_SECONDS, "wave", WAVE_IDS[kind])
        if kind == 0:
            board.place(partner, start, SHORT_SECONDS, "bow")
    singles = [(figure,) for figure in everyone]
    for start, (figure,) in board.draw_slots(rng, groups=singles, seconds=SHORT_SECONDS, count=count // 2, taken=taken):
        board.place(figure, start, SHORT_SECONDS, "bow")


def _place_pointing(
    rng: np.random.Generator, board: Board, lanes: Sequence[float], world_width: float
) -> list[SkyObject]:
    """Place pointing while a distant ball is in the sky or while none is, and balls at which nobody points."""
    singles = [(figure,) for figure in range(board.figures)]
    taken = np.zeros(board.seconds, bool)
    count = 2 * round(board.seconds / PAIR_EVERY_SECONDS)
    slots = board.draw_slots(rng, groups=singles, seconds=SHORT_SECONDS, count=count, taken=taken)
    balls = []
    for (start, (figure,)), kind in zip(slots, _shuffled_pairs(rng, len(slots)), strict=False):
        board.place(figure, start, SHORT_SECONDS, "point", POINT_IDS[kind])
        if kind == 0:
            balls.append(_ball(rng, start, lanes[figure], world_width))
    alone = [each for each in range(board.seconds - 1) if not taken[each : each + SHORT_SECONDS].any()]
    for _ in range(min(count // 2, len(alone) // 4)):
        start = alone[int(rng.integers(len(alone)))]
        alone = [each for each in alone if abs(each - start) >= SHORT_SECONDS]
        balls.append(_ball(rng, start, lanes[int(rng.integers(len(lanes)))], world_width))
    return balls


def _ball(rng: np.random.Generator, start: int, away_from: float, world_width: float) -> SkyObject:
    places = np.arange(10.0, world_width - 9)
    places = places[np.abs(places - away_from) >= BALL_DISTANCE]
    x = float(places[int(rng.integers(len(places)))])
    return SkyObject("ball", start, SHORT_SECONDS, x, float(rng.uniform(10, 28)), (230, 40, 40))


def _kites(rng: np.random.Generator, seconds: int, world_width: float) -> list[SkyObject]:
    """Draw kites, things in the sky that carry no label."""
    return [
        SkyObject(
            "kite",
            int(rng.integers(seconds)),
            int(rng.integers(2, 5)),
            float(rng.uniform(10, world_width - 10)),
            float(rng.uniform(10, 28)),
            draw_colour(rng, saturation=(0.5, 1.0), value=(0.5, 1.0)),
        )
        for _ in range(round(seconds / 10))
    ]


def _gapless(
    rng: np.random.Generator, board: Board, figure: int, lane: float, world_width: float
) -> tuple[Performance, ...]:
    """Return the events of one figure, with standing and walking between them."""
    events = sorted(board.events[figure])
    busy = [(each.start, each.start + each.seconds) for each in events]
    now = 0
    for start, end in [*busy, (board.seconds, board.seconds)]:
        while now < start:
            run = min(int(rng.integers(1, 4)), start - now)
            motion = ("stand", "walk")[int(rng.integers(2))]
            events.append(Event(now, run, motion, (MOTION_ID[motion],)))
            now += run
        now = end
    actions = []
    x = lane + float(rng.uniform(-WALK_REACH, WALK_REACH))
    for event in sorted(events):
        x_from, facing = x, int(rng.choice([-1, 1]))
        if event.motion == "walk":
            # Walk to the far side of the lane, so that the walk is visible.
            facing = -1 if x > lane else 1
            x = lane + facing * float(rng.uniform(0.3, 1.0)) * WALK_REACH
        if event.motion == "bow":  # bow away from the frame's edge
            facing = 1 if lane < world_width / 2 else -1
        tempo, phase, strength = rng.uniform(0.9, 1.1), rng.uniform(), rng.uniform(0.85, 1.15)
        actions.append(Performance(event, x_from, x, facing, float(tempo), float(phase), float(strength)))
    return tuple(actions)

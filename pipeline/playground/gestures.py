"""The classes of the playground of clips, and how a hand and a thing move in each.

Scenes are made for pairs of classes: the second class of a pair is the first one played backwards, frame by frame. So a
model that ignores the order of frames cannot tell the two apart.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.playground.canvas import HIDDEN, Canvas
from pipeline.playground.looks import Colour

MIDDLE_Y = 66.0  # world units from the top
REACH = 34.0  # how far a thing is moved, world units


@dataclass(frozen=True)
class Thing:
    """What is moved, and by whom."""

    radius: float
    "World units."
    colour: Colour
    hand: Colour
    x: float
    "Where it is in the middle of the motion, world units."
    y: float
    turn: float
    "First angle of what is turned, radians."


Draw = Callable[[Canvas, Thing, np.ndarray], None]


@dataclass(frozen=True)
class Gesture:
    """A motion, and the classes that it shows."""

    name: str
    forward: str
    "Template of the class when it is played forwards."
    backward: str
    "Template of the class when it is played backwards; that of `forward` if nothing moves."
    mirrored: tuple[str, str]
    "The two templates of the mirror image."
    draw: Draw


def _thing(canvas: Canvas, thing: Thing, place: np.ndarray, radius: np.ndarray | float) -> None:
    """Draw a ball with a spot, which is in the middle."""
    canvas.capsule(place, place, radius=radius, colour=np.array(thing.colour, float))
    canvas.capsule(place, place, radius=np.asarray(radius) * 0.35, colour=np.full(3, 245.0))


def _arm(canvas: Canvas, thing: Thing, hand: np.ndarray, side: int) -> None:
    """Draw an arm that comes in from a side of the frame (-1 left, 1 right)."""
    shoulder = hand + np.array([side * 120.0, 40.0])
    canvas.capsule(shoulder, hand, radius=6.0, colour=np.array(thing.hand, float))


def _push(canvas: Canvas, thing: Thing, done: np.ndarray) -> None:
    x = thing.x + REACH * (2 * done - 1)
    place = np.stack([x, np.full(len(x), thing.y)], 1)
    _arm(canvas, thing, place - np.array([thing.radius + 6.0, 0.0]), -1)
    _thing(canvas, thing, place, thing.radius)


def _lift(canvas: Canvas, thing: Thing, done: np.ndarray) -> None:
    y = thing.y + 0.75 * REACH * (1 - 2 * done)
    place = np.stack([np.full(len(y), thing.x), y], 1)
    canvas.capsule(
        place + np.array([0.0, 140.0]), place + np.array([0.0, thing.radius + 6.0]), radius=6.0,
        colour=np.array(thing.hand, float),
    )  # fmt: skip
    _thing(canvas, thing, place, thing.radius)


def _open(canvas: Canvas, thing: Thing, done: np.ndarray) -> None:
    """A lid on a box turns about its left end."""
    half, colour = 1.6 * thing.radius, np.array(thing.colour, float)
    left, below = np.array([thing.x - half, thing.y]), np.array([0.0, 16.0])
    canvas.capsule(left + below, left + below + np.array([2 * half, 0.0]), radius=10.0, colour=colour * 0.75)
    angle = -done * np.pi * 0.6
    end = left + 2 * half * np.stack([np.cos(angle), np.sin(angle)], 1)
    canvas.capsule(np.broadcast_to(left, end.shape), end, radius=4.0, colour=colour)


def _turn(canvas: Canvas, thing: Thing, done: np.ndarray) -> None:
    """A bar with one marked end turns, by less than half a turn; y points down, so a growing angle is clockwise."""
    angle = thing.turn + done * np.pi * 0.8
    arm = 1.9 * thing.radius * np.stack([np.cos(angle), np.sin(angle)], 1)
    middle = np.array([thing.x, thing.y])
    canvas.capsule(middle - arm, middle + arm, radius=5.0, colour=np.array(thing.colour, float))
    canvas.capsule(middle + arm, middle + arm, radius=9.0, colour=np.full(3, 245.0))


def _appear(canvas: Canvas, thing: Thing, done: np.ndarray) -> None:
    place = np.tile([thing.x, thing.y], (len(done), 1))
    radius = np.where(done > 0, 1.6 * thing.radius * done, HIDDEN)
    _thing(canvas, thing, place, radius)


def _hold(canvas: Canvas, thing: Thing, done: np.ndarray) -> None:
    place = np.tile([thing.x, thing.y], (len(done), 1))
    for side in (-1, 1):
        _arm(canvas, thing, place + np.array([side * (thing.radius + 4.0), 0.0]), side)
    _thing(canvas, thing, place, thing.radius)


def _stack(canvas: Canvas, thing: Thing, done: np.ndarray) -> None:
    for step in (1, -1):
        place = np.tile([thing.x, thing.y + step * 0.9 * thing.radius], (len(done), 1))
        _thing(canvas, thing, place, 0.9 * thing.radius)


def _beside(canvas: Canvas, thing: Thing, done: np.ndarray) -> None:
    for step in (1, -1):
        place = np.tile([thing.x + step * 1.6 * thing.radius, thing.y], (len(done), 1))
        _thing(canvas, thing, place, thing.radius)


_PUSH = ("Pushing [something] from left to right", "Pushing [something] from right to left")
_PULL = ("Pulling [something] from left to right", "Pulling [something] from right to left")
_TURN = ("Turning [something] clockwise", "Turning [something] counterclockwise")


def _even(name: str, forward: str, backward: str, draw: Draw) -> Gesture:
    """Return a gesture whose mirror image shows the same classes."""
    return Gesture(name, forward, backward, (forward, backward), draw)


GESTURES = (
    Gesture("push", _PUSH[0], _PULL[1], (_PUSH[1], _PULL[0]), _push),
    Gesture("turn", _TURN[0], _TURN[1], (_TURN[1], _TURN[0]), _turn),
    _even("open", "Opening [something]", "Closing [something]", _open),
    _even("lift", "Moving [something] up", "Moving [something] down", _lift),
    _even("appear", "[Something] appearing", "[Something] vanishing", _appear),
    _even("hold", "Holding [something]", "Holding [something]", _hold),
    _even("stack", "Showing [something] on top of [something]", "Showing [something] on top of [something]", _stack),
    _even("beside", "Showing [something] next to [something]", "Showing [something] next to [something]", _beside),
)


def templates() -> list[str]:
    """Return the templates of all classes, sorted: the place of one is its id."""
    return sorted({each for one in GESTURES for each in (one.forward, one.backward, *one.mirrored)}, key=_name)


def _name(template: str) -> str:
    return template.replace("[", "").replace("]", "")


def reversed_pairs() -> list[tuple[str, str]]:
    """Return the pairs of classes (names without brackets) of which one is the other played backwards."""
    pairs = {(_name(a), _name(b)) for one in GESTURES for a, b in ((one.forward, one.backward), one.mirrored) if a != b}
    return sorted({(min(pair), max(pair)) for pair in pairs})

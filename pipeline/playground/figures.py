"""Turn the poses of articulated figures into capsules (thick line segments), and compute boxes around them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.playground.canvas import HIDDEN
from pipeline.playground.looks import Colour, Look
from pipeline.playground.motions import (
    ARM_L,
    ARM_R,
    BLEND_SECONDS,
    HAND_L,
    HAND_R,
    LEAN,
    LIFT,
    SHIFT,
    SHIN_L,
    SHIN_R,
    THIGH_L,
    THIGH_R,
    poses,
)  # fmt: skip
from pipeline.playground.script import Figure
from pipeline.playground.timeline import Performance

# Lengths in world units for a figure of size 1, which is about 55 units tall.
THIGH, SHIN, TORSO, UPPER_ARM, FOREARM, NECK = 12.5, 12.5, 16.0, 10.0, 9.5, 6.5
SHOULDER, HIP = 4.0, 2.6
FLAG, FLAG_RADIUS = 4.0, 4.5
FLAG_COLOURS: dict[str, Colour] = {"raise": (255, 235, 30), "spread": (30, 80, 255), "hands_on_head": (0, 215, 255)}

Part = tuple[np.ndarray, np.ndarray, float | np.ndarray, Colour]  # both ends [T, 2], radius, colour


@dataclass(frozen=True)
class Capsules:
    """Thick line segments at T times, in drawing order.

    `ends` is [T, L, 2 ends, 2 (x, y)], `radii` [T, L] (negative: not drawn), `colours` [L, 3]; lengths are in world
    units.
    """

    ends: np.ndarray
    radii: np.ndarray
    colours: np.ndarray


def _towards(angle: np.ndarray, length: float) -> np.ndarray:
    radians = np.deg2rad(angle)
    return length * np.stack([np.sin(radians), np.cos(radians)], -1)


def figure_capsules(figure: Figure, times: np.ndarray) -> Capsules:
    """Return the body of a figure at `times` (seconds, [T])."""
    pose, x = poses(figure.actions, times)
    legs = {
        side: (_towards(pose[:, thigh], THIGH), _towards(pose[:, shin], SHIN))
        for side, thigh, shin in ((-1, THIGH_L, SHIN_L), (1, THIGH_R, SHIN_R))
    }
    # The lower foot always stands on the ground, however the knees bend.
    reach = np.maximum(*(legs[side][0][:, 1] + legs[side][1][:, 1] for side in (-1, 1)))
    hip = np.stack([pose[:, SHIFT], -reach - pose[:, LIFT]], -1)
    up = -_towards(-pose[:, LEAN], 1.0)
    across = np.stack([-up[:, 1], up[:, 0]], -1)
    chest = hip + TORSO * up
    head = chest + NECK * up
    look = figure.look
    sleeve = look.shirt if look.long_sleeves else look.skin
    girth = look.girth
    parts: list[Part] = []
    for side in (-1, 1):
        top = hip + side * HIP * girth * across
        knee = top + legs[side][0]
        parts.append((top, knee, 2.9 * girth, look.trousers))
        parts.append((knee, knee + legs[side][1], 2.4 * girth, look.trousers))
    parts.append((hip + 1.0 * up, chest - 1.5 * up, 4.8 * girth, look.shirt))
    parts.append((head, head, 4.6, look.skin))
    parts.extend(_hat(look, head, up, across))
    for side, arm, hand in ((-1, ARM_L, HAND_L), (1, ARM_R, HAND_R)):
        shoulder = chest - 1.5 * up + side * SHOULDER * girth * across
        elbow = shoulder + _towards(pose[:, arm], UPPER_ARM)
        wrist = elbow + _towards(pose[:, hand], FOREARM)
        parts.append((shoulder, elbow, 2.6 * girth, look.shirt))
        parts.append((elbow, wrist, 2.3 * girth, sleeve))
        parts.append((wrist, wrist, 2.6, look.skin))
        tip = wrist + _towards(pose[:, hand], FLAG)
        for signal, colour in FLAG_COLOURS.items():
            shown = _shows(figure.actions, signal, times)
            if shown.any():
                parts.append((tip, tip, np.where(shown, FLAG_RADIUS, HIDDEN), colour))
    ends = np.stack([np.stack([start, end], 1) for start, end, _, _ in parts], 1) * figure.size
    ends += np.stack([x, np.full(len(times), figure.foot_y)], -1)[:, None, None]
    radii = np.stack([np.broadcast_to(np.asarray(radius), len(times)) for _, _, radius, _ in parts], 1)
    return Capsules(ends, radii * figure.size, np.array([colour for _, _, _, colour in parts], np.float32))


def _shows(actions: Sequence[Performance], signal: str, times: np.ndarray) -> np.ndarray:
    """Return whether a signal's flags are shown at `times`; they change as early as a motion does."""
    shown = np.zeros(len(times), bool)
    for event in (action.event for action in actions if action.event.motion == signal):
        later = times + BLEND_SECONDS
        shown |= (later >= event.start) & (later < event.start + event.seconds)
    return shown


def _hat(look: Look, head: np.ndarray, up: np.ndarray, across: np.ndarray) -> list[Part]:
    if look.hat == "cap":
        return [(head + 3 * up - 2.5 * across, head + 3 * up + 5 * across, 1.8, look.hat_colour)]
    if look.hat == "tall":
        return [
            (head + 4 * up, head + 7 * up, 3.0, look.hat_colour),
            (head + 3 * up - 4 * across, head + 3 * up + 4 * across, 1.2, look.hat_colour),
        ]
    hair: list[Part] = [(head + 2.5 * up - 1.5 * across, head + 2.5 * up + 1.5 * across, 3.0, look.hair)]
    if look.hat == "bun":
        hair.append((head + 6 * up, head + 6 * up, 2.4, look.hair))
    return hair


def capsule_boxes(capsules: Capsules) -> np.ndarray:
    """Return the tight box around a body at each time: xyxy in world units, [T, 4]."""
    radii = np.maximum(capsules.radii, 0)[..., None]
    low = (capsules.ends.min(2) - radii).min(1)
    high = (capsules.ends.max(2) + radii).max(1)
    return np.concatenate([low, high], -1)

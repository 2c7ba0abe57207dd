"""Define how motions move: a pose is eleven numbers, a motion is a pose as a function of time.

Angles are degrees on the screen, from straight down towards the right; the second half of a limb has its own angle. Two
motions are blended in the last fifth of a second before the new one begins, so that an action is complete from its
first instant.
"""

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.playground.timeline import Performance

# Indices of a pose. Left and right are as seen on the screen; SHIFT and LIFT are in world units.
LEAN, SHIFT, LIFT, ARM_L, HAND_L, ARM_R, HAND_R, THIGH_L, SHIN_L, THIGH_R, SHIN_R = range(11)
MIRRORED = [LEAN, SHIFT, LIFT, ARM_R, HAND_R, ARM_L, HAND_L, THIGH_R, SHIN_R, THIGH_L, SHIN_L]
REST = np.array([0.0, 0, 0, -10, -5, 10, 5, -7, -3, 7, 3])
BLEND_SECONDS = 0.2

Sine = Callable[[float], np.ndarray]
Pose = dict[int, np.ndarray | float]


def _stand(sine: Sine, strength: float) -> Pose:
    sway = 2 * sine(0.4)
    return {LEAN: sway / 2, ARM_L: -10 + sway, ARM_R: 10 + sway}


def _walk(sine: Sine, strength: float) -> Pose:
    swing = 30 * strength * sine(1.4)
    return {
        LEAN: 4, ARM_L: -0.8 * swing, HAND_L: -0.8 * swing + 12, ARM_R: 0.8 * swing, HAND_R: 0.8 * swing + 12,
        THIGH_L: swing, SHIN_L: swing - 10, THIGH_R: -swing, SHIN_R: -swing - 10,
    }  # fmt: skip


def _crouch(sine: Sine, strength: float) -> Pose:
    bob = 3 * sine(0.8)
    return {
        LEAN: 8, ARM_L: -35, HAND_L: -10, ARM_R: 35, HAND_R: 10,
        THIGH_L: -80 + bob, SHIN_L: 25, THIGH_R: 80 - bob, SHIN_R: -25,
    }  # fmt: skip


def _jump(sine: Sine, strength: float) -> Pose:
    height = np.abs(sine(0.8))  # 1.6 hops a second
    return {
        LIFT: 15 * strength * height, ARM_L: -20, HAND_L: 10, ARM_R: 20, HAND_R: -10,
        THIGH_L: -8 - 45 * height, SHIN_L: 5 + 40 * height, THIGH_R: 8 + 45 * height, SHIN_R: -5 - 40 * height,
    }  # fmt: skip


def _wave(sine: Sine, strength: float) -> Pose:
    return {ARM_R: 140, HAND_R: 175 + 40 * strength * sine(1.5)}


def _point(sine: Sine, strength: float) -> Pose:
    sway = 3 * strength * sine(0.7)
    return {LEAN: -5, ARM_R: 128 + sway, HAND_R: 128 + sway}


def _bow(sine: Sine, strength: float) -> Pose:
    lean = 68 + 10 * strength * sine(0.7)
    return {LEAN: lean, ARM_L: 15, HAND_L: 25, ARM_R: 25, HAND_R: 35}


def _dance(sine: Sine, strength: float) -> Pose:
    swing = strength * sine(1.0)
    left, right = np.maximum(-swing, 0), np.maximum(swing, 0)  # each leg while it kicks
    return {
        LEAN: 10 * swing, SHIFT: 4 * swing,
        ARM_L: -38 + 18 * swing, HAND_L: -150 + 20 * swing, ARM_R: 38 + 18 * swing, HAND_R: 150 + 20 * swing,
        THIGH_L: -12 - 58 * left, SHIN_L: -2 - 30 * left, THIGH_R: 12 + 58 * right, SHIN_R: 2 + 30 * right,
    }  # fmt: skip


def _raise(sine: Sine, strength: float) -> Pose:
    sway = 8 * strength * sine(1.1)
    return {ARM_L: -158 + sway, HAND_L: -166 + sway, ARM_R: 158 - sway, HAND_R: 166 - sway}


def _spread(sine: Sine, strength: float) -> Pose:
    sway = 10 * strength * sine(1.1)
    return {ARM_L: -88 + sway, HAND_L: -92 + sway, ARM_R: 88 - sway, HAND_R: 92 - sway}


def _hands_on_head(sine: Sine, strength: float) -> Pose:
    sway = 7 * strength * sine(1.1)
    return {ARM_L: -112 + sway, HAND_L: -228 + sway, ARM_R: 112 - sway, HAND_R: 228 - sway}


MOTIONS: dict[str, Callable[[Sine, float], Pose]] = {
    "stand": _stand, "walk": _walk, "crouch": _crouch, "jump": _jump, "wave": _wave, "point": _point, "bow": _bow,
    "dance": _dance, "raise": _raise, "spread": _spread, "hands_on_head": _hands_on_head,
}  # fmt: skip


def action_pose(action: Performance, times: np.ndarray) -> np.ndarray:
    """Return the pose of one action at `times` (seconds, [T]): [T, 11]."""

    def sine(frequency: float) -> np.ndarray:
        return np.sin(2 * np.pi * (frequency * action.tempo * (times - action.event.start) + action.phase))

    pose = np.tile(REST, (len(times), 1))
    for column, value in MOTIONS[action.event.motion](sine, action.strength).items():
        pose[:, column] = value
    if action.facing < 0:
        pose = pose[:, MIRRORED]
        pose[:, [column for column in range(len(REST)) if column != LIFT]] *= -1
    return pose


def _begun(seconds: np.ndarray) -> np.ndarray:
    """Rise smoothly from 0, a fifth of a second before the begin, to 1 at the begin."""
    ramp = np.clip(seconds / BLEND_SECONDS + 1, 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def poses(actions: Sequence[Performance], times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pose and place of a figure.

    Args:
        actions: the actions of the figure, in order and without gaps.
        times: seconds, [T].

    Returns:
        Poses [T, 11] and x in world units [T].
    """
    pose = np.zeros((len(times), len(REST)))
    for number, action in enumerate(actions):
        start, end = action.event.start, action.event.start + action.event.seconds
        weight = np.ones(len(times)) if number == 0 else _begun(times - start)
        if number + 1 < len(actions):
            weight = weight - _begun(times - end)
        live = np.flatnonzero(weight)
        pose[live] += weight[live, None] * action_pose(action, times[live])
    knots = [action.event.start for action in actions] + [actions[-1].event.start + actions[-1].event.seconds]
    places = [action.x_from for action in actions] + [actions[-1].x_to]
    return pose, np.interp(times, knots, places)

from dataclasses import replace

import numpy as np

from pipeline.playground.actions import MOMENTARY
from pipeline.playground.figures import capsule_boxes, figure_capsules
from pipeline.playground.motions import MOTIONS, action_pose, poses
from pipeline.playground.script import Script, write_script
from tests.playground.conftest import SEED


def clips(films: list[Script]) -> dict[str, list[np.ndarray]]:
    """Poses of every action in a clip of 4 frames around each of its keyframes, by motion: [4, 11]."""
    found: dict[str, list[np.ndarray]] = {}
    for film in films:
        for figure in film.figures:
            for action in figure.actions:
                for second in range(action.event.start, action.event.start + action.event.seconds):
                    pose, _ = poses(figure.actions, second + 0.5 + np.array([-8, -4, 0, 4]) / 15)
                    found.setdefault(action.event.motion, []).append(pose)
    return found


def test_every_class_has_a_motion() -> None:
    assert set(MOTIONS) == set(MOMENTARY)


def test_mirrored_motions_are_mirror_images(film: Script) -> None:
    times = np.arange(0, 75, 0.1)
    look = replace(film.figures[0].look, hat="tall")  # the peak of a cap has a side
    for action in (action for figure in film.figures for action in figure.actions):
        right, left = (
            capsule_boxes(figure_capsules(replace(film.figures[0], look=look, actions=(turned,)), times))
            for turned in (replace(action, facing=facing, x_from=80.0, x_to=80.0) for facing in (1, -1))
        )
        assert np.allclose(right[:, [0, 2]] - 80, 80 - left[:, [2, 0]])
        assert np.allclose(right[:, [1, 3]], left[:, [1, 3]])


def test_an_action_is_alone_in_the_clips_of_its_keyframes(film: Script) -> None:
    """From its first instant until a fifth of a second before the next one."""
    for figure in film.figures:
        for action in figure.actions[1:-1]:
            start, end = action.event.start, action.event.start + action.event.seconds
            times = np.linspace(start, end - 0.2, 50)
            pose, x = poses(figure.actions, times)
            assert np.allclose(pose, action_pose(action, times))
            assert np.allclose(x, np.interp(times, [start, end], [action.x_from, action.x_to]))


def test_poses_are_continuous(film: Script) -> None:
    for figure in film.figures:
        steps = []
        for step in (0.002, 0.001):
            pose, x = poses(figure.actions, np.arange(0, film.seconds, step))
            steps.append(np.abs(np.diff(np.column_stack([pose, x]), axis=0)).max(0))
        # Half the time, half the way: no jump anywhere.
        assert (steps[1] < 0.6 * steps[0] + 1e-9).all()


def test_a_clip_tells_the_motion() -> None:
    """The nearest clip of other films, by pose, has the same motion: what the labels of one moment need."""
    known = clips([write_script(SEED, "train", index, min_seconds=75, max_seconds=75) for index in range(6)])
    asked = clips([write_script(SEED, "val", index, min_seconds=75, max_seconds=75) for index in range(3)])
    table = np.stack([pose.ravel() for motion in MOMENTARY for pose in known[motion]])
    names = [motion for motion in MOMENTARY for _ in known[motion]]
    right = {
        motion: np.mean([names[int(np.abs(table - pose.ravel()).sum(1).argmin())] == motion for pose in asked[motion]])
        for motion in MOMENTARY
    }
    assert {motion: share for motion, share in right.items() if share < 0.97} == {}


def test_dances_after_different_signals_are_the_same_motion() -> None:
    """The signal reaches neither the pose nor its parameters."""
    films = [write_script(SEED, "train", index, min_seconds=75, max_seconds=75) for index in range(40)]
    dances: dict[tuple[int, ...], list[tuple[float, float, float]]] = {}
    for film in films:
        for action in (each for figure in film.figures for each in figure.actions):
            if action.event.motion == "dance":
                dances.setdefault(action.event.labels, []).append((action.tempo, action.phase, action.strength))
    assert len(dances) == 3
    means = np.array([np.mean(each, 0) for each in dances.values()])
    # Uniform draws, 160 of each kind: four standard errors of a mean.
    assert (np.ptp(means, axis=0) < 4 * np.array([0.2, 1.0, 0.3]) / np.sqrt(12 * 160)).all()

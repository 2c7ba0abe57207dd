"""Figures, poses, pictures and film files of the playground."""

import hashlib
from dataclasses import replace
from pathlib import Path

import av
import decord
import numpy as np
import pytest

from pipeline.playground.actions import MOMENTARY, SIGNALS
from pipeline.playground.backdrop import draw_backdrop, value_noise
from pipeline.playground.canvas import HIDDEN, draw_capsule, new_canvas
from pipeline.playground.chance import stream
from pipeline.playground.encode import write_video
from pipeline.playground.figures import Capsules, capsule_boxes, figure_capsules
from pipeline.playground.make import FilmSpec, render_film
from pipeline.playground.motions import MOTIONS, action_pose, poses
from pipeline.playground.render import _draw_body, _draw_sky, camera, keyframe_boxes, render, shots
from pipeline.playground.script import Script, write_script

SEED = 3


@pytest.fixture(scope="module")
def film() -> Script:
    return write_script(SEED, "train", 0, min_seconds=75, max_seconds=75)


@pytest.fixture(scope="module")
def short() -> Script:
    return write_script(SEED, "train", 1, min_seconds=20, max_seconds=20)


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


def test_flags_show_only_in_signals(film: Script) -> None:
    conductor = film.figures[film.conductor]
    times = np.arange(film.seconds) + 0.5
    plain = min(figure_capsules(figure, times).radii.shape[1] for figure in film.figures)
    body = figure_capsules(conductor, times)
    flags = (body.radii > 0).sum(1) - (body.radii > 0).sum(1).min()
    signalling = [any(start <= second < start + 5 for start, _ in film.signals) for second in range(film.seconds)]
    assert flags.tolist() == [2 if each else 0 for each in signalling]
    assert body.radii.shape[1] >= plain + 2 * len(SIGNALS) - 1
    assert (capsule_boxes(body)[:, 2:] > capsule_boxes(body)[:, :2]).all()


def test_balls_and_flags_come_and_go_as_early_as_motions_blend(film: Script) -> None:
    """A fifth of a second before a whole second, so that no clip of another keyframe sees them."""
    only_balls = replace(film, sky=tuple(each for each in film.sky if each.kind == "ball"))
    begins = [each.start for each in only_balls.sky]
    shown = {second for start in begins for second in (start, start + 1)}
    assert len(begins) > 8
    times = np.arange(0, film.seconds, 0.05) + 0.025
    canvas = new_canvas(times, camera(film, SEED, times), width=64, height=48)
    _draw_sky(canvas, only_balls)
    seen = canvas.frames.any(axis=(0, 2, 3))
    assert seen.tolist() == [int(np.floor(time + 0.2)) in shown for time in times]
    radii = figure_capsules(film.figures[film.conductor], times).radii
    signalling = {second for start, _ in film.signals for second in range(start, start + 5)}
    flags = (radii > 0).sum(1) > (radii > 0).sum(1).min()
    assert flags.tolist() == [int(np.floor(time + 0.2)) in signalling for time in times]


def test_a_capsule_covers_its_area_and_nothing_else() -> None:
    stack = np.zeros((3, 2, 40, 60), np.float32)
    # Off the pixels' centres; in the second frame it is outside.
    start, end = np.array([[20.3, 20.4], [70, 90]]), np.array([[30.3, 20.4], [70, 90]])
    draw_capsule(stack, start, end, radius=np.array([4.8, 4.8]), colour=np.array([100.0, 200.0, 50.0]))
    assert not stack[:, 1].any()
    cover = stack[1, 0] > 0.25 * 200  # half of a pixel of the rim
    rows, columns = np.nonzero(cover)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (16, 35, 16, 25)
    assert abs(cover.sum() - (10 * 9.6 + np.pi * 4.8**2)) < 6
    assert stack[:, 0, 20, 25].tolist() == [100, 200, 50]
    assert stack[1, 0, 16, 25] < 0.6 * 200  # the rim is dark
    before = stack.copy()
    draw_capsule(stack, start, end, radius=np.array([HIDDEN, HIDDEN]), colour=np.ones(3))
    assert np.array_equal(stack, before)


@pytest.mark.parametrize(("width", "height"), [(160, 120), (96, 72), (214, 120)])
def test_boxes_are_tight_around_what_is_drawn(width: int, height: int) -> None:
    film = write_script(SEED, "val", 0, min_seconds=20, max_seconds=20, world_width=120 * width / height)
    times = np.arange(20) + 0.5
    moved = camera(film, SEED, times)
    boxes = keyframe_boxes(film, SEED, times)
    for number, figure in enumerate(film.figures):
        body = figure_capsules(figure, times)
        canvas = new_canvas(times, moved, width=width, height=height)
        white = Capsules(body.ends, body.radii, np.full_like(body.colours, 255))
        _draw_body(canvas, white, np.arange(20))
        for second in range(20):
            # Where at least half of a pixel of the dark rim is covered.
            rows, columns = np.nonzero(canvas.frames[0, second] > 0.25 * 255)
            drawn = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            box = boxes[second, number] * [width, height, width, height]
            assert np.abs(drawn - box).max() <= 1.0


def test_a_texture_repeats_without_a_seam() -> None:
    noise = value_noise(np.random.default_rng(0), 30, 96, cell=12)
    assert noise.shape == (30, 96)
    assert noise.min() >= 0
    assert noise.max() <= 1
    assert np.abs(noise[:, 0] - noise[:, -1]).max() < 0.2
    backdrop = draw_backdrop(stream("a"), width=160, height=120)
    assert backdrop.picture.shape == (3, 120, backdrop.period + 160)
    assert np.array_equal(backdrop.picture[..., :160], backdrop.picture[..., backdrop.period :])
    assert backdrop.picture.std() > 5


def test_shots_change_with_cuts_and_show_nobody_in_empty_seconds(film: Script) -> None:
    begins = {begin: persons for begin, _, persons in shots(film)}
    ends = [end for _, end, _ in shots(film)]
    assert [*begins][1:] == ends[:-1]
    assert ends[-1] == film.seconds
    for second in film.empty:
        assert not begins[second - 0.2 if second else 0.0]
    for cut in film.cuts:
        assert cut - 0.2 in begins
    for second in set(range(film.seconds)) - set(film.empty):
        assert [persons for begin, end, persons in shots(film) if begin <= second + 0.5 < end] == [True]


def test_frames_show_persons_where_the_boxes_are(short: Script) -> None:
    """Outside the boxes neighbouring frames differ by noise; inside walking figures they move."""
    frames = np.concatenate(list(render(short, seed=SEED, width=160, height=120)))
    assert frames.shape == (20 * short.fps, 120, 160, 3)
    assert frames.dtype == np.uint8
    boxes = keyframe_boxes(short, SEED, np.arange(20) + 0.5)
    inside, outside = [], []
    for second in set(range(20)) - set(short.empty):
        frame = frames[int((second + 0.5) * short.fps)].astype(float)
        rim = np.hypot(*np.gradient(frame.mean(-1)))
        mask = np.zeros((120, 160), bool)
        for x1, y1, x2, y2 in boxes[second] * [160, 120, 160, 120]:
            mask[int(y1) : int(y2) + 1, int(x1) : int(x2) + 1] = True
        inside.append(rim[mask].mean())
        outside.append(rim[~mask].mean())
    assert np.mean(inside) > 2 * np.mean(outside)
    assert frames.std(axis=(1, 2, 3)).min() > 10


def test_an_empty_second_shows_nobody(short: Script) -> None:
    (second,) = short.empty
    frames = np.concatenate(list(render(short, seed=SEED, width=96, height=72))).astype(float)
    rims = np.array([np.hypot(*np.gradient(frame.mean(-1)))[20:60].mean() for frame in frames])
    at = np.arange(len(frames)) / short.fps
    alone = (at >= second - 0.1) & (at < second + 0.7)
    others = (at < second - 0.3) | (at > second + 1)
    assert rims[alone].max() < 0.8 * rims[others].min()


@pytest.mark.parametrize("fps", [15, 24, 25, 30])
def test_a_film_file_has_its_frames_at_their_times(tmp_path: Path, fps: int) -> None:
    levels = np.linspace(30, 220, 2 * fps)
    stacks = (np.full((1, 48, 64, 3), level, np.uint8) for level in levels)
    path = tmp_path / "film.mp4"
    assert write_video(path, stacks, fps=fps) == 2 * fps
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert (video.codec_context.name, video.width, video.height, video.average_rate) == ("h264", 64, 48, fps)
        assert container.metadata.keys() == {"major_brand", "minor_version", "compatible_brands"}
        decoded = [(float(frame.time), frame.to_ndarray(format="rgb24").mean()) for frame in container.decode(video)]
    assert np.allclose([time for time, _ in decoded], np.arange(2 * fps) / fps, atol=1e-3)
    assert np.allclose([level for _, level in decoded], levels.astype(np.uint8), atol=3)
    reader = decord.VideoReader(str(path))
    assert len(reader) == 2 * fps
    assert np.allclose(reader.get_frame_timestamp(range(2 * fps))[:, 0], np.arange(2 * fps) / fps, atol=1e-3)


def test_the_same_film_has_the_same_bytes(tmp_path: Path) -> None:
    spec = FilmSpec(SEED, "train", 0, 20, 20, 96, 72)
    digests = set()
    for name in "ab":
        (tmp_path / name).mkdir()
        digests.add(hashlib.sha256(render_film(tmp_path / name, spec).read_bytes()).hexdigest())
    assert len(digests) == 1
    other = render_film(tmp_path, FilmSpec(SEED + 1, "train", 0, 20, 20, 96, 72))
    assert hashlib.sha256(other.read_bytes()).hexdigest() not in digests

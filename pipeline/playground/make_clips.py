"""Make a playground of clips: short films of one class each, with labels in the layout of Something-Something v2."""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.base.errors import InputError
from pipeline.base.files import link_file, replace_folder, write_json
from pipeline.base.progress import progress
from pipeline.base.work import item_key, make_item
from pipeline.base.workers import map_in_processes
from pipeline.playground.backdrop import draw_backdrop
from pipeline.playground.canvas import WORLD_HEIGHT, new_canvas
from pipeline.playground.chance import stream
from pipeline.playground.encode import write_video
from pipeline.playground.gestures import GESTURES, MIDDLE_Y, Gesture, Thing, templates
from pipeline.playground.looks import draw_colour
from pipeline.playground.settings import ClipPlayground

STAGE = "make_clips"
OUTS = {"videos": ("*.mp4",), "labels": ("labels.json", "train.json", "validation.json")}
SPLITS = {"train": "train.json", "val": "validation.json"}
FIRST_ID = {"train": 100_000, "val": 900_000}
IDS_PER_CLASS = 10_000
NOISE = 2.0  # standard deviation, of values 0 to 255
MIN_SIDE, MAX_SIDE = 32, 480
NAMES = ("ball", "bottle", "cup", "book", "toy")


@dataclass(frozen=True)
class ClipSpec:
    """Everything on which the bytes of one clip depend."""

    seed: int
    split: str
    template: str
    index: int
    "Number of the clip among those of its class."
    fps: int
    min_frames: int
    max_frames: int
    width: int
    height: int

    @property
    def video_id(self) -> str:
        """Return the clip's id: a number, as in Something-Something."""
        return str(FIRST_ID[self.split] + templates().index(self.template) * IDS_PER_CLASS + self.index)


@dataclass(frozen=True)
class ClipCounts:
    """Counts of what a playground of clips holds."""

    train_clips: int
    val_clips: int
    classes: int

    def __str__(self) -> str:
        return f"{self.train_clips} train and {self.val_clips} val clips of {self.classes} classes"


def clip_specs(settings: ClipPlayground) -> list[ClipSpec]:
    """Return one spec per clip, train before val.

    Raises:
        InputError: a length or a size is out of range.
    """
    where = "playground of clips"
    if not 2 <= settings.min_frames <= settings.max_frames:
        found = f"min_frames {settings.min_frames} and max_frames {settings.max_frames}"
        raise InputError(f"{where}: {found}, expected 2 or more, and the second not below the first")
    sides = (settings.width, settings.height)
    if any(side % 2 or not MIN_SIDE <= side <= MAX_SIDE for side in sides):
        raise InputError(
            f"{where}: {sides[0]}x{sides[1]} pixels, expected even sides of {MIN_SIDE} to {MAX_SIDE} pixels"
        )
    if max(settings.train_per_class, settings.val_per_class) > IDS_PER_CLASS:
        raise InputError(f"{where}: more than {IDS_PER_CLASS} clips of a class, for which there are no ids")
    counts = {"train": settings.train_per_class, "val": settings.val_per_class}
    film = settings.model_dump(exclude={"train_per_class", "val_per_class"})
    return [
        ClipSpec(split=split, template=template, index=index, **film)
        for split, count in counts.items()
        for template in templates()
        for index in range(count)
    ]


def render_clip(folder: Path, spec: ClipSpec) -> Path:
    """Write one clip into `folder` and return its file, `<video_id>.mp4`."""
    path = folder / f"{spec.video_id}.mp4"
    write_video(path, [clip_frames(spec)], fps=spec.fps)
    return path


def clip_frames(spec: ClipSpec) -> np.ndarray:
    """Draw a clip: uint8 [F, height, width, 3].

    The clips of one number of both classes of a pair are one scene, played forwards and backwards.
    """
    gesture, is_backward, is_mirrored = _played(spec.template, spec.index)
    rng = stream(spec.seed, spec.split, gesture.name, int(is_mirrored), spec.index)
    frames = int(rng.integers(spec.min_frames, spec.max_frames + 1))
    canvas = new_canvas(np.arange(frames) / spec.fps, np.zeros((frames, 2)), width=spec.width, height=spec.height)
    backdrop = draw_backdrop(rng, width=spec.width, height=spec.height)
    canvas.frames[:] = backdrop.picture[:, None, :, : spec.width] * 0.6 + 60
    gesture.draw(canvas, _thing(rng, WORLD_HEIGHT * spec.width / spec.height), _progress(rng, frames))
    noisy = canvas.frames + rng.normal(0, NOISE, canvas.frames.shape)
    drawn = np.clip(np.rint(noisy), 0, 255).astype(np.uint8).transpose(1, 2, 3, 0)
    drawn = drawn[:, :, ::-1] if is_mirrored else drawn
    return np.ascontiguousarray(drawn[::-1] if is_backward else drawn)


def _played(template: str, index: int) -> tuple[Gesture, bool, bool]:
    """Return the gesture of a class, and whether it is played backwards and mirrored.

    Where a gesture and its mirror image are of the same class, every second clip is mirrored.
    """
    for gesture in GESTURES:
        pairs = ((gesture.forward, gesture.backward), gesture.mirrored)
        if template in pairs[0] and pairs[0] == pairs[1]:
            return gesture, template != gesture.forward, index % 2 == 1
        if set(pairs[0]) == set(pairs[1]) and template in pairs[0]:  # the mirror image is the other class
            is_mirrored = index % 2 == 1
            return gesture, template != pairs[is_mirrored][0], is_mirrored
        for number, pair in enumerate(pairs):
            if template in pair:
                return gesture, template != pair[0], number == 1
    raise ValueError(f"no gesture shows {template!r}")


def _thing(rng: np.random.Generator, world_width: float) -> Thing:
    return Thing(
        radius=float(rng.uniform(11, 15)),
        colour=draw_colour(rng, saturation=(0.7, 1.0), value=(0.6, 1.0)),
        hand=(224, 172, 138),
        x=world_width / 2 + float(rng.uniform(-8, 8)),
        y=MIDDLE_Y + float(rng.uniform(-8, 8)),
        turn=float(rng.uniform(0, 2 * np.pi)),
    )


def _progress(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Return how much of the motion is done in each frame, [F]: from 0 to 1, with rest at both ends."""
    begin, end = rng.uniform(0, 0.15), 1 - rng.uniform(0, 0.15)
    share = np.clip((np.arange(frames) / (frames - 1) - begin) / (end - begin), 0, 1)
    return np.asarray(share * share * (3 - 2 * share))


def cached_clip(code: str, spec: ClipSpec) -> Path:
    """Return the clip's file in `.work`; render it first if it is absent. `code` is the version of the renderer."""

    def make(folder: Path) -> None:
        render_clip(folder, spec)

    (path,) = make_item(STAGE, item_key(code=code, spec=asdict(spec)), make).glob("*.mp4")
    return path


def make_clips(
    out: Path, settings: ClipPlayground, *, workers: int, clip_file: Callable[[ClipSpec], Path] | None = None
) -> ClipCounts:
    """Make the folders `videos` and `labels` below `out`.

    A clip depends on its spec alone: one more clip changes no other.

    Args:
        out: the folder to write to; each folder appears complete or not at all.
        settings: number, lengths and size of the clips.
        workers: number of processes.
        clip_file: renders a clip and returns its file, e.g. from a cache; must be picklable.

    Raises:
        InputError: a number, length or size is out of range.
    """
    specs = clip_specs(settings)
    with ExitStack() as stack:
        videos, labels = (stack.enter_context(replace_folder(out / name, own)) for name, own in OUTS.items())
        rendered = map_in_processes(clip_file or partial(render_clip, videos), specs, workers=workers)
        for path in progress(rendered, what="rendering", total=len(specs), unit="clip"):
            if path.parent != videos:
                link_file(path, videos / path.name)
        names = [each.replace("[", "").replace("]", "") for each in templates()]
        write_json(labels / "labels.json", {name: str(number) for number, name in enumerate(names)})
        for split, file in SPLITS.items():
            write_json(labels / file, [label_entry(spec) for spec in specs if spec.split == split])
    splits = Counter(spec.split for spec in specs)
    return ClipCounts(splits["train"], splits["val"], len(names))


def label_entry(spec: ClipSpec) -> dict[str, object]:
    """Return what the label file says about a clip."""
    count = spec.template.count("[")
    words = [f"a {NAMES[(spec.index + number) % len(NAMES)]}" for number in range(count)]
    text = spec.template
    for word in words:
        text = text[: text.index("[")] + word + text[text.index("]") + 1 :]
    return {"id": spec.video_id, "label": text, "template": spec.template, "placeholders": words}

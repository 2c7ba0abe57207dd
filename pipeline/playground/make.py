"""Make a playground: render every film and write its files."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from pipeline.base.errors import InputError
from pipeline.base.files import link_file, replace_folder
from pipeline.base.progress import progress
from pipeline.base.work import item_key, make_item
from pipeline.base.workers import map_in_processes
from pipeline.playground.canvas import WORLD_HEIGHT
from pipeline.playground.encode import write_video
from pipeline.playground.render import render
from pipeline.playground.script import Script, Split, write_script
from pipeline.playground.settings import Playground
from pipeline.playground.write_files import describe_film, write_annotations, write_objects, write_proposals

STAGE = "make_videos"
MIN_SECONDS, MAX_SECONDS = 20, 600
MIN_HEIGHT, MAX_HEIGHT = 48, 480
ASPECTS = (4 / 3, 2.4)  # allowed width by height; in narrower frames figures cannot stand far enough apart
OUTS = {
    "videos": ("*.mp4",),
    "annotations": ("excluded_*.csv", "train.csv", "val.csv", "videos.csv", "labelmap.pbtxt"),
    "proposals": ("proposals_*.pkl",),
    "proposals_csv": ("boxes_*.csv",),
    "objects": ("objects_*.csv",),
}


@dataclass(frozen=True)
class FilmSpec:
    """Everything on which the bytes of one film depend."""

    seed: int
    split: Split
    index: int
    min_seconds: int
    max_seconds: int
    width: int
    height: int

    def script(self) -> Script:
        """Return the film's script."""
        return write_script(
            self.seed,
            self.split,
            self.index,
            min_seconds=self.min_seconds,
            max_seconds=self.max_seconds,
            world_width=WORLD_HEIGHT * self.width / self.height,
        )


@dataclass(frozen=True)
class Counts:
    """Counts of what a playground holds."""

    train_videos: int
    val_videos: int
    seconds: int
    boxes: int
    labels: int
    proposals: int
    objects: int

    def __str__(self) -> str:
        return (
            f"{self.train_videos} train and {self.val_videos} val videos of {self.seconds} s in all, "
            f"{self.boxes} boxes with {self.labels} labels, {self.proposals} proposals, {self.objects} objects"
        )


def film_specs(
    *,
    train_videos: int,
    val_videos: int,
    min_seconds: int,
    max_seconds: int,
    width: int,
    height: int,
    seed: int,
) -> list[FilmSpec]:
    """Return one spec per film, train before val.

    Raises:
        InputError: a length or a size is out of range.
    """
    if train_videos < 1 or val_videos < 1:
        raise InputError(f"playground: {train_videos} train and {val_videos} val videos, expected 1 or more of each")
    if not MIN_SECONDS <= min_seconds <= max_seconds <= MAX_SECONDS:
        raise InputError(
            f"playground: found dataset.playground.min_seconds {min_seconds} and dataset.playground.max_seconds "
            f"{max_seconds}, expected {MIN_SECONDS} or more, and the second from the first to {MAX_SECONDS}"
        )
    if width % 2 or height % 2 or not MIN_HEIGHT <= height <= MAX_HEIGHT:
        raise InputError(
            f"playground: {width}x{height} pixels, expected even sides and a height of {MIN_HEIGHT} to {MAX_HEIGHT}"
        )
    if not ASPECTS[0] <= width / height <= ASPECTS[1]:
        raise InputError(f"playground: {width}x{height} pixels, expected 4:3 to 2.4:1")
    counts: list[tuple[Split, int]] = [("train", train_videos), ("val", val_videos)]
    return [
        FilmSpec(seed, split, index, min_seconds, max_seconds, width, height)
        for split, count in counts
        for index in range(count)
    ]


def render_film(folder: Path, spec: FilmSpec) -> Path:
    """Write one film into `folder` and return its file, `<video_id>.mp4`."""
    script = spec.script()
    path = folder / f"{script.video_id}.mp4"
    frames = render(script, seed=spec.seed, width=spec.width, height=spec.height)
    write_video(path, frames, fps=script.fps)
    return path


def cached_film(code: str, spec: FilmSpec) -> Path:
    """Return the film's file in `.work`; render it first if it is absent. `code` is the version of the renderer."""

    def make(folder: Path) -> None:
        render_film(folder, spec)

    (path,) = make_item(STAGE, item_key(code=code, spec=asdict(spec)), make).glob("*.mp4")
    return path


def make_playground(
    out: Path, settings: Playground, *, workers: int, film_file: Callable[[FilmSpec], Path] | None = None
) -> Counts:
    """Make the folders `videos`, `annotations`, `proposals`, `proposals_csv` and `objects` below `out`.

    A film depends on its spec alone: one more film changes no other. If a split lacks some class, as with a few short
    films, its files are still valid.

    Args:
        out: the folder to write to; each folder appears complete or not at all.
        settings: number, lengths and size of the films.
        workers: number of processes.
        film_file: renders a film and returns its file, e.g. from a cache; must be picklable.

    Raises:
        InputError: a number, length or size is out of range.
    """
    specs = film_specs(**settings.model_dump())
    with ExitStack() as stack:
        videos, annotations, pickles, tables, objects = (
            stack.enter_context(replace_folder(out / name, own)) for name, own in OUTS.items()
        )
        for path in _films(film_file or partial(render_film, videos), specs, workers):
            if path.parent != videos:
                link_file(path, videos / path.name)
        films = [describe_film(spec.script(), settings.seed) for spec in specs]
        write_annotations(annotations, films)
        write_proposals(pickles, tables, films)
        write_objects(objects, films)
    labels = [film.script.labels(second) for film in films for second in range(film.script.seconds)]
    return Counts(
        train_videos=settings.train_videos,
        val_videos=settings.val_videos,
        seconds=sum(film.script.seconds for film in films),
        boxes=sum(map(len, labels)),
        labels=sum(len(action_ids) for rows in labels for _, action_ids in rows),
        proposals=sum(len(rows) for film in films for rows in film.proposals),
        objects=sum(len(found.rows) for film in films for found in film.objects),
    )


def _films(film_file: Callable[[FilmSpec], Path], specs: list[FilmSpec], workers: int) -> Iterator[Path]:
    rendered = map_in_processes(film_file, specs, workers=workers)
    yield from progress(rendered, what="rendering", total=len(specs), unit="film")

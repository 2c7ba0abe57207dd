"""Tell of films of several shapes, whose clips get batches of their own unless they are cropped."""

from collections.abc import Iterable, Mapping

from pipeline.base.problems import Problem
from pipeline.doctor.finding import Finding, findings_of
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.params import Params
from pipeline.video.size import clip_sizes, scaled_size, sizes_in_words


def check_shapes(params: Params, films: Mapping[str, ProbedFilm], trained: Iterable[str]) -> list[Finding]:
    """Report several film shapes of which train_baseline, or train_head in scope all, makes separate batches.

    Args:
        params: the parameters.
        films: the readable films.
        trained: the films of train that have labels.
    """
    sizes = {
        each: _stored(films[each], params.frames.short_side) for each in trained if each in films and films[each].width
    }
    problems = []
    trainings = {"baseline": params.baseline} | (
        {"head_train": params.head_train} if params.scope.name == "all" else {}
    )
    for name, training in trainings.items():
        changes = training.augmentation
        if changes.crop != "none" or training.bn_batch == 1 or not training.schedule.epochs:
            continue
        shown = params.backbone.input
        of_clips = clip_sizes(sizes, changes.short_side[0], shown.long_side, shown.shape)
        if len(of_clips) > 1:
            found = f"none and clips of {sizes_in_words(of_clips)}"
            expected = f"at most {changes.short_side[0]} ({name}.augmentation.short_side)"
            problems.append((Problem("params", f"{name}.augmentation.crop", found, expected), len(of_clips)))
    return findings_of(
        "film-shapes-differ", "note", "shapes of films, whose clips get batches of their own",
        [problem for problem, _ in problems],
        f"Set {' and '.join(problem.item for problem, _ in problems)} to cut each clip to a random square, as in most "
        "published recipes; actionbank new-dataset writes it. As it stands whole frames are trained on, and a shape of "
        "few keyframes makes small batches, of which batch norms have poor statistics.",
        count=max((count for _, count in problems), default=0),
    )  # fmt: skip


def _stored(film: ProbedFilm, short_side: int | str) -> tuple[int, int]:
    """Return (height, width) of a film's stored frames, which are never scaled up."""
    if isinstance(short_side, str) or min(film.height, film.width) <= short_side:
        return film.height, film.width
    return scaled_size(film.height, film.width, short_side)

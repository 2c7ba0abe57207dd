"""Check what files of annotation tools hold besides their rows: attributes that are not read, sizes, frame counts."""

from collections.abc import Mapping, Sequence

from pipeline.annotations.assemble import AvaImport
from pipeline.annotations.frame_times import NAME as FRAME_TIMES
from pipeline.annotations.frame_times import ROUNDING_SECONDS, Clock
from pipeline.annotations.listed import Listed
from pipeline.annotations.notices import Kind, Notice
from pipeline.base.problems import Problem
from pipeline.doctor.finding import Finding, Severity, findings_of
from pipeline.doctor.probe_films import ProbedFilm

# Scaling rounds to whole, mostly even pixels, and codecs pad the height to a multiple of 16.
SHAPE_TOLERANCE = 0.03

# kind -> severity, title, remedy.
NOTICES: dict[Kind, tuple[Severity, str, str]] = {
    "attribute-ignored": (
        "warning", "attributes of the annotations are not read",
        "Look whether one of them names actions: set dataset.action_attribute to those that do, as a list, which also "
        "settles this.",
    ),
    "label-without-attribute": (
        "warning", "tracks have a label without the attributes that name actions, and give no row",
        "Nothing, if they are objects. Persons need the attribute, or set dataset.action_attribute: none if the label "
        "is the action.",
    ),
    "without-action": (
        "note", "boxes of the annotations have no action, and give no row",
        "Nothing, if these persons do none of the actions: a keyframe without any other is one that shows nobody. Else "
        "the tool did not write the attribute: set it at every box.",
    ),
    "boxes-unmet": (
        "warning", "times that a person is annotated and no keyframe meets it",
        "Lower dataset.keyframe_seconds if their labels are wanted: what lies between two keyframes is not used. "
        "Images of VIA that were taken at another rate than the film's need that rate as fps in videos.csv: their "
        "second is (number - 1) / fps.",
    ),
    "frames-deleted": (
        "note", "keyframes lie at frames that were deleted from the task, and are left out",
        "Nothing: nobody looked at these frames.",
    ),
    "several-annotators": (
        "warning", "further annotations of a film are not read",
        "Keep one of them, or mark the one to be read as ground truth.",
    ),
    "without-box": (
        "warning", "labels belong to no box, and are not read",
        "A label needs the box of the person who does it: draw one, or leave them out.",
    ),
}  # fmt: skip


def sort_notices(notices: Sequence[Notice]) -> list[Finding]:
    """Return one finding for each kind of notice."""
    findings = []
    for kind, (severity, title, remedy) in NOTICES.items():
        of_kind = [each for each in notices if each.kind == kind]
        problems = [each.problem for each in of_kind]
        findings += findings_of(kind, severity, title, problems, remedy, count=sum(each.count for each in of_kind))
    return findings


def check_sizes(imported: AvaImport, films: Mapping[str, ProbedFilm]) -> list[Finding]:
    """Find films that were annotated on pictures of another shape."""
    turned: list[Problem] = []
    other: list[Problem] = []
    for video_id, sizes in sorted(imported.sizes.items()):
        film = films.get(video_id)
        if film is None or not film.width or not film.height:
            continue
        shape = film.width / film.height
        for width, height in sorted(sizes):
            if abs(width / height / shape - 1) <= SHAPE_TOLERANCE:
                continue
            found = f"annotated at {width:g} x {height:g}"
            problem = Problem("annotations", video_id, found, f"the shape of the film, {film.width} x {film.height}")
            (turned if (width > height) != (film.width > film.height) else other).append(problem)
    both = [*turned, *other]
    return findings_of(
        "size-of-annotations", "error" if turned else "warning",
        "films have another shape than the pictures that were annotated", both,
        "Look whether the boxes lie on the persons: an annotation tool that does not turn a phone's film, a crop or "
        "black bars put them elsewhere. Annotate the film as it is shown, or scale the boxes. Right as it stands only "
        "if the annotated copy was squeezed to that size.",
    )  # fmt: skip


def check_frame_times(
    imported: AvaImport, films: Mapping[str, ProbedFilm], listed: Mapping[str, Listed]
) -> list[Finding]:
    """Find films with a varying rate whose annotations count frames."""
    missing, wrong = [], []
    for video_id in sorted(imported.counted):
        film, knots = films.get(video_id), listed.get(video_id, Listed()).knots
        if film is None:
            continue
        if film.knots and not knots:
            found = f"a rate that varies: frame n / {film.fps:.5g} misses its time by up to {film.off_seconds:.3g} s"
            missing.append(Problem("annotations", video_id, found, f"its times in {FRAME_TIMES}"))
        elif knots and not _agree(knots, film):
            last = knots[-1]
            found = f"frame {last[0]} at {last[1]:.6g} s and others"
            wrong.append(Problem(FRAME_TIMES, video_id, found, f"the times of the film's {film.frames} frames"))
    remedy = f"Remove {FRAME_TIMES} and run actionbank new-dataset --force, which writes it from the films' own times."
    return [
        *findings_of("frame-rate-varies", "error", "films have frames that a constant rate misses", missing,
                     f"Run actionbank new-dataset --force: it writes {FRAME_TIMES} beside videos.csv, unless there is "
                     "another rate than the film's mean in it."),
        *findings_of("frame-times-of-other-film", "error", f"films have other times than {FRAME_TIMES} says", wrong,
                     remedy),
    ]  # fmt: skip


def _agree(knots: Sequence[Sequence[float]], film: ProbedFilm) -> bool:
    """Return whether the times fit this film; a user's file may have other knots that give the same times."""
    from_film = film.knots or ((0, 0.0), (film.frames - 1, (film.frames - 1) / film.fps if film.fps else 0.0))
    own, told = (Clock(1.0, tuple((int(n), t) for n, t in each)) for each in (from_film, knots))
    room = 2 * ROUNDING_SECONDS if film.knots else 0.5 / film.fps if film.fps else 0.0
    frames = [int(n) for n, _ in (*from_film, *knots)]
    return max(frames) < film.frames and all(abs(own.seconds(n) - told.seconds(n)) <= room for n in frames)

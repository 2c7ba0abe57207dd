"""Load files as annotation tools write them, from tests/fixtures/cases."""

import shutil
from pathlib import Path

from pipeline.annotations.assemble import AvaImport
from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.doctor.probe_films import ProbedFilm, look_at
from pipeline.new_dataset.config import write_frame_times, write_videos_csv

CASES = Path(__file__).resolve().parent.parent / "fixtures" / "cases"
# Of the two films that most cases have.
VIDEOS = "video_id,split,fps,width,height\na,train,25,160,96\nb,val,25,160,96\n"


def folder_of(case: str, target: Path, videos: str = VIDEOS) -> Path:
    """A copy of a folder of annotations, with a videos.csv."""
    shutil.copytree(CASES / case, target, copy_function=shutil.copyfile)
    (target / "videos.csv").write_text(videos)
    return target


def kitchen(target: Path, files: dict[str, str]) -> Path:
    """Files of cases/formats under the names that they need; their film has 25 frames a second."""
    target.mkdir()
    for name, given in files.items():
        shutil.copyfile(CASES / "formats" / name, target / given)
    (target / "videos.csv").write_text("video_id,split,fps,width,height\nkitchen,train,25,320,240\n")
    return target


def imported(folder: Path, **options) -> AvaImport:
    return import_source(folder, SourceOptions(**{"classes": 9, **options}))


def with_films(case: str, target: Path) -> tuple[Path, dict[str, ProbedFilm]]:
    """A case whose films are looked at, as new-dataset looks at them."""
    shutil.copytree(CASES / case / "annotations", target, copy_function=shutil.copyfile)
    films = {path.stem: look_at(path, decode=False) for path in sorted((CASES / case / "films").iterdir())}
    write_videos_csv(target, films)
    write_frame_times(target, films)
    return target, films


def labels(found: AvaImport) -> list[tuple]:
    """(video, time, x1, y1, x2, y2, class) of every row."""
    names = {label.id: label.name for label in found.labels}
    return [
        (
            row["video_id"],
            row["time_seconds"],
            *(round(row[key], 4) for key in ("x1", "y1", "x2", "y2")),
            names[row["action_id"]],
        )
        for row in found.annotations.to_pylist()
    ]


def actions(found: AvaImport) -> list[tuple]:
    """(video, time, class) of every row, sorted."""
    return sorted((video, time, name) for video, time, *_, name in labels(found))


def keyframes(found: AvaImport) -> list[tuple]:
    return [(row["video_id"], row["time_seconds"], row["status"]) for row in found.keyframes.to_pylist()]


def kinds(found: AvaImport) -> dict[str, int]:
    """Notices by kind."""
    return dict(found.summary.get("notices", {}))

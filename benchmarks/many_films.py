"""What a film costs where there are very many: the stages from films to a bank, `dvc status` and the doctor.

    python -m benchmarks.many_films FOLDER [--films 1000 --films 10000 --pack 64 --decode --network]

Makes FOLDER/N for each number N of films: films of a few frames with the same pictures and other bytes, annotations
and boxes of each, and a baseline of random weights. Each step has its own process, and some run twice: `again` finds
all items in `.work`. Decoding and the network cost the same for each film, however many there are: stand-ins write what
they would, unless `--decode` and `--network` ask for them. Prints CPU ms a film and the most memory of each step, and
the ratio of a film at the last size to one at the first, each without what the step costs with 20 films. Files are not
synced to disk, which costs no CPU time.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.measuring import apart, peak_mib, table, tree_cpu_seconds
from pipeline.base.files import read_json, write_json

FEW = 20  # films whose cost is that of starting
VAL_SHARE = 20  # every 20th film is of val
NAME = "many"
DVC_FILE = """stages:
  extract_frames:
    cmd: "true"
    deps: [source/videos]
    outs: [data/many/frames]
  import_annotations:
    cmd: "true"
    deps: [source/annotations]
    outs: [data/many/annotations]
  infer_bank:
    cmd: "true"
    deps: [data/many/frames, data/many/annotations, data/many/boxes]
    outs: [data/many/bank/train.zarr]
"""
LABELS = 'item {\n  name: "stand"\n  id: 1\n}\nitem {\n  name: "sit"\n  id: 2\n}\n'


@dataclass(frozen=True)
class Project:
    """A folder with N films, and how they are read."""

    folder: Path
    films: int
    pack: int
    decode: bool
    network: bool


@dataclass(frozen=True)
class Cost:
    """What a step took."""

    cpu_seconds: float
    wall_seconds: float
    peak_mib: float


def film_names(count: int) -> Iterator[str]:
    """The ids of the films."""
    return (f"film_{number:06d}" for number in range(count))


def make_source(project: Project) -> None:
    """Write the films, their annotations and boxes, and the weights."""
    from tests.video.films import write_film

    source = project.folder / "source"
    for name in ("videos", "annotations", "proposals"):
        (source / name).mkdir(parents=True)
    film = write_film(project.folder / "film.mp4", frames=8, width=48, height=32, rate=4).read_bytes()
    splits: dict[str, list[str]] = {"train": [], "val": []}
    timelines, boxes = ["video_id,split,first_timestamp,offset_seconds"], []
    for number, name in enumerate(film_names(project.films)):
        # A box of MP4 that every reader passes over, so that no two films have the same bytes.
        (source / "videos" / f"{name}.mp4").write_bytes(film + b"\0\0\0\x10free" + name[-8:].encode())
        split = "train" if number % VAL_SHARE else "val"
        splits[split].append(f"{name},1,0.1,0.2,0.5,0.9,{1 + number % 2},0")
        timelines.append(f"{name},{split},0,0")
        boxes.append(f"{name},1,0.1,0.21,0.5,0.88,,0.95")
    for split, rows in splits.items():
        (source / f"annotations/{split}.csv").write_text("\n".join(rows) + "\n")
    (source / "annotations/videos.csv").write_text("\n".join(timelines) + "\n")
    (source / "annotations/labelmap.pbtxt").write_text(LABELS)
    (source / "proposals/boxes.csv").write_text("\n".join(boxes) + "\n")
    make_weights(project.folder / "models/baseline.safetensors")


def make_weights(path: Path) -> None:
    """Write a tiny baseline of random weights for clips of 32 pixels."""
    import torch

    from pipeline.checkpoint.build_baseline import build_baseline
    from pipeline.checkpoint.sidecars import Checkpoint
    from pipeline.checkpoint.specs import DetectorSpec
    from pipeline.checkpoint.weights import save_checkpoint
    from pipeline.models.settings import BaselineHead, RoiSettings
    from pipeline.video.clip_input import ClipInput

    torch.manual_seed(0)
    spec = DetectorSpec(
        backbone="slowonly_tiny", width=8, columns=2, classes=2, dropout=0.0, roi=RoiSettings(),
        input=ClipInput(frames=2, interval=2, short_side=32, mean=(0, 0, 0), std=(1, 1, 1)),
        head=BaselineHead(name="linear"),
    )  # fmt: skip
    save_checkpoint(path, build_baseline(spec).state_dict(), Checkpoint(spec=spec))


def params_of(project: Project) -> Any:
    """The parameters of the data set."""
    from pipeline.params import parse_params
    from pipeline.project.compose import compose_params

    source = "source"
    given = {
        "generate": "[]", "name": NAME, "videos": f"{source}/videos", "annotations": f"{source}/annotations",
        "proposals": f"{source}/proposals", "objects": "conf/none/objects", "classes": 2, "pack": project.pack,
    }  # fmt: skip
    overrides = [f"dataset.{key}={value}" for key, value in given.items()]
    conf = Path(__file__).resolve().parent.parent / "conf"
    values = compose_params([*overrides, "frames.fps=4", "frames.short_side=96", "~dataset.playground"], conf)
    return parse_params(values, "the benchmark")


def stand_in_for_decoding(template: Path) -> Callable[..., None]:
    """A stand-in for `run_in_child` that writes the item of the film `template` under the sha256 of another one."""
    import threading

    from pipeline.base.files import digest_file
    from pipeline.video.items import write_item
    from pipeline.video.store import FRAMES, Row, write_frames

    rows: list[Row] = []
    known: dict[str, Any] = {}

    def prepare(settings: Any) -> None:
        import pyarrow as pa

        with tempfile.TemporaryDirectory() as scratch:
            write_item(template, Path(scratch), settings=settings, source_sha256="", stop=threading.Event())
            known.update(read_json(Path(scratch, "video.json")))
            with pa.ipc.open_file(str(Path(scratch, "frames.arrow"))) as reader:
                frames = reader.read_all()
            assert frames.schema.equals(FRAMES)
            columns = (frames[name].to_pylist() for name in ("jpeg", "pts_seconds", "first_grid"))
            rows.extend(Row(*each) for each in zip(*columns, strict=True))

    def write(_work: Any, arguments: dict[str, Any], **_how: Any) -> None:
        folder = arguments["folder"]
        record = {key: value for key, value in known.items() if key not in ("rows", "sha256")}
        record["source_sha256"] = arguments["source_sha256"]
        count = write_frames(folder / "frames.arrow", rows, lambda: record)
        write_json(folder / "video.json", {**record, "rows": count, "sha256": digest_file(folder / "frames.arrow")})

    write.prepare = prepare  # type: ignore[attr-defined]
    return write


def extract_frames(project: Project) -> None:
    """The body of the stage, in one thread."""
    from pipeline.base.files import replace_folder
    from pipeline.video import items, write_store
    from pipeline.video.extract import frame_settings
    from pipeline.video.folder import find_videos

    params = params_of(project)
    settings = frame_settings(params.frames)
    if not project.decode:
        stand_in = stand_in_for_decoding(Path("film.mp4"))
        stand_in.prepare(settings)  # type: ignore[attr-defined]
        vars(items)["run_in_child"] = stand_in
    root = Path(params.dataset.videos)
    found = find_videos(root)
    made = items.extract_videos(found.paths, settings=settings, code="0", workers=1)
    with replace_folder(Path("data", NAME, "frames"), write_store.FILES) as folder:
        write_store.write_store(folder, made, found, root=root, frames=params.frames, packs=project.pack)


def import_annotations(project: Project) -> None:
    """The body of the stage."""
    from pipeline.annotations.sources import import_source
    from pipeline.annotations.write_tables import FILES, write_tables
    from pipeline.base.files import replace_folder
    from pipeline.params.source_options import source_options

    dataset = params_of(project).dataset
    with replace_folder(Path("data", NAME, "annotations"), FILES) as folder:
        found = import_source(Path(dataset.annotations), source_options(dataset))
        write_tables(folder, found, source=dataset.annotations, max_bad_fraction=0)


def import_boxes(project: Project) -> None:
    """The body of the stage."""
    from pipeline.base.files import replace_folder
    from pipeline.boxes.importing import import_boxes as read_boxes
    from pipeline.boxes.recall import recall_lines
    from pipeline.boxes.write_boxes import FILES, write_boxes
    from pipeline.tables.schemas import ANNOTATIONS, KEYFRAMES, TIMELINES, read_table

    params, annotations = params_of(project), Path("data", NAME, "annotations")
    keyframes = read_table(annotations / "keyframes.parquet", KEYFRAMES)
    with replace_folder(Path("data", NAME, "boxes"), FILES) as folder:
        timelines = read_table(annotations / "timelines.parquet", TIMELINES)
        found = read_boxes(
            Path(params.boxes.source), timelines, min_score=0.05, keyframes=keyframes, detector="",
            person_class=params.boxes.person_class, annotations=Path(params.dataset.annotations), objects=None,
        )  # fmt: skip
        write_boxes(folder, found, params.boxes)
    recall_lines(read_table(annotations / "annotations.parquet", ANNOTATIONS), keyframes, found.boxes)


def infer_bank(project: Project) -> None:
    """The body of the stage for train, in one thread."""
    import torch

    from pipeline.base.hardware import Hardware
    from pipeline.features import film_parts
    from pipeline.features.split_parts import Sources
    from pipeline.features.write_bank import write_bank

    if not project.network:
        vars(film_parts)["run_film"] = lambda forward, store, video, requests, **_: [
            np.full((len(each.boxes_xyxy), 64), hash(video) % 100, np.float32) for each in requests
        ]
    data = Path("data", NAME)
    sources = Sources(data / "frames", data / "annotations", data / "boxes", Path("models/baseline.safetensors"))
    hardware = Hardware(torch.device("cpu"), 1, 8)
    write_bank(
        data / "bank/train.zarr", "train", sources, params_of(project).bank, pack=project.pack, hardware=hardware
    )


def doctor(project: Project) -> None:
    """What `actionbank doctor` examines, with one reader."""
    from pipeline.doctor.examine import examine
    from pipeline.doctor.pages import as_text

    print(as_text(examine(params_of(project), workers=1))[-2000:])


def dvc(*arguments: str) -> None:
    """Run DVC in a process that this one waits for."""
    words = [sys.executable, "-m", "dvc", *arguments]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "DVC_NO_ANALYTICS": "1"})


def dvc_commit(project: Project) -> None:
    """Let DVC take all outs into its cache."""
    del project
    Path("dvc.yaml").write_text(DVC_FILE)
    Path(".gitignore").write_text(".work\nsource\n")
    subprocess.run(["git", "init", "-q"], check=True)
    shutil.rmtree(".dvc", ignore_errors=True)
    dvc("init", "-q")
    dvc("commit", "-q", "--force")


def dvc_status(project: Project) -> None:
    """`dvc status`, where nothing has changed."""
    del project
    dvc("status")


STEPS: dict[str, Callable[[Project], None]] = {
    "extract_frames": extract_frames,
    "import_annotations": import_annotations,
    "import_boxes": import_boxes,
    "infer_bank": infer_bank,
    "doctor": doctor,
    "dvc commit": dvc_commit,
    "dvc status": dvc_status,
}
ONCE = ("import_annotations", "import_boxes", "doctor", "dvc commit")


def run_step(project: Project, name: str) -> Cost:
    """Run a step in this process, which runs nothing else."""
    os.chdir(project.folder)
    os.environ["DVC_ROOT"] = str(project.folder)
    vars(os)["fsync"] = lambda _file: None
    started, before = time.perf_counter(), tree_cpu_seconds()
    STEPS[name](project)
    peak = max(peak_mib(), _children_mib())
    return Cost(tree_cpu_seconds() - before, time.perf_counter() - started, peak)


def _children_mib() -> float:
    """The most memory of any process that this one has waited for."""
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def measure(project: Project, steps: list[str]) -> Iterator[tuple[str, Cost]]:
    """Yield each step of a project and its cost, and that of running it again."""
    if not (project.folder / "source").is_dir():
        apart(make_source, project)
    for name in steps:
        for turn in ("",) if name in ONCE else ("", " again"):
            cost = apart(run_step, project, name)
            print(f"{project.films} films: {name}{turn}: {asdict(cost)}", file=sys.stderr)
            yield f"{name}{turn}", cost


def show(found: dict[int, dict[str, Cost]]) -> str:
    """CPU ms a film and MiB by size, and the ratio of the last size to the first, beyond the cost of `FEW` films."""
    sizes = sorted(size for size in found if size != FEW)
    header = ["step", *(f"{size} films" for size in sizes), "last / first", *(f"MiB at {size}" for size in sizes)]
    rows = []
    for step in found[FEW]:
        known = [size for size in sizes if step in found[size]]
        each = {
            size: (found[size][step].cpu_seconds - found[FEW][step].cpu_seconds) * 1000 / (size - FEW) for size in known
        }
        ratio = f"{each[known[-1]] / each[known[0]]:.2f}" if len(known) > 1 else "-"
        cpu = [f"{each[size]:.2f} ms" if size in each else "-" for size in sizes]
        peaks = [f"{found[size][step].peak_mib:.0f}" if size in each else "-" for size in sizes]
        rows.append([step, *cpu, ratio, *peaks])
    return table(header, rows)


def main(
    folder: Path,
    films: Annotated[list[int], typer.Option(min=100, help="Numbers of films.")] = [1000, 10000],  # noqa: B006
    pack: Annotated[int, typer.Option(min=1, help="dataset.pack.")] = 64,
    step: Annotated[list[str], typer.Option(help="Steps to run; all if none is named.")] = [],  # noqa: B006
    decode: Annotated[bool, typer.Option("--decode", help="Decode each film.")] = False,
    network: Annotated[bool, typer.Option("--network", help="Run the network on each film.")] = False,
) -> None:
    """Measure. Results of earlier calls are kept in FOLDER/many_films.json, and shown together with the new ones."""
    folder = folder.resolve()
    path = folder / "many_films.json"
    known = read_json(path) if path.exists() else {}
    found = {int(size): {name: Cost(**cost) for name, cost in steps.items()} for size, steps in known.items()}
    for count in [FEW, *films]:
        project = Project(folder / str(count), count, pack, decode, network)
        wanted = [name for name in step or STEPS if count != FEW or name not in found.get(FEW, {})]
        costs = found.setdefault(count, {})
        for name, cost in measure(project, wanted):
            costs[name] = cost
            write_json(
                path, {str(size): {key: asdict(one) for key, one in each.items()} for size, each in found.items()}
            )
    print(show(found))


if __name__ == "__main__":
    typer.run(main)

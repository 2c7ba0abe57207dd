"""Compare the frame store with the ways of other projects: extraction, clips, and the total cost for AVA.

    python -m benchmarks.frames FOLDER [--video FILE]

Makes a film (or takes one), extracts it as `extract_frames` does and as `ffmpeg -q:v 1` does (MMAction2's way; where no
ffmpeg is installed, its decoder, scaler and JPEG encoder through PyAV, without the command's own overhead), and reads
clips of 4x16 and 32x2 from the store, from a folder of the same JPEGs, and from the film, which decord opens for every
clip. All sides take turns in one run; CPU time is that of this process and of its children. Writes FOLDER/frames.json
and prints Markdown.
"""

import resource
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.frame_sides import (
    Film,
    Indices,
    clip_sides,
    extract_by_command,
    extract_by_pyav,
    extract_store,
    make_film,
    stored_film,
)
from benchmarks.measuring import in_turns, median_ratio, table
from pipeline.base.files import read_json, write_json
from pipeline.base.randomness import rng_of
from pipeline.video.clip_indices import clip_indices
from pipeline.video.extract import FrameSettings
from pipeline.video.size import stored_size

AVA_FILMS, AVA_SECONDS = 430, 900
# Width, height, pixel format, matrix of colours, and largest ratio to ffmpeg that was promised, if any.
KINDS: dict[str, tuple[int, int, str, int, float | None]] = {
    "340x256": (340, 256, "yuv420p", 2, 0.5),
    "1280x720": (1280, 720, "yuv420p", 2, 0.7),
    "1280x720, BT.709": (1280, 720, "yuv420p", 1, None),
    "1280x720, 10 bits": (1280, 720, "yuv420p10le", 2, None),
    "1920x1080": (1920, 1080, "yuv420p", 2, None),
}
SHAPES = {"4x16": (4, 16), "32x2": (32, 2)}
COMMAND, STAND_IN = "ffmpeg -q:v 1", "FFmpeg's encoder through PyAV"


def cpu_seconds() -> float:
    """Of this process, all its threads, and its finished children."""
    both = [resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in both)


def measure(
    sides: Mapping[str, Callable[[int], Any]], repeats: int, *, clock: Callable[[], float] = cpu_seconds
) -> dict[str, dict[str, list[float]]]:
    """CPU (by `clock`) and wall seconds of each side in each turn."""
    cpu: dict[str, list[float]] = {name: [] for name in sides}

    def counted(name: str) -> Callable[[int], None]:
        def run(turn: int) -> None:
            before = clock()
            sides[name](turn)
            cpu[name].append(clock() - before)

        return run

    wall = in_turns({name: counted(name) for name in sides}, repeats)
    return {name: {"cpu": cpu[name][-len(wall[name]) :], "wall": wall[name]} for name in sides}  # turn 0 does not count


def _extract(side: Callable[[Film, Path], None], film: Film, folder: Path, turn: int) -> None:
    side(film, folder)


def measure_extraction(film: Film, folder: Path, repeats: int) -> dict[str, Any]:
    """Cost of a frame and its bytes, for each way to extract."""
    sides = {"store": extract_store, STAND_IN: extract_by_pyav}
    if shutil.which("ffmpeg"):
        sides[COMMAND] = extract_by_command
    places = {name: folder / f"extracted_{number}" for number, name in enumerate(sides)}
    times = measure({name: partial(_extract, side, film, places[name]) for name, side in sides.items()}, repeats)
    found: dict[str, Any] = {}
    for name, place in places.items():
        files = [each for each in place.iterdir() if each.name != "video.json"]
        frames = read_json(place / "video.json")["rows"] if name == "store" else len(files)
        found[name] = {
            **times[name],
            "frames": frames,
            "cpu_ms_per_frame": 1000 * statistics.median(times[name]["cpu"]) / frames,
            "bytes_per_frame": sum(each.stat().st_size for each in files) / frames,
            "files_per_film": 1 if name == "store" else frames,
        }
        shutil.rmtree(place)
    base = COMMAND if COMMAND in found else STAND_IN
    for each in found.values():
        each["ratio"] = median_ratio(each["cpu"], found[base]["cpu"])
    return {"sides": found, "base": base}


def measure_kinds(folder: Path, *, seconds: float, repeats: int) -> dict[str, Any]:
    """Cost of a frame for films of several sizes and formats, beside ffmpeg's; `reason` says why there is none."""
    if not shutil.which("ffmpeg"):
        return {"reason": "no ffmpeg is installed, so that films of several sizes were not compared with it"}
    found: dict[str, Any] = {}
    for name, (width, height, pixel_format, matrix, limit) in KINDS.items():
        path = folder / "kind.mp4"
        make_film(path, seconds=seconds, width=width, height=height, pixel_format=pixel_format, matrix=matrix)
        film = Film(path, FrameSettings(30.0, 256, 90), stored_size(height, width, 256))
        sides = {"store": extract_store, COMMAND: extract_by_command}
        places = {side: folder / f"kind_{number}" for number, side in enumerate(sides)}
        times = measure({side: partial(_extract, way, film, places[side]) for side, way in sides.items()}, repeats)
        record = read_json(places["store"] / "video.json")
        for place in places.values():
            shutil.rmtree(place)
        milliseconds = {side: 1000 * statistics.median(each["cpu"]) / record["rows"] for side, each in times.items()}
        ratio = median_ratio(times["store"]["cpu"], times[COMMAND]["cpu"])
        found[name] = {"cpu_ms_per_frame": milliseconds, "ratio": ratio, "limit": limit, "pixels": record["pixels"]}
    return found


def measure_clips(film: Film, folder: Path, *, clips: int, repeats: int) -> dict[str, Any]:
    """Cost of a clip of each shape from each source; all read the same clips in the same turn."""
    store = stored_film(film, folder / "store")
    sides = clip_sides(film, store, folder / "jpegs")
    total = store.grid_frames("film")
    found: dict[str, Any] = {}
    for shape, (frames, interval) in SHAPES.items():
        place = partial(clip_indices, fps=store.fps, frames=frames, interval=interval, total=total)
        drawn = [
            [place(time) for time in rng_of("clips", shape, turn).uniform(0, total / store.fps, clips)]
            for turn in range(repeats + 1)
        ]
        times = measure({name: partial(_read_all, side, drawn) for name, side in sides.items()}, repeats)
        found[shape] = {
            name: {
                **each,
                "cpu_ms_per_clip": 1000 * statistics.median(each["cpu"]) / clips,
                "wall_ms_per_clip": 1000 * statistics.median(each["wall"]) / clips,
                "ratio": median_ratio(each["cpu"], times["store"]["cpu"]),
            }
            for name, each in times.items()
        }
    return found


def _read_all(side: Callable[[Indices], Any], drawn: Sequence[Sequence[Indices]], turn: int) -> None:
    for indices in drawn[turn]:
        side(indices)


def projection(extraction: Mapping[str, Any], fps: float) -> dict[str, dict[str, float]]:
    """CPU hours, bytes and files of AVA's films, as each side costs here."""
    frames = AVA_FILMS * AVA_SECONDS * fps
    return {
        name: {
            "cpu_hours": each["cpu_ms_per_frame"] * frames / 3.6e6,
            "bytes": each["bytes_per_frame"] * frames,
            "files": AVA_FILMS if name == "store" else frames,
        }
        for name, each in extraction["sides"].items()
    }


def targets(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was promised, and whether it holds."""
    base = found["extraction"]["base"]
    values = [(f"extraction: CPU of the store / {base}", found["extraction"]["sides"]["store"]["ratio"], 0.65)]
    kinds = found["kinds"]
    for name, each in kinds.items() if "reason" not in kinds else ():
        if each["limit"] is not None:
            values.append((f"{name}: CPU of the store / {COMMAND}", each["ratio"], each["limit"]))
    for shape, sides in found["clips"].items():
        values.append((f"{shape}: CPU of the store / its JPEGs in memory", 1 / sides["JPEGs in memory"]["ratio"], 1.3))
    return [{"what": what, "value": value, "limit": limit, "met": value <= limit} for what, value, limit in values]


def report(found: Mapping[str, Any]) -> str:
    """The tables."""
    extraction = [
        [name, f"{each['cpu_ms_per_frame']:.3f}", f"{each['ratio']:.2f}", f"{each['bytes_per_frame'] / 1000:.1f}"]
        for name, each in found["extraction"]["sides"].items()
    ]
    clips = [
        [shape, name, f"{each['cpu_ms_per_clip']:.2f}", f"{each['wall_ms_per_clip']:.2f}", f"{each['ratio']:.2f}"]
        for shape, sides in found["clips"].items()
        for name, each in sides.items()
    ]
    ava = [
        [name, f"{each['cpu_hours']:.1f}", f"{each['bytes'] / 1e9:.0f}", f"{each['files']:,.0f}"]
        for name, each in found["ava"].items()
    ]
    promised = [
        [each["what"], f"{each['value']:.2f}", f"at most {each['limit']:g}", "met" if each["met"] else "missed"]
        for each in found["targets"]
    ]
    note = "" if found["extraction"]["base"] == COMMAND else f"No ffmpeg is installed: {STAND_IN} stands in for it.\n\n"
    kinds = found["kinds"]
    of_kinds = [
        [name, each["pixels"], *(f"{ms:.3f}" for ms in each["cpu_ms_per_frame"].values()), f"{each['ratio']:.2f}"]
        for name, each in (kinds.items() if "reason" not in kinds else ())
    ]
    head = ["film, to 256 lines", "stored from", "CPU ms / frame", f"of {COMMAND}", "ratio"]
    return note + "\n\n".join(
        [
            table(head, of_kinds) if of_kinds else f"{kinds['reason']}.",
            table(["extraction", "CPU ms / frame", f"to {found['extraction']['base']}", "kB / frame"], extraction),
            table(["clip", "from", "CPU ms", "wall ms", "CPU to the store"], clips),
            table([f"AVA: {AVA_FILMS} films of {AVA_SECONDS} s", "CPU hours", "GB", "files"], ava),
            table(["target", "found", "wanted", ""], promised),
        ]
    )


def main(
    folder: Path,
    video: Annotated[Path | None, typer.Option(help="A film of a constant rate; without it one is made.")] = None,
    seconds: Annotated[float, typer.Option(min=0.2, help="Length of the film that is made.")] = 120,
    kind_seconds: Annotated[float, typer.Option(min=0.2, help="Length of the films of several sizes.")] = 4,
    width: Annotated[int, typer.Option(min=16)] = 340,
    height: Annotated[int, typer.Option(min=16)] = 256,
    short_side: Annotated[int, typer.Option(min=16)] = 256,
    fps: Annotated[float, typer.Option(min=1, help="Frames of the grid per second.")] = 30,
    quality: Annotated[int, typer.Option(min=1, max=100)] = 90,
    repeats: Annotated[int, typer.Option(min=1, help="Turns.")] = 5,
    clips: Annotated[int, typer.Option(min=1, help="Clips of a turn.")] = 10,
) -> None:
    """Measure, and print Markdown tables."""
    folder.mkdir(parents=True, exist_ok=True)
    path = video or make_film(folder / "film.mp4", seconds=seconds, width=width, height=height)
    settings = FrameSettings(fps, short_side, quality)
    extract_store(Film(path, settings, (0, 0)), folder / "first")
    record = read_json(folder / "first" / "video.json")
    shutil.rmtree(folder / "first")
    film = Film(path, settings, (record["stored_height"], record["stored_width"]))
    found: dict[str, Any] = {
        "film": {
            key: record[key] for key in ("codec", "source_height", "source_width", "source_fps", "rows", "decoder")
        },
        "stored": {"height": film.size[0], "width": film.size[1], "fps": fps, "quality": quality},
        "extraction": measure_extraction(film, folder, repeats),
        "kinds": measure_kinds(folder, seconds=kind_seconds, repeats=repeats),
        "clips": measure_clips(film, folder, clips=clips, repeats=repeats),
    }
    found["ava"] = projection(found["extraction"], fps)
    found["targets"] = targets(found)
    write_json(folder / "frames.json", found)
    print(report(found))


if __name__ == "__main__":
    typer.run(main)

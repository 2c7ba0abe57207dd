import json
import multiprocessing
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.checksums import REMEDY
from pipeline.base.errors import InputError
from pipeline.base.files import digest_file, digest_tree
from pipeline.base.packing import pack_name, pack_of
from pipeline.video import items
from pipeline.video.items import VideoItem, assemble_videos
from pipeline.video.manifest import mapped_bytes, write_manifest
from pipeline.video.packs import write_pack
from pipeline.video.store import FRAMES, FrameStore, write_frames
from tests.ids import IDS
from tests.sealing import reseal
from tests.stages.projects import REPOSITORY
from tests.video.test_store import HEIGHT, WIDTH, numbers_of, rows


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))
    return tmp_path / "root" / ".work" / "extract_frames"


def video(work: Path, frames: int, source: str = "") -> VideoItem:
    """The item of a video of so many frames, the first of which the grid shows twice."""
    source = source or f"{frames:064}"
    folder = work / f"item{source[-12:]}"
    if not folder.exists():
        folder.mkdir(parents=True)
        origin = {"source_sha256": source, "grid_frames": frames + 1, "frames_failed": 0, "frames_decoded": frames}
        origin |= {"stored_height": HEIGHT, "stored_width": WIDTH, "source_height": HEIGHT, "source_width": WIDTH}
        origin |= {"source_fps": 25.0, "duration_seconds": frames / 25, "decoder": "pyav"}
        count = write_frames(folder / "frames.arrow", rows([0, *range(2, frames + 1)]), lambda: origin)
        record = {**origin, "rows": count, "sha256": digest_file(folder / "frames.arrow")}
        (folder / "video.json").write_text(json.dumps(record))
    return VideoItem(folder, source, is_new=False)


def assemble(folder: Path, made: dict[str, VideoItem], packs: int | None) -> FrameStore:
    folder.mkdir(parents=True)
    paths = {name: Path("videos", f"{name}.mp4") for name in made}
    records, problems = assemble_videos(made, paths, root=Path("videos"), folder=folder, packs=packs)
    assert problems == []
    write_manifest(folder, records, fps=25.0, pack=packs)
    return FrameStore(folder)


def packs_of(store: FrameStore) -> dict[str, str]:
    return {path.name: digest_file(path) for path in sorted(store.folder.glob("*.arrow"))}


@pytest.fixture
def made(work: Path) -> dict[str, VideoItem]:
    """Videos whose frames fill a record batch, or do not."""
    return {name: video(work, frames) for name, frames in zip("abcdefg", (3, 256, 257, 1, 600, 40, 512), strict=True)}


def test_the_same_clips_packed_and_unpacked(tmp_path: Path, made: dict[str, VideoItem]) -> None:
    alone = assemble(tmp_path / "alone", made, None)
    for packs in (1, 2, 100):
        shared = assemble(tmp_path / str(packs), made, packs)
        assert shared.video_ids == alone.video_ids == list(made)
        for name in made:
            assert shared.digest(name) == alone.digest(name)
            assert shared.size(name) == alone.size(name)
            total = alone.grid_frames(name)
            assert shared.grid_frames(name) == total
            wanted = np.unique([0, 1, total // 2, total - 1])
            assert np.array_equal(shared.read_clip(name, wanted), alone.read_clip(name, wanted))
        assert (shared.folder / "videos.parquet").read_bytes() == (alone.folder / "videos.parquet").read_bytes()
    assert numbers_of(shared.read_clip("e", [0, 1, 2, 600])) == [0, 0, 1, 599]


def test_only_packs_that_have_videos_exist(tmp_path: Path, made: dict[str, VideoItem]) -> None:
    store = assemble(tmp_path / "out", made, 100)
    assert sorted(packs_of(store)) == sorted({f"{pack_name(pack_of(name, 100), 100)}.arrow" for name in made})
    assert len(packs_of(store)) == 7


def test_what_a_pack_holds(tmp_path: Path, made: dict[str, VideoItem]) -> None:
    store = assemble(tmp_path / "out", made, 1)
    reader = pa.ipc.open_file(pa.memory_map(str(store.folder / "pack-0-of-1.arrow")))
    assert reader.schema.equals(FRAMES)
    parts = [reader.get_batch_with_custom_metadata(number) for number in range(reader.num_record_batches)]
    assert [part.batch.num_rows for part in parts] == [3, 256, 256, 1, 1, 256, 256, 88, 40, 256, 256]
    named = [(part.custom_metadata or {}).get(b"actionbank.video_id", b"").decode() for part in parts]
    assert named == ["a", "b", "", "c", "d", "", "", "e", "f", "", "g"]
    manifest = json.loads((store.folder / "manifest.json").read_text())
    assert manifest["pack"] == 1
    places = [(each["file"], each["first_batch"], each["rows"]) for each in manifest["videos"].values()]
    assert places == [("pack-0-of-1.arrow", first, count) for first, count in
                      [(0, 3), (1, 256), (2, 257), (4, 1), (5, 600), (8, 40), (9, 512)]]  # fmt: skip


@settings(deadline=None, max_examples=15)
@given(
    lengths=st.dictionaries(IDS, st.sampled_from([1, 2, 3, 256, 257]), min_size=1, max_size=9), packs=st.integers(1, 12)
)
def test_any_ids_and_any_number_of_packs(
    tmp_path_factory: pytest.TempPathFactory, lengths: dict[str, int], packs: int
) -> None:
    scratch = tmp_path_factory.mktemp("packs")
    items_of = {name: video(scratch / "items", count) for name, count in lengths.items()}
    store = assemble(scratch / "out", items_of, packs)
    assert store.video_ids == sorted(lengths)
    for name, count in lengths.items():
        assert store.grid_frames(name) == count + 1
        assert numbers_of(store.read_clip(name, [count, 0])) == [count - 1, 0]
    again = assemble(scratch / "again", dict(reversed(items_of.items())), packs)
    assert packs_of(again) == packs_of(store)
    assert set(packs_of(store)) == {f"{pack_name(pack_of(name, packs), packs)}.arrow" for name in lengths}


@pytest.mark.parametrize("change", ["add", "remove", "replace"])
def test_a_change_of_a_video_rewrites_its_pack_only(
    tmp_path: Path, work: Path, made: dict[str, VideoItem], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    before = assemble(tmp_path / "before", made, 3)
    name = "new" if change == "add" else "c"
    changed = {**made, name: video(work, 30, "5" * 64)}
    if change == "remove":
        del changed["c"]
    written: list[str] = []

    def note(path: Path, videos: Any) -> None:
        written.append(",".join(dict(videos)))
        write_pack(path, videos)

    monkeypatch.setattr(items, "write_pack", note)
    after = assemble(tmp_path / "after", changed, 3)
    members = [each for each in changed if pack_of(each, 3) == pack_of(name, 3)]
    assert written == [",".join(members)]
    touched = f"{pack_name(pack_of(name, 3), 3)}.arrow"
    differ = {each for each in packs_of(before) if packs_of(before)[each] != packs_of(after)[each]}
    assert differ == {touched}
    neighbours = [each for each in members if each != name]
    assert neighbours
    for each in set(made) - {name}:
        assert after.digest(each) == before.digest(each)
        assert np.array_equal(after.read_clip(each, [0, 1]), before.read_clip(each, [0, 1]))
    assert assemble(tmp_path / "again", changed, 3).video_ids == sorted(changed)
    assert len(written) == 1


def test_a_kill_while_packing(
    tmp_path: Path, work: Path, made: dict[str, VideoItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = assemble(tmp_path / "whole", made, 3)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "other"))
    packs = tmp_path / "other" / ".work" / "frame_packs"
    # In a child, which dies in its second pack, after the first of that one's videos.
    process = multiprocessing.get_context("fork").Process(target=_die_in_the_second_pack, args=(tmp_path / "cut", made))
    process.start()
    process.join()
    assert process.exitcode == 9
    finished = [path for path in packs.iterdir() if not path.name.startswith(".")]
    assert sorted(path.name for path in finished[0].iterdir()) == ["item.json", "pack.arrow"]
    assert len(finished) == 1
    kept = (finished[0] / "pack.arrow").stat()
    resumed = assemble(tmp_path / "resumed", made, 3)
    assert digest_tree(resumed.folder) == digest_tree(whole.folder)
    assert (finished[0] / "pack.arrow").stat().st_mtime_ns == kept.st_mtime_ns
    rest = [path.name for path in packs.iterdir()]
    assert [name for name in rest if name.startswith(".")] == []
    assert len(rest) == 3


def _die_in_the_second_pack(folder: Path, made: dict[str, VideoItem]) -> None:
    calls: list[Path] = []

    def dying(path: Path, videos: Any) -> None:
        def some() -> Any:
            for number, each in enumerate(videos):
                if len(calls) == 2 and number == 1:
                    os._exit(9)
                yield each

        calls.append(path)
        write_pack(path, some())

    setattr(items, "write_pack", dying)  # noqa: B010 - the module imports it for itself
    assemble(folder, made, 3)


def fails(store: FrameStore, message: str) -> None:
    with pytest.raises(InputError) as error:
        FrameStore(store.folder).read_clip("c", [0])
    assert str(error.value) == message


def test_a_pack_that_is_missing_or_cut(tmp_path: Path, made: dict[str, VideoItem]) -> None:
    store = assemble(tmp_path / "out", made, 3)
    path = store.folder / f"{pack_name(pack_of('c', 3), 3)}.arrow"
    data = path.read_bytes()
    path.unlink()
    fails(store, f"{path}: no such file; run extract_frames")
    path.write_bytes(data[:-1])
    fails(store, f"{path}: found {len(data) - 1} bytes, expected {len(data)}; {REMEDY}")
    # The other packs are of use.
    other = next(name for name in made if pack_of(name, 3) != pack_of("c", 3))
    assert len(FrameStore(store.folder).read_clip(other, [0])) == 1


@pytest.mark.parametrize("place", [{"first_batch": 0}, {"first_batch": 99}, {"rows": 256}])
def test_a_pack_of_other_videos(tmp_path: Path, made: dict[str, VideoItem], place: dict[str, int]) -> None:
    store = assemble(tmp_path / "out", made, 1)
    videos = json.loads((store.folder / "manifest.json").read_text())["videos"]
    write_manifest(store.folder, {**videos, "c": {**videos["c"], **place}}, fps=25.0)
    path = store.folder / "pack-0-of-1.arrow"
    fails(store, f"{path}: not the frames that manifest.json has of 'c'; {REMEDY}")


def test_two_videos_of_the_same_bytes(tmp_path: Path, work: Path) -> None:
    one = video(work, 3)
    store = assemble(tmp_path / "out", {"a": one, "b": one}, 1)
    assert store.digest("a") == store.digest("b")
    videos = json.loads((store.folder / "manifest.json").read_text())["videos"]
    write_manifest(store.folder, {"c": videos["a"]}, fps=25.0)
    fails(store, f"{store.folder / 'pack-0-of-1.arrow'}: not the frames that manifest.json has of 'c'; {REMEDY}")


@pytest.mark.parametrize("name", ["../a.arrow", "/etc/passwd", "other.arrow"])
def test_no_manifest_names_a_path(tmp_path: Path, made: dict[str, VideoItem], name: str) -> None:
    store = assemble(tmp_path / "out", made, 1)
    manifest = store.folder / "manifest.json"
    reseal(manifest, manifest.read_text().replace('"file": "pack-0-of-1.arrow"', f'"file": "{name}"'))
    fails(store, f"{manifest}: found the file {name!r}, expected one of file_bytes")


def test_a_pack_is_mapped_once_and_let_go(
    tmp_path: Path, made: dict[str, VideoItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = assemble(tmp_path / "out", made, 2)
    mapped: list[str] = []

    def note(path: Path) -> Any:
        mapped.append(path.name)
        return mapped_bytes(path)

    monkeypatch.setattr("pipeline.video.store.mapped_bytes", note)
    for name in [*made, *made]:
        store.read_clip(name, [0])
    assert sorted(mapped) == ["pack-0-of-2.arrow", "pack-1-of-2.arrow"]
    monkeypatch.setattr("pipeline.video.store.MAPPED_VIDEOS", 1)
    order = sorted(made, key=lambda name: pack_of(name, 2))
    other = FrameStore(store.folder)
    mapped.clear()
    for name in [*order, *order]:
        other.read_clip(name, [0])
        assert len(other._files) <= 2
    switches = sum(pack_of(one, 2) != pack_of(two, 2) for one, two in pairwise([*order, *order]))
    assert len(mapped) == 1 + switches


MEMORY = """
import resource, sys
from pathlib import Path
from pipeline.video.packs import write_pack
from pipeline.video.store import Row, write_frames

folder, count = Path(sys.argv[1]), int(sys.argv[2])
write_frames(folder / "v.arrow", (Row(bytes(8192), i / 25, i) for i in range(512)), lambda: {"grid_frames": 512})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
write_pack(folder / "pack.arrow", ((f"v{i:03}", folder / "v.arrow") for i in range(count)))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, (folder / "pack.arrow").stat().st_size)
"""


def test_packing_takes_no_more_memory_for_more_videos(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", MEMORY, str(tmp_path), "24"]
    printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
    assert int(printed[1]) > 96 * 2**20
    assert float(printed[0]) < 24


def test_a_failed_pack_leaves_nothing(tmp_path: Path, made: dict[str, VideoItem]) -> None:
    good = made["a"].folder / "frames.arrow"
    with pytest.raises(FileNotFoundError):
        write_pack(tmp_path / "out" / "pack.arrow", [("a", good), ("b", tmp_path / "absent.arrow")])
    assert list((tmp_path / "out").iterdir()) == []

"""What stages make is on disk once: item of `.work`, out and DVC's cached copy are one file under several names."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.base.files import digest_file
from tests.end_to_end.harness import Project, new_project

FICLONE = 0x40049409
ITEMS = {  # of which stage's items every file of these outs is one
    "make_videos": ("source/videos", "*.mp4"),
    "extract_frames": ("frames", "*.arrow"),
    "bank_parts": ("bank", "*/*/*/*/c/*"),
}


def has_reflinks(folder: Path) -> bool:
    """Whether the file system of a folder copies by reference."""
    source, target = folder / ".reflink_source", folder / ".reflink_target"
    source.write_bytes(b"x" * 4096)
    try:
        with source.open("rb") as read, target.open("wb") as written:
            fcntl.ioctl(written, FICLONE, read.fileno())
    except OSError:
        return False
    finally:
        source.unlink()
        target.unlink()
    return True


def cached_files(project: Project) -> list[Path]:
    """Every file of an out that DVC keeps in its cache, without empty ones."""
    files = []
    for out in project.outs():
        path = project.folder / out
        files += [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    tracked = project.git("ls-files").split("\n")
    return [each for each in files if each.stat().st_size and str(each.relative_to(project.folder)) not in tracked]


def names_elsewhere(project: Project, cache: Path | None = None) -> list[str]:
    """Files of outs that are not one file with DVC's cached copy."""
    cache = cache or project.folder / ".dvc/cache"
    inodes = {each.stat().st_ino for each in cache.glob("files/md5/??/*")}
    return [str(each) for each in cached_files(project) if each.stat().st_ino not in inodes]


def second_copies(project: Project) -> list[str]:
    """Files of outs that are not one file with the item that they were made from."""
    alone = []
    for stage, (out, pattern) in ITEMS.items():
        inodes = {each.stat().st_ino for each in (project.folder / ".work" / stage).rglob("*") if each.is_file()}
        files = [each for each in (project.folder / "data/playground_mini" / out).glob(pattern) if each.is_file()]
        assert files, out
        alone += [str(each) for each in files if each.stat().st_ino not in inodes]
    return alone


def test_item_out_and_cache_are_one_file(finished: Project) -> None:
    assert len(cached_files(finished)) > 40
    assert names_elsewhere(finished) == []
    if has_reflinks(finished.folder):
        pytest.skip("DVC copies items into its cache by reference here: on disk once, but another inode")
    assert second_copies(finished) == []
    large = [each for each in cached_files(finished) if each.suffix in (".arrow", ".mp4")]
    assert {each.stat().st_nlink for each in large} == {3}


def test_what_stages_make_is_read_only(finished: Project) -> None:
    assert {each.stat().st_mode & 0o777 for each in cached_files(finished)} == {0o444}


@pytest.mark.slow
def test_one_file_stays_one_through_what_users_do(project: Project) -> None:
    """Checked out, made again by force, let loose, dropped from `.work`: the same bytes, and one file in the end."""
    frames, outs = project.folder / "data/playground_mini/frames", project.outs()
    film = frames / "train_000.arrow"
    digest = digest_file(film)
    shutil.rmtree(frames)
    project.dvc("checkout", "data/playground_mini/frames")
    assert names_elsewhere(project) == []
    project.dvc("unprotect", str(film.relative_to(project.folder)))
    assert film.stat().st_nlink == 1
    film.write_bytes(b"edited")
    (item,) = [each for each in project.folder.glob(".work/extract_frames/*/*") if digest_file(each) == digest]
    project.run("dvc", "repro", "-f", "-s", "extract_frames")
    assert digest_file(film) == digest == digest_file(item)
    project.run("actionbank", "work", "gc", "--days", "0")
    assert not item.exists()
    assert digest_file(film) == digest
    project.run("dvc", "repro", "-f", "-s", "extract_frames")
    assert not [each for each in names_elsewhere(project) if each.endswith(".arrow")]
    assert project.outs() == outs
    assert "nothing is damaged" in project.run("actionbank", "verify")


@pytest.mark.slow
def test_a_cache_on_another_file_system_gets_copies(tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm")
    if not os.access(elsewhere, os.W_OK) or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    cache = elsewhere / f"actionbank-test-{os.getpid()}"
    try:
        project = new_project(tmp_path / "project")
        project.dvc("cache", "dir", str(cache))
        project.dvc("repro", "extract_frames")
        assert len(names_elsewhere(project, cache)) == len(cached_files(project))
        shutil.rmtree(project.folder / "data")
        project.dvc("checkout", "--allow-missing")
        assert "nothing is damaged" in project.run("actionbank", "verify")
        assert project.dvc("status", "extract_frames") == "Data and pipelines are up to date.\n"
    finally:
        shutil.rmtree(cache, ignore_errors=True)


@pytest.fixture
def reflinks(tmp_path: Path) -> Iterator[Path]:
    """A small file system that copies by reference, for those who may mount one."""
    make = shutil.which("mkfs.xfs", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if make is None or os.geteuid() != 0:
        pytest.skip("needs root and mkfs.xfs")
    image, folder = tmp_path / "image", tmp_path / "mounted"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(320 << 20)
    subprocess.run([make, "-q", "-f", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, folder], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def shared_bytes(path: Path) -> tuple[int, int]:
    """Bytes of a file's extents that other files have too, and all of them."""
    listed = subprocess.run(["filefrag", "-v", path], check=True, capture_output=True, text=True).stdout
    rows = [line for line in listed.splitlines() if line.strip()[:1].isdigit() and ".." in line]
    lengths = [(int(row.split(":")[3]), "shared" in row) for row in rows]
    return sum(length for length, shared in lengths if shared), sum(length for length, _ in lengths)


@pytest.mark.slow
def test_where_files_are_copied_by_reference_they_share_their_blocks(reflinks: Path) -> None:
    assert has_reflinks(reflinks)
    project = new_project(reflinks / "project")
    project.dvc("repro", "extract_frames")
    assert not [each for each in names_elsewhere(project) if each.endswith((".arrow", ".mp4"))]  # out and cache
    subprocess.run(["sync", "-f", reflinks], check=True)
    items = [*project.folder.glob(".work/extract_frames/*/frames.arrow")]
    assert len(items) == 4
    for item in items:  # and the item has the same blocks
        shared, blocks = shared_bytes(item)
        assert shared == blocks > 0, item

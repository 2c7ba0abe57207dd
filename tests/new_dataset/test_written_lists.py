"""Lists that `new-dataset` wrote are replaced; those of the user's never are."""

from pathlib import Path

import pytest

from pipeline.base.files import digest_file
from pipeline.new_dataset.written_lists import LISTS, lists_in, note_lines, remove_written


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Both lists and a file that is none."""
    for name in (*LISTS, "labels.csv"):
        (tmp_path / name).write_text(f"{name}\n")
    (tmp_path / "conf/dataset").mkdir(parents=True)
    return tmp_path


def note(folder: Path, *names: str) -> None:
    (folder / "conf/dataset/mine.yaml").write_text(
        "dataset:\n  name: mine\n" + "\n".join(note_lines([folder / name for name in names])) + "\n"
    )


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_the_lists_of_folders_are_found_once(folder: Path) -> None:
    assert lists_in([folder, folder, folder / "conf"]) == [folder / name for name in LISTS]


def test_only_what_was_noted_and_stayed_as_it_was_is_removed(folder: Path) -> None:
    note(folder, "videos.csv")
    remove_written([folder], folder / "conf")
    assert left(folder) == {"frame_times.csv", "labels.csv"}


def test_what_was_edited_or_noted_nowhere_stays(folder: Path) -> None:
    note(folder, *LISTS)
    (folder / "videos.csv").write_text("edited\n")
    remove_written([folder], folder / "conf")
    assert left(folder) == {"videos.csv", "labels.csv"}
    (folder / "conf/dataset/mine.yaml").write_text(f"# sha256 {digest_file(folder / 'videos.csv')}\n")
    remove_written([folder], folder / "conf")
    assert left(folder) == {"videos.csv", "labels.csv"}


def test_a_note_is_a_comment_for_each_list_and_nothing_without(folder: Path) -> None:
    lines = note_lines([folder / "videos.csv"])
    assert lines[1:] == [f"# new-dataset wrote videos.csv: sha256 {digest_file(folder / 'videos.csv')}"]
    assert all(line.startswith("# ") for line in lines)
    assert note_lines([]) == []

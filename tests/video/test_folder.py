from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.problems import Problem
from pipeline.video.folder import find_videos


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_ids_are_names_without_suffixes(tmp_path: Path) -> None:
    touch(tmp_path, "b.mp4", "-a_B.1.MKV", "sub/folder/c.webm", "notes.txt", "list.csv", ".hidden.mp4", ".git/x.mp4")
    (tmp_path / "folder.mp4").mkdir()
    found = find_videos(tmp_path)
    assert found.paths == {
        "-a_B.1": tmp_path / "-a_B.1.MKV",
        "b": tmp_path / "b.mp4",
        "c": tmp_path / "sub/folder/c.webm",
    }
    assert list(found.paths) == sorted(found.paths)
    assert (found.problems, found.ignored) == ([], 2)


@pytest.mark.parametrize("stem", ["a b", "a,b", "ü", "a'b", "a\nb", "x" * 201, "a:b"])
def test_unsafe_names_are_problems(tmp_path: Path, stem: str) -> None:
    touch(tmp_path, f"{stem}.mp4", "good.mp4")
    found = find_videos(tmp_path)
    assert list(found.paths) == ["good"]
    assert found.problems == [
        Problem(f"{stem}.mp4", stem, "a name that is no safe id", "letters, digits, '.', '_' and '-', at most 200")
    ]


def test_two_files_of_one_id(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.mp4", "y/a.mkv", "b.mp4")
    with pytest.raises(InputError) as error:
        find_videos(tmp_path)
    assert str(error.value) == f"{tmp_path}: x/a.mp4 and y/a.mkv give the same id 'a', expected one file per id"


def test_no_folder_and_no_video(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        find_videos(tmp_path / "none")
    assert str(error.value) == f"{tmp_path / 'none'}: no such folder of videos (dataset.videos)"
    touch(tmp_path, "notes.txt")
    with pytest.raises(InputError) as error:
        find_videos(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: no video files, expected names that end in .3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg "
        ".mts .ogv .ts .vob .webm .wmv"
    )

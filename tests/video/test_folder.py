import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import InputError
from pipeline.base.problems import Problem
from pipeline.tables.film_ids import ID_EXPECTED
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


@pytest.mark.parametrize("stem", ["a,b", 'a"b', "a\\b", "a\nb", "a ", " a", "x" * 201, "ü" * 101, "a\u200fb"])
def test_unsafe_names_are_problems(tmp_path: Path, stem: str) -> None:
    touch(tmp_path, f"{stem}.mp4", "good.mp4")
    found = find_videos(tmp_path)
    assert list(found.paths) == ["good"]
    assert found.problems == [Problem(f"{stem}.mp4", stem, "a name that cannot be an id", ID_EXPECTED)]


def test_names_may_have_blanks_and_any_letters(tmp_path: Path) -> None:
    stems = ["a b", "Küche (2) #1+", "видео", "台所", "a'b", "a:b", "50%", "x" * 200]
    touch(tmp_path, *(f"{stem}.mp4" for stem in stems))
    found = find_videos(tmp_path)
    assert (list(found.paths), found.problems) == (sorted(stems), [])


def test_letters_are_compared_as_they_look(tmp_path: Path) -> None:
    """Some systems write an accent behind its letter."""
    touch(tmp_path, "Ku\u0308che.mp4")
    assert list(find_videos(tmp_path).paths) == ["K\u00fcche"]
    touch(tmp_path, "K\u00fcche.mkv")
    with pytest.raises(InputError, match="give the same id 'Küche'"):
        find_videos(tmp_path)


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
        ".mts .ogv .ts .vob .webm .wmv, or folders of pictures (VIDEO/img_00001.jpg)"
    )


def test_links_are_followed(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.mp4", "elsewhere/more/b.mp4", "videos/c.mp4")
    (tmp_path / "videos" / "d.mp4").symlink_to(tmp_path / "elsewhere" / "a.mp4")
    (tmp_path / "videos" / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "videos" / "same_folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "circle").symlink_to(tmp_path / "videos")
    (tmp_path / "linked").symlink_to(tmp_path / "videos")
    found = find_videos(tmp_path / "linked")
    root = tmp_path / "linked"
    assert found.paths == {
        "a": root / "folder/a.mp4",
        "b": root / "folder/more/b.mp4",
        "c": root / "c.mp4",
        "d": root / "d.mp4",
    }
    assert (found.problems, found.ignored) == ([], 0)


def test_links_to_nothing_and_what_is_no_file_are_problems(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to(tmp_path / "gone.mp4")
    (tmp_path / "notes").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "b.mp4")
    found = find_videos(tmp_path)
    assert (found.paths, found.ignored) == ({}, 1)
    assert found.problems == [
        Problem("a.mp4", "a", "a link to nothing", "a video file"),
        Problem("b.mp4", "b", "a pipe", "a video file"),
    ]


def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.mp4", "closed/b.mp4")

    def listing(path: str) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    scan = os.scandir  # the tests may run as root, which may read everything
    monkeypatch.setattr(os, "scandir", listing)
    with pytest.raises(InputError) as error:
        find_videos(tmp_path)
    assert str(error.value) == f"{tmp_path / 'closed'}: Permission denied; its files would be missing"


def test_folders_may_have_any_name(tmp_path: Path) -> None:
    touch(tmp_path, "zwölf Filme, neu/-a.mp4", "b.mp4/c.mp4")
    found = find_videos(tmp_path)
    assert list(found.paths) == ["-a", "c"]
    assert found.problems == []


def test_names_that_are_no_text_are_problems_also_of_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "good.mp4", os.fsdecode(b"caf\xe9.mp4"), os.fsdecode(b"f\xfc/other.mp4"), os.fsdecode(b"\xff.txt"))
    (tmp_path / "circle.mp4").symlink_to("circle.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    found = find_videos(tmp_path)
    assert list(found.paths) == ["good"]
    utf8 = ("a name that is no UTF-8 text", "names of file and folders in UTF-8")
    assert sorted(found.problems, key=lambda each: each.file) == [
        Problem("caf\\udce9.mp4", "caf\\udce9", *utf8),
        Problem("circle.mp4", "circle", "a link in a circle", "a video file"),
        Problem("f\\udcfc/other.mp4", "other", *utf8),
        Problem("pipe.mp4", "pipe", "a pipe", "a video file"),
    ]


def test_folders_of_pictures_are_films(tmp_path: Path) -> None:
    touch(tmp_path, *(f"ava/a/img_{n:05}.jpg" for n in range(1, 4)), *(f"ava/a/flow_{c}_00001.jpg" for c in "xy"))
    touch(tmp_path, "b/b_000001.JPEG", "b/list.txt", "c.mp4", "c.jpg", "thumbs.jpg/notes.txt", ".d/img_00001.jpg")
    touch(tmp_path, "films/d.mp4", "films/d_0001.jpg")  # pictures beside a film are its thumbnails
    found = find_videos(tmp_path, frame_rate=30)
    assert found.paths == {
        "a": tmp_path / "ava/a", "b": tmp_path / "b", "c": tmp_path / "c.mp4", "d": tmp_path / "films/d.mp4",
    }  # fmt: skip
    assert (found.rates, found.problems, found.unrated) == ({"a": 30, "b": 30}, [], [])
    assert found.ignored == 6


def test_the_folder_itself_may_be_one_of_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "film/img_00001.jpg", "film/img_00002.jpg", "film/Thumbs.db")
    found = find_videos(tmp_path / "film", frame_rate=25)
    assert (found.paths, found.rates, found.ignored) == ({"film": tmp_path / "film"}, {"film": 25}, 1)


def test_a_linked_folder_of_pictures_has_the_name_of_the_link(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/x/img_00001.jpg")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/a").symlink_to(tmp_path / "elsewhere/x")
    assert find_videos(tmp_path / "videos", frame_rate=30).paths == {"a": tmp_path / "videos/a"}


def test_rates_of_single_folders(tmp_path: Path) -> None:
    touch(tmp_path, "a/img_00001.jpg", "b/img_00001.jpg", "c/img_00001.jpg")
    (tmp_path / "frame_rates.csv").write_text("video_id,fps\na,25\nb, 29.97\n")
    found = find_videos(tmp_path, frame_rate=30)
    assert (found.rates, found.ignored) == ({"a": 25, "b": 29.97, "c": 30}, 0)
    found = find_videos(tmp_path)
    assert (found.rates, found.unrated) == ({"a": 25, "b": 29.97}, [tmp_path / "c"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,25\n", "the first row is 'a,25', expected video_id,fps"),
        ("", "the first row is '', expected video_id,fps"),
        ("video_id,fps\na,fast\n", "line 2 is 'a,fast', expected a video_id and pictures per second"),
        ("video_id,fps\na,0\n", "line 2 is 'a,0', expected a video_id and pictures per second"),
        ("video_id,fps\na,nan\n", "line 2 is 'a,nan', expected a video_id and pictures per second"),
        ("video_id,fps\na\n", "line 2 is 'a', expected a video_id and pictures per second"),
        ("video_id,fps\na,25\n\na,30\n", "line 4: video a is listed twice"),
        ("video_id,fps\nb,25\n", "video b is no folder of pictures in {root}"),
    ],
)
def test_wrong_rates_are_refused(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path, "a/img_00001.jpg")
    (tmp_path / "frame_rates.csv").write_text(text)
    with pytest.raises(InputError) as error:
        find_videos(tmp_path, frame_rate=30)
    assert str(error.value) == f"{tmp_path / 'frame_rates.csv'}: {message.format(root=tmp_path)}"


def test_without_a_rate_pictures_alone_are_refused_and_beside_films_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a/img_00001.jpg", "b/img_00001.jpg")
    with pytest.raises(InputError) as error:
        find_videos(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: 2 folders of pictures whose frame rate nothing tells (a, ...), and no video file: set "
        "dataset.frame_rate (new-dataset: --frame-rate) to how many pictures a second has (30 for AVA as MMAction2 and "
        "LFB extract it), or write frame_rates.csv (video_id,fps) into the folder"
    )
    touch(tmp_path, "c.mp4")
    found = find_videos(tmp_path)
    assert (list(found.paths), found.unrated) == (["c"], [tmp_path / "a", tmp_path / "b"])


def test_folders_whose_pictures_are_no_film_are_problems(tmp_path: Path) -> None:
    touch(tmp_path, "good/img_1.jpg", "flow/x_00001.jpg", "flow/y_00001.jpg", "two/p_1.jpg", "two/q_1.jpg")
    touch(tmp_path, "same/img_1.jpg", "same/img_01.jpg", "a,b/img_1.jpg")
    found = find_videos(tmp_path, frame_rate=30)
    expected = "pictures with one name and numbers from 0 or 1 on, as img_00001.jpg"
    assert list(found.paths) == ["good"]
    assert found.problems == [
        Problem("a,b", "a,b", "a name that cannot be an id", ID_EXPECTED),
        Problem("flow", "flow", "pictures of optical flow alone: 1 as x_00001.jpg, 1 as y_00001.jpg", expected),
        Problem("same", "same", "two pictures of number 1: img_01.jpg and img_1.jpg", expected),
        Problem("two", "two", "pictures of several names: 1 as p_1.jpg, 1 as q_1.jpg", expected),
    ]


def test_a_film_and_a_folder_of_pictures_of_one_id(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "a/img_00001.jpg")
    with pytest.raises(InputError, match=r"a and a\.mp4 give the same id 'a', expected one file per id"):
        find_videos(tmp_path, frame_rate=30)

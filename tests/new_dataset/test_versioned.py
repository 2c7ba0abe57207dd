"""What Git and DVC bring to an experiment; what git prints is given here (tests of the command run git itself)."""

from pathlib import Path

import pytest

from pipeline.new_dataset import versioned
from pipeline.new_dataset.versioned import ignore_words, path_for_experiments, would_be_committed


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    return tmp_path


def git_says(monkeypatch: pytest.MonkeyPatch, *files: str, repository: bool = True) -> None:
    """Git lists these files as ones that it has not."""
    listed = "".join(f"{each}\0" for each in files)
    monkeypatch.setattr(versioned, "git_output", lambda *_, **__: listed if repository else None)


def test_where_every_file_comes_along_a_path_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    git_says(monkeypatch)
    assert path_for_experiments("mine") == "mine"
    git_says(monkeypatch, repository=False)  # and so no experiment
    assert path_for_experiments("mine") == "mine"
    assert path_for_experiments("/elsewhere") == "/elsewhere"


def test_what_git_has_not_is_named_by_its_whole_path(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    git_says(monkeypatch, "mine/a.mp4", "mine/b.mp4")
    whole = (project / "mine").as_posix()
    assert path_for_experiments("mine") == whole
    Path("mine/a.mp4.dvc").touch()
    assert path_for_experiments("mine") == whole, "b is left"
    Path("mine/b.mp4.dvc").touch()
    assert path_for_experiments("mine") == "mine"
    git_says(monkeypatch)
    assert path_for_experiments("absent") == (project / "absent").as_posix()


@pytest.mark.parametrize(
    ("lock", "brought"),
    [
        ("stages: {make: {cmd: x, outs: [{path: mine}]}}", True),
        ("stages: {make: {cmd: x, outs: [{path: other}]}}", False),
        ("stages: [", False),
        ("stages: {make: 1}", False),
    ],
)
def test_outs_of_stages_come_along_and_a_lock_that_cannot_be_read_names_none(
    monkeypatch: pytest.MonkeyPatch, project: Path, lock: str, brought: bool
) -> None:
    git_says(monkeypatch, "mine/videos/a.mp4")
    Path("mine/videos").mkdir()
    Path("dvc.lock").write_text(lock)
    assert (path_for_experiments("mine/videos") == "mine/videos") == brought
    assert would_be_committed(Path("mine/videos")) != brought


def test_files_of_git_and_dvc_themselves_are_no_films(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    git_says(monkeypatch, "mine/.gitignore", "mine/a.mp4.dvc")
    assert not would_be_committed(Path("mine"))
    git_says(monkeypatch, "mine/.gitignore", "mine/a.mp4")
    assert would_be_committed(Path("mine"))
    assert not would_be_committed(project.parent), "elsewhere"
    Path("linked").symlink_to("mine")
    assert not would_be_committed(Path("linked"))


def test_what_to_type_is_a_pattern_that_means_this_folder_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    git_says(monkeypatch, "a [b]/x.mp4")
    Path("a [b]").mkdir()
    assert ignore_words(Path("a [b]")) == (
        "a [b]: Git does not ignore these films, `git add -A` would commit them; type: echo '/a \\[b\\]/' >> .gitignore"
    )
    assert ignore_words(Path()).endswith("; move them into a folder of their own")
    git_says(monkeypatch)
    assert ignore_words(Path("a [b]")) == ""

import hashlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.base.errors import InputError
from pipeline.cli import build_app
from pipeline.commands import verify as command
from tests.bank.banks import make_rows, write_small_bank
from tests.project.test_damage import flip

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def _in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    write_small_bank(tmp_path / "train.zarr", {"v": make_rows({0.0: 3})})
    return Path("train.zarr")


def verify(*words: str, answer: str = "") -> tuple[str, str]:
    """(what was printed, the error that ended it)."""
    done = RUNNER.invoke(build_app("verify"), ["verify", *words], input=answer)
    assert done.exception is None or isinstance(done.exception, InputError), done.exception
    return done.output, str(done.exception or "")


def test_a_whole_bank(bank: Path) -> None:
    assert verify(str(bank)) == (
        "nothing is damaged of what was read: 1 out, 0 objects of DVC's cache\n",
        "",
    )
    assert verify("absent")[1] == "absent: no such file or folder"


def test_a_damaged_one_is_named_and_stays(bank: Path) -> None:
    flip(bank / "v/detections/score/c/0")
    output, error = verify(str(bank))
    assert output.startswith("train.zarr/v/detections/score/c/0: is damaged: CRC32C is ")
    assert error == "1 damaged; `actionbank verify --repair` removes what can be made again"
    output, error = verify(str(bank), "--repair", answer="n\n")
    assert "to be removed:\n  train.zarr\nRemove these 1? [y/N]: n\n" in output
    assert error == "nothing was removed"
    assert bank.is_dir()


@pytest.mark.parametrize("words", [(), ("--yes",)])
def test_it_is_removed_after_asking(bank: Path, words: tuple[str, ...]) -> None:
    flip(bank / "v/detections/score/c/0")
    output, error = verify(str(bank), "--repair", *words, answer="y\n")
    assert output.endswith("removed 1; `dvc repro` makes them again, `dvc pull` fetches what a remote has\n")
    assert error == ""
    assert not bank.exists()
    assert ("Remove these" in output) == (not words)


def test_what_dvc_add_tracks_stays(bank: Path) -> None:
    """Of a user's data there may be no second copy."""
    flip(bank / "v/detections/score/c/0")
    Path("train.zarr.dvc").write_text("outs: [{path: train.zarr, md5: 0.dir}]")
    for words in ((), ("--repair", "--yes"), ("train.zarr", "--repair", "--yes")):
        output, error = verify(*words)
        assert output.startswith("train.zarr/v/detections/score/c/0: is damaged: CRC32C is ")
        assert error == (
            "train.zarr: no stage makes it again, so it is not removed; put it back from its source; where a remote "
            "has it, remove it and `dvc pull`"
        )
        assert bank.is_dir()


def test_a_folder_with_other_things_stays() -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine")
    Path("mine/a.parquet").write_text("no Parquet")
    output, error = verify("mine", "--repair", "--yes")
    assert output.startswith("mine/a.parquet: not a Parquet table: ")
    assert error.startswith("mine: no stage makes it again, so it is not removed; ")
    assert Path("mine/notes.txt").is_file()


@pytest.mark.parametrize("path", [".", "data", "data/train.zarr/v", "./data/train.zarr"])
def test_a_path_is_that_of_the_outs_in_it_or_around_it(bank: Path, path: str) -> None:
    Path("data").mkdir()
    bank.rename("data/train.zarr")
    Path("dvc.lock").write_text("stages: {a: {outs: [{path: data/train.zarr, md5: 0.dir}]}}")
    flip(Path("data/train.zarr/v/detections/score/c/0"))
    assert verify(str(Path(path).resolve()), "--repair", "--yes")[1] == ""
    assert not Path("data/train.zarr").exists()
    none = "nothing is damaged of what was read: 0 outs, 0 objects of DVC's cache; 1 out is not here, so not read\n"
    assert verify("data/train.zarr") == (none, "")  # DVC knows of it


@pytest.mark.usefixtures("bank")
def test_what_is_not_here_is_not_counted_as_read() -> None:
    """A fresh clone where little was pulled."""
    Path("dvc.lock").write_text(
        "stages: {a: {outs: [{path: train.zarr, md5: 0.dir}, {path: x, md5: 1}]}, b: {outs: [{path: y, md5: 2}]}}"
    )
    read = "nothing is damaged of what was read: 1 out, 0 items of .work, 0 objects of DVC's cache"
    assert verify() == (f"{read}; 2 outs are not here, so not read\n", "")


def test_objects_of_the_cache_are_counted_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = hashlib.md5(b"films").hexdigest()
    (tmp_path / "md5" / name[:2]).mkdir(parents=True)
    (tmp_path / "md5" / name[:2] / name[2:]).write_bytes(b"films")
    monkeypatch.setattr(command, "_cache_folder", lambda: tmp_path / "md5")
    Path("dvc.lock").write_text(f"stages: {{a: {{outs: [{{path: x, md5: {name}}}, {{path: y, md5: {'0' * 32}}}]}}}}")
    Path("z.dvc").write_text(f"outs: [{{path: z, md5: {name}}}]")
    read = "nothing is damaged of what was read: 0 outs, 0 items of .work, 1 object of DVC's cache"
    assert verify() == (f"{read}; 3 outs are not here, so not read\n", "")
    Path("x").write_bytes(b"films")
    flip(tmp_path / "md5" / name[:2] / name[2:])
    output, error = verify()
    assert output.count("is damaged") == 1
    assert error.startswith("1 damaged; ")

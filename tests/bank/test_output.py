import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.bank.output import check_new_bank, check_new_file, parts_folder
from pipeline.bank.reader import open_bank
from pipeline.base.errors import InputError
from pipeline.base.files import owner_name, replace_folder
from tests.bank.banks import make_rows, write_small_bank


def refusal(check: object, path: Path, *, force: bool) -> str:
    with pytest.raises(InputError) as error:
        check(path, force=force)  # type: ignore[operator]
    return str(error.value)


def test_a_bank_is_replaced_on_request_and_nothing_else_ever(tmp_path: Path) -> None:
    check_new_bank(tmp_path / "new.zarr", force=False)
    bank = write_small_bank(tmp_path / "train.zarr", {"a": make_rows({0.0: 1})})
    assert refusal(check_new_bank, bank, force=False) == f"{bank}: is there; --force replaces it"
    check_new_bank(bank, force=True)
    folder, file = tmp_path / "home", tmp_path / "file"
    folder.mkdir()
    file.write_text("x")
    for path in (folder, file):
        for force in (False, True):
            assert refusal(check_new_bank, path, force=force) == f"{path}: is there and no bank, so it is not replaced"
    assert open_bank(bank).videos == ("a",)


def test_a_file_is_replaced_on_request_and_a_folder_never(tmp_path: Path) -> None:
    file = tmp_path / "x.pkl"
    check_new_file(file, force=False)
    file.write_text("x")
    assert refusal(check_new_file, file, force=False) == f"{file}: is there; --force replaces it"
    check_new_file(file, force=True)
    expected = f"{tmp_path}: is a folder, expected the name of a file"
    assert refusal(check_new_file, tmp_path, force=True) == expected


def test_what_a_killed_process_left_goes_when_the_bank_is_made_again(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from pipeline.bank.output import parts_folder\n"
        "with parts_folder(Path(sys.argv[1])) as folder:\n    (folder / 'x').touch(); os._exit(9)"
    )
    out = tmp_path / "train.zarr"
    subprocess.run([sys.executable, "-c", code, str(out)], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    with parts_folder(out) as folder, replace_folder(out):
        assert set(tmp_path.glob(".*")) == {folder, tmp_path / f".train.zarr.{owner_name()}.partial"}
    assert list(tmp_path.iterdir()) == [out]

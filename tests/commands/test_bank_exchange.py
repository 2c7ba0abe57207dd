import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.bank.diff import diff_banks
from pipeline.bank.reader import open_bank
from pipeline.base.errors import InputError
from pipeline.commands.bank import bank_app
from tests.bank.banks import make_rows, write_small_bank
from tests.commands.ending import ended
from tests.commands.test_bank_sets import called

FORMATS = ("mmaction2", "mmaction2-list", "caffe2", "hdf5")


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    return write_small_bank(tmp_path / "train.zarr", {"a": make_rows({0.0: 2, 1.0: 1}), "b": make_rows({2.0: 1})})


@pytest.mark.parametrize("kind", FORMATS)
def test_a_bank_goes_out_and_comes_back(bank: Path, tmp_path: Path, kind: str) -> None:
    file, back = tmp_path / "bank.file", tmp_path / "back.zarr"
    code, lines = called("export", bank, file, "--format", kind)
    lost = ["boxes_xyxy, score of the rows", "3 seconds at which nobody was found", "the provenance"]
    assert (code, lines) == (
        0,
        [
            f"{file}: 2 videos, 4 rows, 0.0 MB",
            "  not in it: 4 rows of ground_truth",
            *(f"  not in it: {each}" for each in (lost if kind != "hdf5" else [])),
        ],
    )
    code, lines = called("import", file, back, "--split", "train", "--provenance", "box_threshold=0.5")
    found = open_bank(back)
    dtype = "float32" if kind == "caffe2" else "float16"
    assert code == 0
    assert lines[0] == f"{back}: 2 videos, 4 rows, 4 channels {dtype}, digest {found.digest[:12]}"
    assert diff_banks(open_bank(bank), found, ["detections"]).same
    assert called("verify", back)[0] == 0


def test_nothing_is_overwritten_unasked(bank: Path, tmp_path: Path) -> None:
    file, back = tmp_path / "bank.pkl", tmp_path / "back.zarr"
    called("export", bank, file, "--format", "mmaction2")
    called("import", file, back, "--split", "train")
    for words in (("export", bank, file, "--format", "caffe2"), ("import", file, back, "--split", "val")):
        with pytest.raises(InputError, match="is there; --force replaces it"):
            called(*words)
        assert called(*words, "--force")[0] == 0
    assert open_bank(back).split == "val"


def test_options_of_an_import(tmp_path: Path) -> None:
    file, ids, back = tmp_path / "lfb.pkl", tmp_path / "videos.txt", tmp_path / "back.zarr"
    bank = write_small_bank(tmp_path / "x.zarr", {"a": make_rows({0.0: 2, 60.0: 1})})
    ids.write_text("z\na\n")
    called("export", bank, file, "--format", "caffe2", "--videos", ids, "--dtype", "fp16")
    options = ["--split", "val", "--fps", "30", "--videos", ids, "--format", "caffe2", "--dtype", "fp32"]
    assert called("import", file, back, *options, "--provenance", "recipe=lfb")[0] == 0
    found = open_bank(back)
    assert (found.split, found.videos, str(found.dtype)) == ("val", ("a",), "float32")
    assert found.rows("a", "detections").timestamp.tolist() == [0, 0, 2]
    assert found.provenance["recipe"] == "lfb"
    with pytest.raises(InputError, match=r"not a torch\.save file"):
        called("import", file, tmp_path / "no.zarr", "--split", "val", "--format", "mmaction2")
    assert CliRunner().invoke(bank_app, ["import", str(file), "no.zarr"]).exit_code == 2, "a split must be named"


def test_the_commands_come_without_torch_and_h5py() -> None:
    code = (
        "import sys; from pipeline.cli import build_app; build_app('bank');"
        "print([name for name in ('torch', 'h5py', 'pyarrow') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    # pyarrow comes with `score`; torch takes seconds.
    assert "torch" not in result.stdout
    assert "h5py" not in result.stdout


def test_a_hostile_file_ends_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x02cposix\nsystem\nU\x04trueR.")
    status, _, complained = ended(bank_app, "import", path, tmp_path / "x.zarr", "--split", "train")
    assert status == 1
    assert complained.startswith(f"error: {path}: refused: the pickle names posix.system; only NumPy arrays")
    assert complained.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == [path]

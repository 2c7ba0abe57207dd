import time
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.bank.check_bank import list_missing, verify_bank
from pipeline.bank.reader import check_pair
from pipeline.base.errors import InputError
from pipeline.base.files import digest_file
from pipeline.interop.banks import exchange
from pipeline.interop.banks.exchange import Keys, parse_provenance, read_foreign, read_ids, recognise_format
from pipeline.scoring.keyframe_rows import scoring_rows
from pipeline.tables.keyframes import Keyframe, KeyframeBoxes
from pipeline.tables.select_boxes import BoxRule
from tests.interop.banks.files import small_bank, taken_in, written


def saved(path: Path) -> Path:
    torch.save({"a": {1: [torch.ones(3)]}}, path)
    return path


def test_formats_are_recognised_by_their_first_bytes(tmp_path: Path) -> None:
    bank = small_bank(tmp_path / "train.zarr")
    for kind, expected in (
        ("mmaction2", "mmaction2"),
        ("mmaction2-list", "mmaction2"),
        ("caffe2", "caffe2"),
        ("hdf5", "hdf5"),
    ):
        written(bank, tmp_path / "file", kind)
        assert recognise_format(tmp_path / "file") == expected
    torch.save({}, tmp_path / "file", _use_new_zipfile_serialization=False)
    assert recognise_format(tmp_path / "file") == "mmaction2"
    (tmp_path / "file").write_text("v,1,2\n")
    with pytest.raises(InputError) as error:
        recognise_format(tmp_path / "file")
    assert str(error.value) == (f"{tmp_path / 'file'}: not a bank of another project: expected mmaction2, caffe2, hdf5")
    with pytest.raises(InputError) as error:
        recognise_format(tmp_path / "absent")
    assert str(error.value) == f"{tmp_path / 'absent'}: cannot be read: No such file or directory"


def test_what_the_keys_mean_is_known_of_other_formats(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pkl")
    with pytest.raises(InputError) as error:
        read_foreign(path, "mmaction2", Keys(fps=30))
    assert str(error.value) == (
        f"{path}: is mmaction2, whose keys are ids and seconds; --fps and --videos are for caffe2"
    )
    with pytest.raises(InputError, match=r"--videos x\.txt: hdf5 has ids, no numbers of videos"):
        written(small_bank(tmp_path / "x.zarr"), tmp_path / "x.h5", "hdf5", videos=Path("x.txt"))


def test_a_long_list_of_ids_takes_time_in_proportion(tmp_path: Path) -> None:
    path = tmp_path / "videos.txt"
    path.write_text("".join(f"film {number}\n" for number in range(60_000)))
    began = time.process_time()
    assert len(read_ids(path)) == 60_000
    assert time.process_time() - began < 2


def test_lists_of_ids(tmp_path: Path) -> None:
    path = tmp_path / "videos.txt"
    path.write_text("a\nb c\r\nü\n\n")
    assert read_ids(path) == ["a", "b c", "ü"]
    for text, line, name in (("a\nb\na\n", 3, "a"), ("a\n\nb\n", 2, "")):
        path.write_text(text)
        with pytest.raises(InputError) as error:
            read_ids(path)
        assert str(error.value) == f"{path}: line {line} is {name!r}, expected the id of another video"
    path.write_bytes(b"\xef\xbb\xbfa\nb\n")  # a byte-order mark is no letter of the first id
    assert read_ids(path) == ["a", "b"]
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"videos\.txt: not a list of videos: 'utf-8' codec"):
        read_ids(path)
    with pytest.raises(InputError, match="nowhere: cannot be read: No such file"):
        read_ids(tmp_path / "nowhere")


def test_provenance_is_json_where_it_can_be_and_digests_are_text() -> None:
    words = ["box_threshold=0.9", "recipe=slow=fast", "lower=true", "checkpoint_sha256=12", "clip={}", "x=", "y=1e999"]
    assert parse_provenance(words) == {
        "box_threshold": 0.9,
        "recipe": "slow=fast",
        "lower": True,
        "checkpoint_sha256": "12",
        "clip": {},
        "x": "",
        "y": "1e999",
    }
    assert parse_provenance(["x=NaN"]) == {"x": "NaN"}
    for word in ("box_threshold", "=1"):
        with pytest.raises(InputError) as error:
            parse_provenance([word])
        assert str(error.value) == f"--provenance {word}: expected key=value"
    with pytest.raises(InputError, match="--provenance a=2: a stands twice"):
        parse_provenance(["a=1", "a=2"])


def test_an_imported_bank_is_whole_and_says_what_it_lacks(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pkl")
    known = {"checkpoint_sha256": "c" * 64, "box_threshold": 0.9}
    bank, _ = taken_in(path, tmp_path / "train.zarr", provenance=known)
    assert verify_bank(tmp_path / "train.zarr") == []
    assert dict(bank.provenance) == {**known, "imported_from": "mmaction2", "source_sha256": digest_file(path)}
    assert bank.attributes("a")["checkpoint_sha256"] == "c" * 64
    missing = list_missing(bank)
    assert "provenance: recipe" in missing
    assert "detections: no boxes_xyxy in 1 of 1 parts" in missing
    assert "detections: no score in 1 of 1 parts" in missing


def test_rows_without_boxes_are_for_windows_alone(tmp_path: Path) -> None:
    bank, _ = taken_in(saved(tmp_path / "x.pkl"), tmp_path / "train.zarr", provenance={"box_threshold": 0.9})
    none = np.empty((0, 4))
    keyframe = KeyframeBoxes(Keyframe("a", 1.0, 1.0), none, np.empty((0, 1), bool), none, np.empty(0))
    with pytest.raises(InputError) as error:
        scoring_rows(bank, [keyframe], "detections", rule=BoxRule(0.9))
    assert str(error.value) == (
        f"{bank.where}: detections of video 'a' have no boxes: windows can read them, but a head can be neither "
        "trained on them nor scored"
    )
    assert not len(scoring_rows(bank, [keyframe], "ground_truth", rule=BoxRule(0.9)).features)


def test_train_and_val_banks_of_two_files_belong_together(tmp_path: Path) -> None:
    known = {"checkpoint_sha256": "c" * 64, "box_threshold": 0.9}
    train, _ = taken_in(saved(tmp_path / "x.pkl"), tmp_path / "train.zarr", provenance=known)
    written(train, tmp_path / "x.h5", "hdf5")
    val, _ = taken_in(tmp_path / "x.h5", tmp_path / "val.zarr", split="val")
    assert val.split == "val"
    assert train.provenance["source_sha256"] != val.provenance["source_sha256"]
    assert check_pair(train, val, allow_mixed=False) == {}


def test_rounding_is_said_and_given_provenance_comes_first(tmp_path: Path) -> None:
    bank = small_bank(tmp_path / "x.zarr", dtype="fp32")
    written(bank, tmp_path / "x.h5", "hdf5")
    half, notes = taken_in(
        tmp_path / "x.h5", tmp_path / "y.zarr", dtype="fp16", provenance={"box_threshold": 0.75, "recipe": "other"}
    )
    assert notes == ["read as a bank in HDF5", "features were rounded to float16"]
    assert (half.provenance["box_threshold"], half.provenance["recipe"]) == (0.75, "other")
    np.testing.assert_array_equal(
        half.rows("a", "detections").features, bank.rows("a", "detections").features.astype(np.float16)
    )


def test_an_import_that_fails_leaves_the_earlier_bank_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "x.pkl")
    bank, _ = taken_in(path, tmp_path / "train.zarr")
    monkeypatch.setattr(exchange, "assemble_bank", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        taken_in(path, tmp_path / "train.zarr")
    assert {each.name for each in tmp_path.iterdir()} == {"x.pkl", "train.zarr"}
    assert verify_bank(Path(bank.where)) == []

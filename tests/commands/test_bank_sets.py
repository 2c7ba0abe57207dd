import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.bank.reader import open_bank
from pipeline.base.errors import InputError
from pipeline.base.files import write_json
from pipeline.commands.bank import bank_app
from tests.bank.banks import make_rows, write_small_bank
from tests.features.test_check_sources import sources as sources  # a fixture

RUNNER = CliRunner()
ROWS = {name: make_rows({0.0: 2, 1.0: 1}, seed=seed) for seed, name in enumerate("abc")}


def called(*words: object) -> tuple[int, list[str]]:
    result = RUNNER.invoke(bank_app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output.splitlines()


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    return write_small_bank(tmp_path / "train.zarr", ROWS)


def test_diff_of_the_same_bank(bank: Path) -> None:
    assert called("diff", bank, bank) == (
        0,
        [
            f"A {bank}, B {bank}: same rows and features",
            "  detections: 9 rows in both, 0 only in A, 0 only in B",
            "  ground_truth: 6 rows in both, 0 only in A, 0 only in B",
        ],
    )


def test_diff_says_what_differs_and_by_how_much(bank: Path, tmp_path: Path) -> None:
    other = write_small_bank(
        tmp_path / "other.zarr", {name: ROWS[name] for name in "ab"} | {"x": ROWS["c"]}, dtype="fp32", ground_truth=None
    )
    code, lines = called("diff", bank, other)
    assert code == 1
    assert lines[:5] == [
        f"A {bank}, B {other}: different",
        "  dtype: float16 in A, float32 in B",
        "  videos only in A: c",
        "  videos only in B: x",
        "  detections: 6 rows in both, 0 only in A, 0 only in B",
    ]
    assert lines[5] == "    6 of those in both differ"
    assert [line.rpartition(" at ")[0] for line in lines[6:9]] == [
        "    features: absolute difference",
        "    features: relative difference",
        "    features: cosine similarity",
    ]
    assert lines[-2:] == ["  ground_truth: 0 rows in both, 4 only in A, 0 only in B", "    worst video: a"]
    assert "  ground_truth" not in "".join(called("diff", bank, other, "--rows", "detections")[1])


def test_diff_of_other_channels_scores_and_many_videos(bank: Path, tmp_path: Path) -> None:
    rows = ROWS["a"]
    assert rows.score is not None
    wide = replace(rows, features=np.ones((3, 5)), score=np.full(3, 0.75))
    other = write_small_bank(
        tmp_path / "wide.zarr", {"a": wide, **dict.fromkeys("tuvwxyz", wide)}, ground_truth=None, provenance={}
    )
    largest = np.abs(rows.score.astype(np.float32) - 0.75).max()
    lines = called("diff", bank, other, "--rows", "detections")[1]
    assert "  recipe: tiny in A, nothing in B" in lines
    assert lines[-7:] == [
        "  videos only in A: b, c",
        "  videos only in B: t, u, v, w, x and 2 more",
        "  detections: 3 rows in both, 0 only in A, 0 only in B",
        "    3 of those in both differ",
        "    features: not compared, their numbers of channels differ",
        f"    score: absolute difference at most {largest:.3g}",
        "    worst video: a",
    ]


def test_diff_of_a_bank_without_boxes_says_how_rows_were_matched(tmp_path: Path) -> None:
    bare = replace(ROWS["a"], boxes_xyxy=np.full((3, 4), np.nan))
    path = write_small_bank(tmp_path / "bare.zarr", {"a": bare}, ground_truth=None)
    assert called("diff", path, path)[1][1:] == [
        "  detections: 3 rows in both, by order within the second, 0 only in A, 0 only in B"
    ]


def test_diff_as_json(bank: Path) -> None:
    code, lines = called("diff", "--json", bank, bank)
    found = json.loads("\n".join(lines))
    assert (code, found["same"], found["a"], found["settings"]) == (0, True, str(bank), {})
    assert found["row_sets"]["detections"]["matched"] == 9
    assert found["row_sets"]["detections"]["mean_absolute"] == 0


def test_merge_and_subset_make_each_other(bank: Path, tmp_path: Path) -> None:
    ids = tmp_path / "videos.txt"
    ids.write_text("b\nc\n")
    one, two, out = (tmp_path / f"{name}.zarr" for name in ("one", "two", "out"))
    code, lines = called("subset", one, bank, "--video", "a", "--video", "b")
    assert (code, lines) == (0, [f"{one}: 2 videos, 6 rows, digest {open_bank(one).digest[:12]}"])
    assert called("subset", two, bank, "--videos", ids)[0] == 0
    digest = open_bank(bank).digest
    assert called("merge", out, one, two) == (
        0,
        [f"{out}: 3 videos, 1 of them in several banks, 9 rows, digest {digest[:12]}"],
    )
    assert open_bank(out).digest == digest
    for words in (("merge", out, one, two), ("subset", out, bank, "--video", "a")):
        with pytest.raises(InputError, match=r"out\.zarr: is there; --force replaces it"):
            called(*words)
    assert called("subset", out, bank, "--video", "a", "--force")[0] == 0
    assert open_bank(out).videos == ("a",)
    with pytest.raises(InputError, match=r"new\.zarr: 1 bank to merge, expected two or more"):
        called("merge", tmp_path / "new.zarr", one)


def test_a_bank_can_be_replaced_by_one_made_of_itself(bank: Path, tmp_path: Path) -> None:
    assert called("subset", bank, bank, "--video", "c", "--force")[0] == 0
    assert open_bank(bank).videos == ("c",)
    assert called("verify", bank)[0] == 0


def test_verify_compares_with_the_sources_once_the_bank_is_whole(bank: Path, sources: Path) -> None:
    write_json(sources / "baseline.json", {"sha256": "0" * 64})
    checkpoint = sources / "baseline.safetensors"
    code, lines = called("verify", bank, "--checkpoint", checkpoint)
    assert code == 1
    assert lines == [
        f"{bank}: checkpoint_sha256: found {'c' * 64}, expected {'0' * 64} of {checkpoint}",
        f"{bank}: 3 videos in 3 parts, 15 rows: not whole, 1 findings",
    ]
    found = called("verify", bank, "--boxes", sources, "--annotations", sources, "--json")[1]
    report = json.loads("\n".join(found))
    assert {each["item"].split(": ")[1] for each in report["findings"]} == {"detections", "ground_truth"}
    (bank / "a/zarr.json").unlink()
    lines = called("verify", bank, "--checkpoint", checkpoint)[1]
    assert not any("checkpoint_sha256" in line for line in lines)


@pytest.mark.parametrize("words", [("subset", "--video", "a"), ("merge",)], ids=["subset", "merge"])
def test_a_bank_with_files_of_the_user_is_not_replaced(bank: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    out = tmp_path / "out.zarr"
    banks = [bank, bank] if words[0] == "merge" else [bank]
    called(words[0], out, *banks, *words[1:])
    called(words[0], out, *banks, *words[1:], "--force")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(
        InputError, match=r"out\.zarr: holds notes\.txt, which this command does not write, so it is not"
    ):
        called(words[0], out, *banks, *words[1:], "--force")
    assert (out / "notes.txt").read_text() == "mine"

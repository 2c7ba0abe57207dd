import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.bank.format import VERSION
from pipeline.bank.reader import open_bank
from pipeline.base.files import write_bytes
from pipeline.commands.bank import bank_app
from tests.bank.banks import ATTRIBUTES, PROVENANCE, make_rows, write_small_bank
from tests.commands.ending import ended

RUNNER = CliRunner()


@pytest.fixture
def bank_path(tmp_path: Path) -> Path:
    rows = {"a": make_rows({0.0: 3, 2.0: 1200}), "b": make_rows({})}
    return write_small_bank(tmp_path / "train.zarr", rows, attributes=ATTRIBUTES)


def test_info_says_what_a_bank_is(bank_path: Path) -> None:
    result = RUNNER.invoke(bank_app, ["info", str(bank_path)])
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        f"{bank_path}: feature bank of split train, format version {VERSION}",
        "  2 videos in 2 parts, 1,203 rows of detections, 4 rows of ground_truth",
        "  4 channels float16, codec none, 0.1 MB",
        f"  digest {open_bank(bank_path).digest}",
        "  made by",
        "    box_source: playground",
        "    box_threshold: 0.5",
        f"    checkpoint_sha256: {'c' * 64}",
        "    compute_dtype: fp32",
        f"    frames_sha256: {'f' * 64}",
        "    pooling: average, max",
        "    recipe: tiny",
        "    seconds: grid",
        "  missing: nothing",
    ]


def test_info_names_what_is_missing(bank_path: Path, tmp_path: Path) -> None:
    (bank_path / "a/detections/score/c/0").unlink()
    lines = RUNNER.invoke(bank_app, ["info", str(bank_path)]).output.splitlines()
    assert lines[-2:] == ["  missing", "    part 'a': detections: the shard of score is missing, expected 5172 bytes"]
    bare = write_small_bank(tmp_path / "bare.zarr", {"a": make_rows({0.0: 3})}, provenance={})
    result = RUNNER.invoke(bank_app, ["info", str(bare)])
    assert "  made by: it does not say" in result.output.splitlines()
    assert "    provenance: checkpoint_sha256" in result.output.splitlines()


def test_info_as_json(bank_path: Path) -> None:
    facts = json.loads(RUNNER.invoke(bank_app, ["info", "--json", str(bank_path)]).output)
    sizes = [path.stat().st_size for path in bank_path.rglob("c/**/*") if path.is_file()]
    assert facts == {
        "path": str(bank_path),
        "version": VERSION,
        "split": "train",
        "videos": 2,
        "parts": 2,
        "rows": {"detections": 1203, "ground_truth": 4},
        "channels": 4,
        "dtype": "float16",
        "codec": "none",
        "bytes": sum(sizes),
        "digest": open_bank(bank_path).digest,
        "provenance": PROVENANCE,
        "missing": [],
    }


def test_verify_exits_by_what_it_finds(bank_path: Path) -> None:
    whole = RUNNER.invoke(bank_app, ["verify", str(bank_path)])
    assert (whole.exit_code, whole.output) == (0, f"{bank_path}: 2 videos in 2 parts, 1,207 rows: whole\n")
    shard = bank_path / "a/detections/score/c/0"
    write_bytes(shard, b"\1" + shard.read_bytes()[1:])
    damaged = RUNNER.invoke(bank_app, ["verify", str(bank_path)])
    assert damaged.exit_code == 1
    first, last = damaged.output.splitlines()
    assert first.startswith(f"{bank_path}: part 'a': detections: found digest ")
    assert last == f"{bank_path}: 2 videos in 2 parts, 1,207 rows: not whole, 1 findings"


def test_verify_as_json(bank_path: Path) -> None:
    (bank_path / "b/zarr.json").unlink()
    result = RUNNER.invoke(bank_app, ["verify", "--json", str(bank_path)])
    report = json.loads(result.output)
    assert result.exit_code == 1
    assert (report["whole"], report["videos"], report["parts"], report["rows"]) == (False, 2, 2, 1207)
    assert report["findings"][0] == {
        "file": str(bank_path),
        "item": "part 'b': zarr.json",
        "found": "no file",
        "expected": "a file of the part",
    }


@pytest.mark.parametrize("command", ["info", "verify"])
def test_what_is_no_bank_ends_in_one_line(tmp_path: Path, command: str) -> None:
    message = f"error: {tmp_path}: not a feature bank: it has neither manifest.json nor zarr.json\n"
    assert ended(bank_app, command, tmp_path) == (1, "", message)


@pytest.mark.parametrize("command", ["info", "verify"])
def test_help_reads_well(command: str) -> None:
    result = RUNNER.invoke(bank_app, [command, "--help"])
    assert result.exit_code == 0
    assert "The bank's folder" in result.output
    assert "--json" in result.output

import copy
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.bank.format import (
    ARRAYS,
    CHUNK_ROWS,
    CODECS,
    MANIFEST,
    PER_SPLIT,
    PROVENANCE,
    ROW_SETS,
    VERSION,
    parse_manifest,
    part_folder,
    part_name,
)
from pipeline.base.checksums import read_sealed_json
from pipeline.base.errors import InputError
from pipeline.base.files import read_json
from tests.bank.banks import make_rows, write_small_bank
from tests.ids import IDS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "bank-format.md"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=15))
def test_a_part_has_one_safe_folder_name(part: str) -> None:
    folder = part_folder(part)
    assert part_name(folder) == part
    assert re.fullmatch("[A-Za-z0-9_%-]+", folder)
    assert not folder.startswith("__")


@pytest.mark.parametrize(
    ("part", "folder"),
    [
        ("-5KQ66BBWC4", "-5KQ66BBWC4"),
        ("a_b", "a_b"),
        ("..", "%2E%2E"),
        ("zarr.json", "zarr%2Ejson"),
        ("../x/y", "%2E%2E%2Fx%2Fy"),
        ("__a", "%5F_a"),
        ("50%", "50%25"),
        ("é ~", "%C3%A9%20%7E"),
    ],
)
def test_unsafe_ids_are_percent_encoded(part: str, folder: str) -> None:
    assert part_folder(part) == folder


@given(IDS)
def test_every_films_id_can_be_a_folder(video_id: str) -> None:
    assert part_name(part_folder(video_id)) == video_id


def test_letters_of_a_long_name_stay() -> None:
    assert part_folder("台" * 22) == "%E5%8F%B0" * 22
    assert part_folder("台" * 60 + " .") == "台" * 60 + "%20%2E"
    assert part_name("台" * 60 + "%20%2E") == "台" * 60 + " ."


def test_an_id_that_cannot_be_a_folder_is_refused() -> None:
    with pytest.raises(InputError, match=r"^part '': its folder name would have 0 bytes, expected 1 to 200$"):
        part_folder("")
    with pytest.raises(InputError, match=r"its folder name would have 201 bytes, expected 1 to 200$"):
        part_folder("x" * 201)
    with pytest.raises(InputError, match=r"^part '\\udcff': the id is not valid Unicode text$"):
        part_folder("\udcff")


@pytest.fixture(scope="module")
def bank_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = {"v": make_rows({1.0: 2}, tracked=True)}
    return write_small_bank(tmp_path_factory.mktemp("bank") / "train.zarr", rows)


def test_the_documented_command_gives_a_row_sets_digest(bank_path: Path) -> None:
    command = "cd <part>/detections && find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
    assert command in DOCUMENT.read_text()
    shell = command.replace("<part>", "v")
    run = subprocess.run(shell, shell=True, cwd=bank_path, check=True, capture_output=True, text=True)
    manifest = read_json(bank_path / MANIFEST)
    assert run.stdout.split()[0] == manifest["parts"]["v"]["row_sets"]["detections"]["sha256"]


def test_the_document_names_everything(bank_path: Path) -> None:
    text = DOCUMENT.read_text()
    manifest = read_json(bank_path / MANIFEST)
    part = manifest["parts"]["v"]
    names = {*manifest, *part, *part["row_sets"]["detections"], *ARRAYS, *ROW_SETS, *CODECS, *PROVENANCE, *PER_SPLIT}
    attributes = read_json(bank_path / "v/zarr.json")["attributes"]
    assert [name for name in sorted({*names, *attributes}) if not re.search(rf"\b{name}\b", text)] == []
    assert f"# The feature bank's format, version {VERSION}\n" in text
    assert f"inner chunks of {CHUNK_ROWS} rows" in text


@pytest.fixture(scope="module")
def manifest(bank_path: Path) -> Any:
    return read_sealed_json(bank_path / MANIFEST)


def test_a_manifest_survives_a_round_trip(manifest: Any) -> None:
    assert parse_manifest(manifest, "m").to_json() == manifest
    assert set(manifest["rows"]) == {*ROW_SETS} - {"objects"}


def test_a_manifest_counts_objects_where_a_part_has_them(tmp_path: Path) -> None:
    rows = make_rows({1.0: 2})
    path = write_small_bank(tmp_path / "train.zarr", {"v": rows}, objects=make_rows({0.0: 1, 1.0: 2}))
    manifest = read_sealed_json(path / MANIFEST)
    assert manifest["rows"] == {"detections": 2, "ground_truth": 2, "objects": 3}
    assert manifest["parts"]["v"]["videos"]["v"] == manifest["rows"]
    assert parse_manifest(manifest, "m").to_json() == manifest


def test_every_bad_manifest_is_refused_by_name(manifest: Any) -> None:
    detections = ("parts", "v", "row_sets", "detections")
    cases: list[tuple[tuple[str, ...], Any, str]] = [
        (("format",), "other", "m: not of a feature bank: format is 'other', expected "),
        (("version",), 3, "m: format version is 3, this program reads 2"),
        (("version",), 1, "m: format version is 1, this program reads 2; make the bank anew"),
        (("split",), 3, "m: split is 3, expected str"),
        ((*detections, "shard_crc32c", "score"), "0", "m: part 'v': detections: shard_crc32c is "),
        ((*detections, "shard_crc32c"), {"score": "0" * 8}, "m: part 'v': detections: shard_crc32c is "),
        (("channels",), -1, "m: channels is -1, expected int"),
        (("channels",), True, "m: channels is True, expected int"),
        (("dtype",), "int8", "m: dtype is 'int8', expected float16 or float32"),
        (("codec",), "gzip", "m: codec is 'gzip', expected none or zstd or lz4"),
        (("provenance",), None, "m: provenance is None, expected dict"),
        (("metadata_sha256",), "abc", "m: metadata_sha256 is 'abc', expected a sha256"),
        (("parts",), [], "m: parts is [], expected dict"),
        (("parts", "v"), [], "m: part 'v': row_sets is None, expected dict"),
        (("parts", "v", "row_sets"), {}, "m: part 'v': row sets are [], expected detections among them"),
        (("parts", "v", "row_sets", "others"), {"shard_bytes": {}},
         "m: part 'v': row set is 'others', expected one of detections, ground_truth"),
        ((*detections, "rows"), "2", "m: part 'v': detections: rows is '2', expected int"),
        ((*detections, "rows"), 3, "m: part 'v': detections: rows is 3, its videos have 2"),
        (("parts", "v", "videos"), [], "m: part 'v': videos is [], expected dict"),
        (("parts", "v", "videos"), {}, "m: part 'v': videos is empty, expected one or more"),
        (("parts", "v", "videos", "v"), {"ground_truth": 2}, "m: part 'v': video 'v' has {'ground_truth': 2}, "
         "expected its rows of detections and ground_truth"),
        (("parts", "v", "videos", "v", "others"), 2, "m: part 'v': video 'v' has {"),
        (("parts", "v", "videos", "v", "detections"), -2, "m: part 'v': video 'v' has -2 rows of detections, expected"),
        (("parts", "v", "videos", "v", "detections"), True, "m: part 'v': video 'v' has True rows of detections, exp"),
        (("parts", "w"), manifest["parts"]["v"], "m: video 'v' stands in parts 'v' and 'w', expected in one"),
        ((*detections, "rows"), 0, "m: part 'v': detections: shard_bytes are "),
        ((*detections, "shard_bytes"), {"features": 1},
         "m: part 'v': detections: arrays are ['features'], expected some of "),
        ((*detections, "shard_bytes", "../x"), 1, "m: part 'v': detections: arrays are ['../x', "),
        ((*detections, "shard_bytes", "features"), 1.5, "m: part 'v': detections: shard_bytes are "),
    ]  # fmt: skip
    for keys, value, message in cases:
        changed = copy.deepcopy(manifest)
        inner = changed
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        with pytest.raises(InputError, match="^" + re.escape(message)):
            parse_manifest(changed, "m")
    with pytest.raises(InputError, match=r"^m: not of a feature bank: format is 'list'"):
        parse_manifest([], "m")


@settings(max_examples=40)
@given(st.recursive(st.none() | st.integers() | st.text(), lambda each: st.dictionaries(st.text(), each)))
def test_no_json_value_breaks_the_parser(value: Any) -> None:
    with pytest.raises(InputError):
        parse_manifest({"format": "actionbank-feature-bank", "version": 2, "parts": {"v": value}}, "m")

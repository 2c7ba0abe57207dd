import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.checksums import REMEDY
from pipeline.base.errors import InputError
from pipeline.video.manifest import StoreManifest, write_manifest
from tests.ids import IDS
from tests.sealing import reseal

VALUES = st.integers(0, 2**40) | st.text(max_size=20) | st.floats(allow_nan=False, allow_infinity=False) | st.none()
ENTRIES = st.dictionaries(st.sampled_from(["rows", "codec", 'a "word"', "videos", "fps"]), VALUES)


def put(folder: Path, videos: dict[str, dict[str, Any]], **settings: Any) -> Path:
    for name in {str(each.get("file", f"{video_id}.arrow")) for video_id, each in videos.items()}:
        (folder / name).write_bytes(b"x" * len(name))
    write_manifest(folder, videos, **settings)
    return folder / "manifest.json"


@given(videos=st.dictionaries(IDS, ENTRIES, max_size=6))
def test_it_reads_what_was_written(scratch: Path, videos: dict[str, dict[str, Any]]) -> None:
    shared = {name: {**entry, "file": "pack-0-of-1.arrow", "first_batch": 3} for name, entry in videos.items()}
    path = put(scratch, shared, fps=15.0, quality=90, pack=1, title='"videos": {\n"x": {}\n')
    manifest = StoreManifest(path)
    assert manifest.video_ids == sorted(videos)
    assert {name: manifest.entry(name) for name in videos} == shared
    assert (manifest.settings["fps"], manifest.settings["pack"]) == (15.0, 1)
    # The same for a reader that knows nothing of lines.
    whole = json.loads(path.read_text())
    assert (whole["videos"], whole["quality"], whole["format"]) == (shared, 90, "actionbank frame store 3")


def test_a_video_has_its_own_file_unless_it_says_otherwise(tmp_path: Path) -> None:
    manifest = StoreManifest(put(tmp_path, {"b": {}, "a": {"file": "p.arrow", "first_batch": 2}}, fps=15.0))
    assert manifest.entry("a") == {"file": "p.arrow", "first_batch": 2}
    assert manifest.entry("b") == {"file": "b.arrow", "first_batch": 0}
    assert manifest.file_bytes == {"b.arrow": 7, "p.arrow": 7}


def test_one_line_per_video_in_order(tmp_path: Path) -> None:
    lines = put(tmp_path, {"b": {"rows": 1}, "a": {"rows": 2}}, fps=15.0).read_text().splitlines()
    assert lines[-5:] == [
        '"videos": {',
        '"a": {"file": "a.arrow", "first_batch": 0, "rows": 2},',
        '"b": {"file": "b.arrow", "first_batch": 0, "rows": 1}',
        "}",
        "}",
    ]


def fails(path: Path, message: str) -> None:
    with pytest.raises(InputError) as error:
        StoreManifest(path).entry("a")
    assert str(error.value) == message


def test_what_is_no_manifest(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    fails(path, f"{path}: no such file")
    path.touch()
    fails(path, f"{path}: not JSON: Expecting value: line 1 column 1 (char 0)")
    path.write_text('{"format": "other"}')
    fails(path, f"{path}: format is 'other', expected 'actionbank frame store 3'; run extract_frames")
    path.write_text("[]")
    fails(path, f"{path}: format is None, expected 'actionbank frame store 3'; run extract_frames")


def test_a_video_that_is_not_there(tmp_path: Path) -> None:
    fails(
        put(tmp_path, {"b": {}}, fps=15.0),
        f"{tmp_path}: no frames of video 'a' among 1 videos; see problems.json there, or run extract_frames",
    )


@pytest.mark.parametrize(("kept", "whole_lines"), [(-1, 2), (-6, 1), (-60, 1), (-100, 0)])
def test_a_cut_manifest(tmp_path: Path, kept: int, whole_lines: int) -> None:
    path = put(tmp_path, {"a": {"rows": 2}, "b": {"rows": 1}}, fps=15.0)
    path.write_bytes(path.read_bytes()[:kept])
    fails(path, f"{path}: found {whole_lines} whole lines of videos, expected 2; {REMEDY}")


def test_a_damaged_head(tmp_path: Path) -> None:
    path = put(tmp_path, {"a": {}}, fps=15.0)
    path.write_text(path.read_text().replace('"fps": 15.0', '"fps": 15.0.0'))
    with pytest.raises(InputError, match=r"manifest\.json: not JSON: ") as error:
        StoreManifest(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("old", "new"), [('"fps": 15.0', '"fps": 14.0'), ('"rows": 2', '"rows": 3'), ("\n}", " }")])
def test_a_changed_byte_is_found(tmp_path: Path, old: str, new: str) -> None:
    path = put(tmp_path, {"a": {"rows": 2}, "b": {"rows": 1}}, fps=15.0)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=r"manifest\.json: (is damaged or was edited|found \d whole lines)"):
        StoreManifest(path)


def test_a_damaged_line(tmp_path: Path) -> None:
    path = put(tmp_path, {"a": {"rows": 2}, "b": {"rows": 1}}, fps=15.0)
    reseal(path, path.read_text().replace('"rows": 2', '"rows" 22'))
    assert StoreManifest(path).entry("b")["rows"] == 1
    with pytest.raises(
        InputError,
        match=r"manifest\.json: video 'a': not JSON: .*; run `actionbank verify --repair`",
    ):
        StoreManifest(path).entry("a")


def test_records_are_parsed_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, {f"v{number}": {"file": "p.arrow"} for number in range(1000)}, fps=15.0)
    parsed: list[int] = []
    loads = json.loads

    def note(text: bytes) -> Any:
        parsed.append(len(text))
        return loads(text)

    monkeypatch.setattr(json, "loads", note)
    manifest = StoreManifest(path)
    assert manifest.entry("v77")["file"] == "p.arrow"
    assert len(parsed) == 2
    assert max(parsed) < 200

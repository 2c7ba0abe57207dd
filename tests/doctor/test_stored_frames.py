from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.base.files import write_json
from pipeline.doctor.finding import Finding
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.doctor.stored_frames import check_frames
from pipeline.video.extract import FrameSettings
from pipeline.video.manifest import write_manifest

SETTINGS = FrameSettings(30.0, 256, 90)
FILM = ProbedFilm(codec="h264", expected_frames=60, frames=60)


def record(**changes: Any) -> dict[str, Any]:
    return {
        "codec": "h264",
        "decoder": "pyav",
        "decoder_version": version("av"),
        "decoder_reason": "decord gives no planes",
        "pixels": "planes",
        "pixels_reason": "",
        "frames_decoded": 60,
        "frames_expected": 60,
        "frames_failed": 0,
        "rows": 60,
        "sha256": "0",
        **changes,
    }


def store(folder: Path, quality: int = 90, **videos: dict[str, Any]) -> Path:
    for name in videos:
        (folder / f"{name}.arrow").write_bytes(b"frames")
    write_manifest(folder, videos, fps=30.0, short_side=256, quality=quality, pack=None)
    return folder


def checked(folder: Path, **films: ProbedFilm) -> dict[str, Finding]:
    return {each.code: each for each in check_frames(folder, SETTINGS, films, None)}


def test_no_store_and_a_store_as_it_would_be_made_now(tmp_path: Path) -> None:
    assert checked(tmp_path) == {}
    assert checked(store(tmp_path, a=record(), b=record()), a=FILM, b=FILM) == {}


def test_frames_made_by_another_decoder(tmp_path: Path) -> None:
    """SlowFast #112: the same recipe on frames of another decoder gives another mAP."""
    other = record(decoder_version="1.0", pixels="rgb", pixels_reason="pixel format pal8")
    found = checked(store(tmp_path, a=record(), b=other), a=FILM, b=FILM)
    assert list(found) == ["frames-of-other-decoder", "frames-of-several-decoders"]
    assert str(found["frames-of-other-decoder"].examples[0]) == (
        f"{tmp_path}: b: found frames by pyav 1.0, expected pyav {version('av')}, which is installed"
    )
    assert found["frames-of-several-decoders"].severity == "note"
    assert [each.expected for each in found["frames-of-several-decoders"].examples] == [
        "the usual decoder",
        "pixel format pal8",
    ]


def test_frames_of_an_earlier_version(tmp_path: Path) -> None:
    """They have no word of planes; pictures never have."""
    earlier, pictures = record(decoder="decord", decoder_version=version("decord"), decoder_reason=""), record()
    pictures |= {"decoder": "simplejpeg", "decoder_version": version("simplejpeg"), "decoder_reason": "a folder"}
    for each in (earlier, pictures):
        del each["pixels"], each["pixels_reason"]
    found = checked(store(tmp_path, a=earlier, b=pictures), a=FILM, b=FILM)
    assert list(found) == ["frames-of-earlier-version", "frames-of-several-decoders"]
    assert str(found["frames-of-earlier-version"].examples[0]) == (
        f"{tmp_path}: a: found frames by way of RGB, expected frames of the decoder's planes, if usable"
    )
    assert found["frames-of-earlier-version"].remedy == (
        "Run dvc repro extract_frames. Most are a level darker than new ones; keep to one kind for a model."
    )


def test_frames_made_with_other_settings(tmp_path: Path) -> None:
    found = checked(store(tmp_path, quality=70, a=record()), a=FILM)
    assert list(found) == ["frames-of-other-settings"]
    assert str(found["frames-of-other-settings"].examples[0]) == (
        f"{tmp_path / 'manifest.json'}: frames.quality: found 70, expected 90, as the parameters say"
    )


def test_one_frame_is_missing(tmp_path: Path) -> None:
    """mmaction2 #806: a missing img_00001.jpg ends a training after hours."""
    found = checked(store(tmp_path, a=record(frames_decoded=59, frames_failed=1)), a=FILM)
    assert list(found) == ["frames-lost"]
    assert (found["frames-lost"].severity, found["frames-lost"].count) == ("warning", 1)
    assert str(found["frames-lost"].examples[0]) == f"{tmp_path}: a: found 59 frames, expected 60 frames"


def test_films_that_were_left_out_damaged_or_replaced(tmp_path: Path) -> None:
    """mmaction2 #362."""
    folder = store(tmp_path, a=record(), c=record())
    problem = {"file": "b.mp4", "item": "b", "found": "0 bytes", "expected": "a video file"}
    write_json(folder / "problems.json", {"total": 3, "problems": [problem]})
    (folder / "c.arrow").write_bytes(b"fra")
    found = checked(folder, a=ProbedFilm(codec="h264", expected_frames=61), c=FILM)
    assert list(found) == ["frames-damaged", "frames-left-out", "frames-of-other-film"]
    assert found["frames-damaged"].examples[0].found == "3 bytes"
    assert str(found["frames-left-out"].examples[0]) == "b.mp4: b: found 0 bytes, expected a video file"
    assert found["frames-of-other-film"].examples[0].expected == "61 of h264, as in the file"
    (folder / "c.arrow").unlink()
    assert checked(folder)["frames-damaged"].examples[0].found == "no file"
    (folder / "manifest.json").write_text("{")
    assert list(checked(folder)) == ["frames-unreadable"]

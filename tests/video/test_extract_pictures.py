from pathlib import Path

import pytest

from pipeline.video.extract import FrameSettings
from pipeline.video.items import assemble_videos, extract_videos
from tests.video.films import number_of
from tests.video.test_pictures import AS_IT_IS, extracted, store_of, write_pictures


@pytest.mark.parametrize(
    ("name", "first"),
    [("img_{:05}.jpg", 1), ("a_{:06}.jpg", 1), ("{:05}.JPG", 0), ("a-{}.jpeg", 1), ("frame_{:010}.png", 1)],
)
def test_pictures_stand_at_their_number(tmp_path: Path, name: str, first: int) -> None:
    folder = write_pictures(tmp_path / "a", 20, name=name, first=first)
    store = store_of(tmp_path, folder)
    assert (store.grid_frames("a"), store.duration_seconds("a")) == (20, 20 / 30)
    assert [number_of(each) for each in store.read_clip("a", range(20))] == list(range(20))


def test_a_jpeg_that_is_not_scaled_keeps_its_bytes(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", 5)
    frames = (extracted(folder)["item"].folder / "frames.arrow").read_bytes()
    assert all((folder / f"img_{n:05}.jpg").read_bytes() in frames for n in range(1, 6))
    record = extracted(folder, FrameSettings(30.0, 64, 50))  # 96x64 is not larger
    assert (record["frames_unchanged"], record["stored_height"]) == (5, 64)
    record = extracted(folder, FrameSettings(30.0, 32, 90))
    assert (record["frames_unchanged"], record["stored_height"], record["stored_width"]) == (0, 32, 48)


def test_the_grid_has_its_own_rate(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", 30)
    store = store_of(tmp_path, folder, FrameSettings(10.0, None, 90), rate=20)
    assert (store.grid_frames("a"), store.duration_seconds("a")) == (15, 1.5)
    assert [number_of(each) for each in store.read_clip("a", range(15))] == list(range(0, 30, 2))


def test_what_the_record_says(tmp_path: Path) -> None:
    record = extracted(write_pictures(tmp_path / "a", 6), rate=25)
    told = {key: record[key] for key in ("container", "codec", "decoder", "decoder_reason", "frame_rate", "source_fps")}
    assert told == {
        "container": "pictures", "codec": "mjpeg", "decoder": "simplejpeg", "decoder_reason": "a folder of pictures",
        "frame_rate": 25, "source_fps": 25,
    }  # fmt: skip
    counts = [record[key] for key in ("frames_decoded", "frames_expected", "frames_failed", "frames_resized")]
    assert counts == [6, 6, 0, 0]
    assert (record["duration_seconds"], record["frames_told"]) == (6 / 25, "")


def test_holes_and_damage_are_kept_and_told(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", 60)
    (folder / "img_00010.jpg").unlink()
    whole = (folder / "img_00020.jpg").read_bytes()
    (folder / "img_00020.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "img_00030.jpg").write_bytes(b"")
    store = store_of(tmp_path, folder)
    assert store.grid_frames("a") == 60
    shown = [number_of(each) for each in store.read_clip("a", range(60))]
    assert [each for each in range(60) if shown[each] != each] == [9, 19, 29]
    assert [shown[each] for each in (9, 19, 29)] == [8, 18, 28]  # the nearest in time, the earlier of two
    paths = {"a": folder}
    made = extract_videos(paths, settings=AS_IT_IS, code="c0", workers=1, rates={"a": 30})
    (tmp_path / "out").mkdir()
    _, problems = assemble_videos(made, paths, root=tmp_path, folder=tmp_path / "out")
    assert [str(each) for each in problems] == [
        "a: a: found 57 pictures (they are kept): img_00020.jpg: Premature end of JPEG file; img_00030.jpg: 0 bytes; "
        "there is no picture 10, expected 60 pictures of 96x64"
    ]


@pytest.mark.parametrize(
    ("kept", "found", "expected"),
    [
        (range(1, 60, 2), "30 pictures with numbers 1 to 59 in steps of 2", "1 to 59"),
        (range(20, 60), "40 pictures with numbers 20 to 59", "1 to 59"),
        (range(0, 60, 5), "12 pictures with numbers 0 to 55 in steps of 5", "0 to 55"),
        ([7], "1 pictures with numbers 7 to 7", "1 to 7"),
    ],
)
def test_too_many_holes_are_no_film(tmp_path: Path, kept: range, found: str, expected: str) -> None:
    folder = write_pictures(tmp_path / "a", 60, first=0)
    for number in set(range(60)) - set(kept):
        (folder / f"img_{number:05}.jpg").unlink()
    record = extracted(folder)
    assert (record["found"], record["expected"]) == (found, f"at least 95% of the pictures {expected}")


def test_too_much_damage_is_no_film(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", 6)
    for number in (1, 3):
        (folder / f"img_{number:05}.jpg").write_text("no picture")
    record = extracted(folder)
    assert record["found"] == (
        "4 of 6 pictures decodable (img_00001.jpg: no JPEG and no PNG; img_00003.jpg: no JPEG and no PNG)"
    )
    assert record["expected"] == "at least 95%"


def test_a_size_that_changes_is_brought_to_the_first_and_told(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", 30)
    (folder / "img_00005.jpg").write_bytes(
        (write_pictures(tmp_path / "b", 5, width=128) / "img_00005.jpg").read_bytes()
    )
    record = extracted(folder)
    assert (record["frames_failed"], record["frames_resized"], record["frames_unchanged"]) == (0, 1, 29)
    assert record["frames_told"] == "img_00005.jpg is 128x64"
    assert store_of(tmp_path, folder).read_clip("a", [4]).shape == (1, 64, 96, 3)

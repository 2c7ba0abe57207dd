"""Folders of pictures become the same frames as a film of them."""

import struct
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pipeline.base.files import digest_tree, read_json
from pipeline.video import items
from pipeline.video.extract import FrameSettings
from pipeline.video.items import assemble_videos, extract_videos, video_item
from pipeline.video.manifest import write_manifest
from pipeline.video.numbering import find_pictures
from pipeline.video.pictures import decode_picture
from pipeline.video.store import FrameStore
from tests.video.films import number_of, pictures

AS_IT_IS = FrameSettings(30.0, None, 90)


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))
    monkeypatch.setattr(items, "run_in_child", lambda work, arguments, **_: work(**arguments))


def write_pictures(folder: Path, count: int, *, name: str = "img_{:05}.jpg", first: int = 1, width: int = 96) -> Path:
    """Numbered pictures: the first carries 0."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures(count, width)):
        path = folder / name.format(number + first)
        if path.suffix == ".png":
            Image.fromarray(picture).save(path)
        else:
            path.write_bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(picture), 92))
    return folder


def extracted(folder: Path, settings: FrameSettings = AS_IT_IS, rate: float = 30) -> dict:
    item = video_item(folder, settings=settings, code="c0", stop=threading.Event(), frame_rate=rate)
    name = "video.json" if (item.folder / "video.json").exists() else "problem.json"
    return {**read_json(item.folder / name), "item": item}


def store_of(tmp_path: Path, folder: Path, settings: FrameSettings = AS_IT_IS, rate: float = 30) -> FrameStore:
    paths = {folder.name: folder}
    made = extract_videos(paths, settings=settings, code="c0", workers=1, rates={folder.name: rate})
    out = tmp_path / f"store-{rate}"
    out.mkdir()
    records, _ = assemble_videos(made, paths, root=tmp_path, folder=out)
    write_manifest(out, records, fps=settings.fps)
    return FrameStore(out)


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


def test_the_item_is_that_of_the_pictures_alone(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", 4)
    first = extracted(folder)["item"]
    (folder / "flow_x_00001.jpg").write_bytes(b"x")
    (folder / "flow_y_00001.jpg").write_bytes(b"y")
    (folder / "notes.txt").write_text("x")
    again = extracted(folder.rename(tmp_path / "b"))["item"]
    assert (again.is_new, again.folder) == (False, first.folder)
    assert extracted(tmp_path / "b", rate=25)["item"].is_new
    (tmp_path / "b/img_00005.jpg").write_bytes((tmp_path / "b/img_00004.jpg").read_bytes())
    assert extracted(tmp_path / "b")["item"].is_new


def test_the_same_pictures_give_the_same_bytes(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", 4)
    digests = set()
    for name in ("x", "y"):
        made = extracted(folder, FrameSettings(30.0, 32, 90), rate=30)["item"].folder
        made.rename(tmp_path / name)
        digests.add(digest_tree(tmp_path / name))
    assert len(digests) == 1


def exif(turn: int, order: str) -> bytes:
    """An Exif block with an orientation, in either order of bytes."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8)
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, turn, 0)
    body = b"Exif\0\0" + head + struct.pack(f"{order}H", 1) + entry + b"\0\0\0\0"
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("turn", range(1, 9))
def test_cameras_turn_pictures(turn: int, order: str) -> None:
    plain = simplejpeg.encode_jpeg(np.ascontiguousarray(next(pictures(1))), 95)
    data = plain[:2] + exif(turn, order) + plain[2:]
    expected = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(data))).convert("RGB"))
    picture, is_plain = decode_picture(data)
    assert picture.shape == expected.shape
    assert np.abs(picture.astype(int) - expected).max() <= 3
    assert is_plain == (turn == 1)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "I;16"])
def test_pngs_of_any_kind(mode: str) -> None:
    picture = next(pictures(1))
    image = Image.fromarray(picture)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    out = BytesIO()
    (image if mode == "I;16" else image.convert(mode)).save(out, "PNG")
    found, is_plain = decode_picture(out.getvalue())
    assert (found.shape, is_plain) == (picture.shape, False)
    if mode in ("RGB", "RGBA"):
        assert np.array_equal(found, picture)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@given(data=st.data())
def test_cut_and_changed_pictures_never_end_it(kind: str, data: st.DataObject) -> None:
    out = BytesIO()
    shown = next(pictures(1))
    Image.fromarray(shown).save(out, kind)
    whole = bytearray(out.getvalue())
    is_cut = data.draw(st.booleans())
    if is_cut:
        del whole[data.draw(st.integers(0, len(whole) - 3)) :]
    else:
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        picture, _ = decode_picture(bytes(whole))
    except ValueError:
        return
    assert picture.shape[2] == 3
    if kind == "PNG":  # which has checksums
        assert np.array_equal(picture, shown)
    else:
        assert not is_cut


@given(st.lists(st.text("xyuvimg_0123456789.jpn", max_size=12), max_size=12))
def test_any_names(names: list[str]) -> None:
    found = find_pictures("img", names)
    if found is not None and not found.fault:
        assert set(found.names.values()) <= set(names)
        assert list(found.names) == sorted(found.names)


@pytest.mark.parametrize(
    ("folder", "names", "taken"),
    [
        ("a", ["img_1.jpg", "x_1.jpg", "y_1.jpg"], "img_1.jpg"),
        ("a", ["img_1.jpg", "flow_x_1.jpg", "flow_y_1.jpg", "mask_1.png"], "img_1.jpg"),
        ("a", ["a_1.jpg", "depth_1.png"], "a_1.jpg"),
        ("a", ["1.jpg", "u1.jpg", "v1.jpg"], "1.jpg"),
        ("a", ["x_1.jpg"], "x_1.jpg"),
        ("a", ["frame1.jpg", "seg_1.jpg", "Thumbs.db", "cover.jpg"], "frame1.jpg"),
    ],
)
def test_which_pictures_are_frames(folder: str, names: list[str], taken: str) -> None:
    found = find_pictures(folder, names)
    assert found is not None
    assert (list(found.names.values()), found.fault) == ([taken], "")


def test_no_numbers_no_film() -> None:
    assert find_pictures("a", ["cover.jpg", "list.txt", "1.txt"]) is None

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
from pipeline.video.pictures import decode_picture, jpeg_comment
from pipeline.video.store import FrameStore
from tests.video.films import pictures

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


def test_ffmpeg_signs_its_jpegs() -> None:
    jpeg = simplejpeg.encode_jpeg(np.zeros((16, 16, 3), np.uint8))
    assert jpeg_comment(jpeg) == ""
    assert jpeg_comment(jpeg[:2] + b"\xff\xfe\x00\x10Lavc59.37.100\0" + jpeg[2:]) == "Lavc59.37.100"
    assert jpeg_comment(b"") == ""

import zipfile
from pathlib import Path

import pytest

from pipeline.annotations import archives
from pipeline.annotations.archives import Member, members, whole
from pipeline.base.errors import InputError


def packed(path: Path, **content: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def refusal(member: Member) -> str:
    with pytest.raises(InputError) as error:
        member.content()
    return str(error.value)


def test_files_and_members(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", **{"b/annotations.xml": b"<a/>", "annotations.xml": b"<b/>", "c.txt": b"",
                                         "__MACOSX/annotations.xml": b"", "x/.annotations.xml": b""})  # fmt: skip
    assert members(path, "annotations.xml") == ["annotations.xml", "b/annotations.xml"]
    one = Member(path, "a.zip/b/annotations.xml", "b/annotations.xml")
    content = one.content()
    assert content is not None
    assert content.read() == b"<a/>"
    assert str(one) == f"{path}/b/annotations.xml"
    plain = whole(tmp_path / "task" / "a.xml", tmp_path)
    assert (plain.name, str(plain), plain.content()) == ("task/a.xml", f"{tmp_path}/task/a.xml", None)


def test_no_name_in_an_archive_becomes_a_path(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", **{"../../annotations.xml": b"<a/>", "/etc/annotations.xml": b"<b/>"})
    before = sorted(tmp_path.parent.rglob("*"))
    contents = [Member(path, name, name).content() for name in members(path, "annotations.xml")]
    assert [each.read() for each in contents if each] == [b"<a/>", b"<b/>"]
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_member_is_bounded_whatever_the_archive_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 1 << 16)
    path = packed(tmp_path / "bomb.zip", **{"annotations.xml": bytes(1 << 17)})
    member = Member(path, "annotations.xml", "annotations.xml")
    assert refusal(member) == f"{path}/annotations.xml: holds more than 65536 bytes: unpack it if that is right"


def test_damaged_and_locked_archives(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", **{"annotations.xml": b"<annotations/>" * 100})
    data = bytearray(path.read_bytes())
    data[50] ^= 0xFF
    path.write_bytes(data)
    assert "cannot be unpacked" in refusal(Member(path, "annotations.xml", "annotations.xml"))
    assert "cannot be unpacked" in refusal(Member(path, "other.xml", "other.xml"))
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="no zip archive"):
        members(path, "annotations.xml")
    locked = packed(tmp_path / "b.zip", **{"annotations.xml": b"<a/>"})
    data = bytearray(locked.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # says that it is encrypted
        data[data.index(signature) + flags] |= 1
    locked.write_bytes(data)
    assert refusal(
        Member(locked, "x", "annotations.xml")
    ) == f"{locked}/annotations.xml: is locked with a password: " + ("unpack it")

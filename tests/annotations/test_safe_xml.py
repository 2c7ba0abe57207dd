from pathlib import Path

import pytest

from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError
from tests.annotations.test_cvat import task_of
from tests.fuzz.formats import CVAT

LAUGHS = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "{}">]><annotations>&c;</annotations>'.format("&b;" * 1000)


HOSTILE = {
    "billion laughs": LAUGHS,
    "a file of the system": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotations>&b;</annotations>',
    "a remote description": '<!DOCTYPE a SYSTEM "http://example.com/a.dtd"><annotations/>',
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_xml_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "film.xml"
    path.write_text(HOSTILE[kind])
    with pytest.raises(InputError) as error:
        task_of(path)
    assert str(error.value) == (
        f"{path}: declares a document type or an entity, which annotations do not need: refused"
    )


def test_endless_nesting_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "film.xml"
    path.write_text("<a>" * 100_000)
    with pytest.raises(InputError, match="elements are nested more than 64 deep"):
        task_of(path)


@pytest.mark.parametrize("encoding", ["no-such", "rot13", "shift_jis", "utf-7"])
def test_an_encoding_that_is_not_read_is_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.xml").write_bytes(f"<?xml version='1.0' encoding='{encoding}'?>{CVAT}".encode())
    with pytest.raises(InputError, match=r"a\.xml: not XML"):
        import_source(tmp_path, SourceOptions(classes=3))


def test_utf_16_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(f"<?xml version='1.0' encoding='utf-16'?>{CVAT}".encode("utf-16"))
    assert import_source(tmp_path, SourceOptions(classes=3)).annotations.num_rows

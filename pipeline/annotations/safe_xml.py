"""Read untrusted XML with Python's own expat parser, which stops at the first document type declaration.

Attacks that blow up a small file or read other files need entities, and only such a declaration can define them.
"""

from pathlib import Path
from typing import BinaryIO, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from pipeline.base.errors import InputError
from pipeline.base.files import refuse_special

MAX_DEPTH = 64


def read_xml(path: Path, content: BinaryIO | None = None) -> Element:
    """Return the root element of a file.

    Args:
        path: the file.
        content: the stream to read instead, if the file is an archive.

    Raises:
        InputError: the file cannot be opened, is not XML, declares a document type or is nested too deeply.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    depth = 0

    def refuse(*_: object) -> NoReturn:
        raise InputError(f"{path}: declares a document type or an entity, which annotations do not need: refused")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise InputError(f"{path}: elements are nested more than {MAX_DEPTH} deep: refused")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.buffer_text = True
    refuse_special(path)
    try:
        with content or path.open("rb") as file:
            parser.ParseFile(file)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except expat.ExpatError as error:
        raise InputError(f"{path}: not XML: {error}") from None
    except (LookupError, ValueError) as error:  # the XML declaration names an unknown encoding
        raise InputError(f"{path}: not XML in an encoding that is read ({error}): save it as UTF-8") from None
    return builder.close()

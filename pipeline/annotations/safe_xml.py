"""XML of strangers: Python's own expat parser, told to stop at the first document type declaration.

Entities, the means of every attack that makes a small file large or reads other files, can be declared nowhere else.
"""

from pathlib import Path
from typing import BinaryIO, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from pipeline.base.errors import InputError
from pipeline.base.files import refuse_special

MAX_DEPTH = 64


def read_xml(path: Path, content: BinaryIO | None = None) -> Element:
    """The root element.

    Args:
        path: the file.
        content: what is read in its place, where it is an archive.

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
    except (LookupError, ValueError) as error:  # the declaration names an encoding that is none, or is not read
        raise InputError(f"{path}: not XML in an encoding that is read ({error}): save it as UTF-8") from None
    return builder.close()

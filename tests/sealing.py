"""Change sealed JSON files but keep a valid checksum, to test for faults that no checksum finds."""

from pathlib import Path

from pipeline.base.checksums import SEAL_TEXT, seal_json


def reseal(path: Path, text: str) -> None:
    """Write `text`, a changed form of what stands in `path`, with a checksum that is right."""
    path.chmod(0o644)
    path.write_bytes(seal_json(SEAL_TEXT.sub(b'"file_crc32c": "00000000"', text.encode())))

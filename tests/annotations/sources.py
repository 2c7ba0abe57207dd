"""Small annotation folders for the tests."""

from pathlib import Path

LABELMAP = "".join(f'item {{\n  name: "action {index}"\n  id: {index}\n}}\n' for index in (1, 2, 12))


def write_source(folder: Path, **files: str) -> Path:
    """Write `name=text` as `name.csv`, and a label map of the classes 1, 2 and 12."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labelmap.pbtxt").write_text(LABELMAP)
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    return folder

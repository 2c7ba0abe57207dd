"""Say where the boxes of objects lie."""

from pathlib import Path

NO_OBJECTS = "conf/none/objects"
"`dataset.objects` of a data set without objects."
OBJECTS = "objects"
"The folder of objects in the out of detect_boxes."


def folder_of_objects(objects: str, source: Path) -> Path | None:
    """Return the folder of the objects: `dataset.objects`, else what a detector left beside its persons; None if none.

    Args:
        objects: `dataset.objects`.
        source: `boxes.source`.
    """
    if objects != NO_OBJECTS:
        return Path(objects)
    return source / OBJECTS if (source / OBJECTS).is_dir() else None

"""Files of other tools that are known by their content and not read, with why."""

from typing import Any

from pipeline.datasets.label_studio import is_label_studio

BORIS = frozenset(("Observation id", "Subject", "Behavior"))
INSTEAD = "export boxes as CVAT for video, COCO-like JSON, AVA CSV or VIA CSV (docs/datasets.md)"


def foreign_json(content: Any) -> str:
    """Why JSON is not read, by the tool that wrote it; empty for what nobody knows."""
    keys = content.keys() if isinstance(content, dict) else frozenset()
    if is_label_studio(content):
        return "Label Studio's export without boxes in videos (videorectangle), which alone are read"
    if {"_via_settings", "_via_img_metadata"} <= keys:
        return "a project of VIA 2: export its annotations as CSV (Annotation > Export Annotations)"
    if {"project", "attribute", "file", "metadata", "view"} <= keys:
        return "a project of VIA 3: export its annotations as CSV"
    if {"categories", "items"} <= keys:
        return f"Datumaro's JSON, which names no film and no time: {INSTEAD}"
    if {"shapes", "imagePath"} <= keys:
        return f"LabelMe's JSON of one picture: {INSTEAD}"
    if {"ontologyHash", "events_observed"} <= keys or {"observations", "behaviors_conf"} <= keys:
        return f"a project of BORIS, which has times and no boxes: {INSTEAD}"
    if keys >= {"objects", "frames"}:
        return f"Supervisely's JSON of a video: {INSTEAD}"
    return ""


def foreign_csv(header: str) -> str:
    """The same for the first line of a table."""
    names = {each.strip().strip('"') for each in header.lstrip("\ufeff").replace("\t", ",").split(",")}
    if names >= BORIS or names >= {"Observation id", "Behavior"} or names >= {"Time", "Media file path", "Behavior"}:
        return f"a table of BORIS, which has times and no boxes: {INSTEAD}"
    return ""

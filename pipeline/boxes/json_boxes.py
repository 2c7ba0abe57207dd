"""Read boxes of persons and objects in JSON: lists of boxes by image id, as AlphAction and COCO's results have them."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from pipeline.base.errors import InputError
from pipeline.base.problems import Fault
from pipeline.boxes.box_rows import BoxDraft, BoxRows, draft_box_rows
from pipeline.boxes.images import EXPECTED, Categories, Images, person_category
from pipeline.tables.csv_rows import is_number, shown

ALPHACTION_JSON = "alphaction_json"
COCO_RESULTS = "coco_results_json"
COCO_SCORED = "coco_json_with_scores"
PERSON = 1
"COCO's category id of person."
ENTRY = "image_id, bbox (x, y, width, height in pixels) and score"


def is_box_list(content: Any) -> bool:
    """Return whether the content of a JSON file is a list of boxes."""
    first = content[:10] if isinstance(content, list) else []
    return any(isinstance(each, dict) and "image_id" in each for each in first)


def read_box_list(
    path: Path,
    entries: Sequence[Any],
    images: Images,
    *,
    categories: Categories,
    own: bool,
    objects: bool = False,
) -> BoxRows:
    """Read the boxes of a list of dicts with `image_id`, `bbox`, `score` and, in COCO's form, `category_id`.

    A box is x, y, width, height in pixels; its right edge is x + width. AlphAction's boxes mean the same, although it
    states the last pixel (x + width - 1). If boxes have a `category_id`, those of other categories than person are
    objects; without one, they are persons.

    Args:
        path: the file, for messages.
        entries: the boxes.
        images: the keyframes by image id.
        categories: their names by id. A category without a name is called by its number; without one that is called
            person, persons have COCO's 1.
        own: whether the images are listed in this file. If so, boxes were looked for in every image, and an image
            without a box is an empty keyframe. If not, this holds only for images of videos that have boxes here.
        objects: whether persons are left out.

    Raises:
        InputError: there is no image list.
    """
    coco = any(isinstance(each, dict) and "category_id" in each for each in entries)
    kind = COCO_SCORED if own else COCO_RESULTS if coco else ALPHACTION_JSON
    if entries and not images:
        raise InputError(
            f"{path}: {kind}: found boxes in pixels and no list of images, expected beside it a JSON file with "
            f"`images` of {EXPECTED} (AlphAction: its annotation file)"
        )
    person = person_category(categories)
    wanted = PERSON if person is None else person
    drafts = []
    for place, each in enumerate(entries, start=1):
        draft = _draft(f"box {place}", each, images)
        if draft.fault is None and each.get("category_id", wanted) != wanted:
            draft = _with_label(draft, each["category_id"], categories)
        drafts.append(draft)
    persons = [draft for draft in drafts if draft.label is None]
    others = len(drafts) - len(persons)
    if objects and coco:
        note = f"{len(persons)} boxes of persons ({wanted}) are left out: objects are read from this folder"
        kept = [draft for draft in drafts if draft.label is not None or draft.fault is not None]
        return draft_box_rows(path.name, kind, kept, note=note if len(kept) < len(drafts) else "")
    note = f"{others} boxes of other categories than person ({wanted}) are objects" if others else ""
    return draft_box_rows(path.name, kind, [*drafts, *without_boxes(persons, images, every=own)], note=note)


def _with_label(draft: BoxDraft, number: Any, categories: Categories) -> BoxDraft:
    if not isinstance(number, int | str):
        return draft._replace(fault=Fault(f"category_id {shown(str(number))}", "the id of a category"))
    return draft._replace(label=_name(number, categories))


def _name(number: Hashable, categories: Categories) -> str:
    return categories.get(number) or f"category {number}"


def without_boxes(drafts: Sequence[BoxDraft], images: Images, *, every: bool) -> list[BoxDraft]:
    """Return empty keyframes for images without a draft: of all videos, or of the videos that drafts name."""
    named = {draft.video_id for draft in drafts}
    taken = {(draft.video_id, draft.timestamp) for draft in drafts}
    return [
        BoxDraft(f"image {number!r}", image.video_id, image.timestamp, empty=True)
        for number, image in images.items()
        if (every or image.video_id in named) and (image.video_id, image.timestamp) not in taken
    ]


def _draft(place: str, each: Any, images: Images) -> BoxDraft:
    if not isinstance(each, dict):
        return BoxDraft(place, "-", fault=Fault(f"a {type(each).__name__}", f"a dict of {ENTRY}"))
    number = each.get("image_id")
    image = images.get(number) if isinstance(number, int | str) else None
    if image is None:
        return BoxDraft(place, "-", fault=Fault(f"image_id {shown(str(number))}", "the id of an image of the list"))
    box, score = each.get("bbox"), each.get("score")
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        found = f"bbox {shown(str(box))}"
        return BoxDraft(place, image.video_id, image.timestamp, fault=Fault(found, "x, y, width, height in pixels"))
    if not is_number(score):
        found = f"score {shown(str(score))}"
        return BoxDraft(place, image.video_id, image.timestamp, fault=Fault(found, "a number from 0 to 1"))
    x, y, width, height = map(float, box)
    return BoxDraft(place, image.video_id, image.timestamp, (x, y, x + width, y + height), image.size, float(score))

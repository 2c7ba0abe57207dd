import json
from pathlib import Path

from tests.doctor.sources import write_clean
from tests.doctor.test_examine import examined_in
from tests.video.test_pictures import write_pictures


def test_images_that_are_pictures_of_the_film_are_no_seconds(tmp_path: Path) -> None:
    """Picture 26 of 25 a second is at second 1; as the names of images are read it is at second 26."""
    source = write_clean(tmp_path)
    annotations = source / "annotations"
    (source / "videos/kitchen.mp4").unlink()
    write_pictures(source / "videos/kitchen", 100, name="{:05}.jpg")
    (annotations / "train.csv").unlink()
    sizes = {"width": 96, "height": 64}
    images = [{"id": n, "file_name": f"kitchen/{n:05}.jpg", **sizes} for n in (1, 26, 51)]
    boxes = [{"id": n, "image_id": n, "bbox": [10, 10, 40, 50], "action_ids": [1]} for n in (1, 26, 51)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "class 1"}]}
    (annotations / "boxes.json").write_text(json.dumps(content))
    found = {each.code: each for each in examined_in(tmp_path, "dataset.classes=2", "dataset.frame_rate=25").findings}
    assert (found["picture-numbers"].severity, found["picture-numbers"].count) == ("error", 3)
    assert [str(each) for each in found["picture-numbers"].examples[:2]] == [
        "boxes.json: kitchen/00001.jpg: found its number as a second, 1 s, expected 0 s, where a folder of 25 pictures "
        "a second has it",
        "boxes.json: kitchen/00026.jpg: found its number as a second, 26 s, expected 1 s, where a folder of 25 "
        "pictures a second has it",
    ]
    assert found["picture-numbers"].remedy == (
        "Give each image its film and second, `movie` and `timestamp`: (number - 1) / rate where pictures count from "
        "1, number / rate where they count from 0. As it stands every label is on another frame."
    )
    told = [{**image, "movie": "kitchen", "timestamp": second} for second, image in enumerate(images)]
    (annotations / "boxes.json").write_text(json.dumps({**content, "images": told}))
    found = {each.code: each for each in examined_in(tmp_path, "dataset.classes=2", "dataset.frame_rate=25").findings}
    assert "picture-numbers" not in found

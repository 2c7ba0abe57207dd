from pathlib import Path

import pytest

from tests.doctor.sources import proposals, write_clean
from tests.doctor.sources import rows as rows_of
from tests.doctor.test_examine import examined_in
from tests.video.films import write_film


@pytest.mark.parametrize("stamps", [[0.5, 1.5, 50.5, 75.5, 100.5], [900.5, 901.5, 902.5, 903.5]])
def test_boxes_on_another_clock_are_told_with_both_ranges(tmp_path: Path, stamps: list[float]) -> None:
    """Frame numbers, and AVA's seconds for films that begin at 0."""
    source = write_clean(tmp_path)
    keys = {f"{film},{stamp}": [(0.1, 0.2, 0.5, 0.8, 0.95)] for film in ("kitchen", "street") for stamp in stamps}
    (source / "proposals/boxes.pkl").write_bytes(proposals(keys))
    found = {each.code: each for each in examined_in(tmp_path, "dataset.classes=2").findings}
    off = found["proposal-times-train"]
    assert (off.severity, off.count, str(off.examples[0])) == (
        "error", 1, f"boxes: kitchen: found boxes at timestamps {stamps[0]} to {stamps[-1]}, expected 0.5 to 3.5, "
        "where its keyframes are, in a film of 4 s"
    )  # fmt: skip
    assert found["proposal-times-val"].examples[0].item == "street"
    assert "take a better detector" not in "".join(each.remedy for each in found.values())
    assert ("proposal-recall-train" in found) == (stamps[0] < 1)
    if stamps[0] < 1:
        assert found["proposal-recall-train"].remedy == "Mend proposal-times-train first."


def test_boxes_of_pictures_that_were_cut_at_one_a_second(tmp_path: Path) -> None:
    """Counted at the film's 25 a second, picture 60 is at 2.4 s; the videos.csv beside them has to say 1."""
    source = write_clean(tmp_path)
    annotations, boxes = source / "annotations", source / "proposals"
    write_film(source / "videos/kitchen.mp4", frames=750)
    (annotations / "train.csv").write_text("".join(rows_of("kitchen", *range(30), action=each) for each in (1, 2)))
    (boxes / "boxes.pkl").unlink()
    for number in range(1, 31):
        for film in ("kitchen", "street"):
            (boxes / f"{film}_{number}.txt").write_text("0 0.3 0.5 0.4 0.6 0.95\n")
    (boxes / "videos.csv").write_text("video_id,fps\nkitchen,25\nstreet,15\n")
    found = {each.code: each for each in examined_in(tmp_path, "dataset.classes=2").findings}
    assert "fps-of-videos-csv" not in found
    assert str(found["proposal-times-train"].examples[0]) == (
        "boxes: kitchen: found boxes at timestamps 0 to 1, expected 0 to 29, where its keyframes are, in a film of 30 s"
    )
    assert found["proposal-times-train"].remedy == (
        "Boxes need the clock of the annotations, seconds from the film's first_timestamp on: divide frame numbers by "
        "the film's rate, add or take away the second at which they begin, and for text files of YOLO give the column "
        "fps of the videos.csv beside them the rate of the pictures that the detector saw (1 if they were cut at 1 a "
        "second)."
    )
    (boxes / "videos.csv").write_text("video_id,fps\nkitchen,1\nstreet,1\n")
    found = {each.code: each for each in examined_in(tmp_path, "dataset.classes=2").findings}
    assert not [code for code in found if code.startswith(("proposal-recall", "proposal-times", "keyframe-without"))]
    assert "fps-of-videos-csv" not in found

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipeline.annotations.clip_files import read_clip_files
from pipeline.base.errors import InputError
from pipeline.base.files import digest_tree
from pipeline.playground.gestures import GESTURES, templates
from pipeline.playground.make_clips import cached_clip, clip_frames, clip_specs, label_entry, make_clips
from pipeline.playground.settings import ClipPlayground

SMALL = ClipPlayground(
    train_per_class=1, val_per_class=1, fps=12, min_frames=8, max_frames=10, width=32, height=32, seed=0
)


@pytest.mark.parametrize(
    "gesture", [each for each in GESTURES if each.forward != each.backward], ids=lambda each: each.name
)
@pytest.mark.parametrize("index", [0, 1])
def test_the_second_class_of_a_pair_is_the_first_played_backwards(gesture, index: int) -> None:
    spec = replace(clip_specs(SMALL)[0], index=index)
    for forward, backward in ((gesture.forward, gesture.backward), gesture.mirrored):
        one, other = (clip_frames(replace(spec, template=each)) for each in (forward, backward))
        assert (one == other[::-1]).all()
        assert (one[0] != one[-1]).any()


def test_a_mirrored_class_moves_to_the_other_side() -> None:
    def column(template: str, frame: int) -> float:
        clips = [clip_frames(replace(clip_specs(SMALL)[0], template=template, index=each)) for each in range(6)]
        changed = [np.abs(clip[frame].astype(int) - clip[-1 - frame]).sum((0, 2)) for clip in clips]
        first = [np.abs(clip[frame].astype(int) - np.median(clip, 0)).sum((0, 2)) for clip in clips]
        assert all(each.sum() for each in changed)
        return float(np.mean([(each * np.arange(32)).sum() / each.sum() for each in first]))

    right, left = (f"Pushing [something] from {way}" for way in ("left to right", "right to left"))
    assert column(right, 0) < 16 < column(right, -1)
    assert column(left, 0) > 16 > column(left, -1)


def test_the_files_are_those_of_version_2_and_the_same_every_time(tmp_path: Path) -> None:
    counts = make_clips(tmp_path / "a", SMALL, workers=1)
    assert (counts.train_clips, counts.val_clips, counts.classes) == (15, 15, 15)
    classes, read = read_clip_files(tmp_path / "a/labels")
    assert classes.names == [each.replace("[", "").replace("]", "") for each in templates()]
    assert (len(read.rows), read.problems, read.notes) == (30, [], [])
    films = sorted(path.stem for path in (tmp_path / "a/videos").iterdir())
    assert films == sorted(row.video_id for row in read.rows)
    make_clips(tmp_path / "b", SMALL, workers=1)
    assert digest_tree(tmp_path / "a") == digest_tree(tmp_path / "b")


def test_a_cached_clip_is_not_rendered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = clip_specs(SMALL)[0]
    path = cached_clip("1", spec)
    before = path.stat()
    assert cached_clip("1", spec).stat() == before
    film_file = partial(cached_clip, "1")
    make_clips(tmp_path / "out", SMALL, workers=1, clip_file=film_file)
    assert (tmp_path / "out/videos" / path.name).read_bytes() == path.read_bytes()


def test_a_label_is_its_template_with_the_words() -> None:
    spec = replace(clip_specs(SMALL)[0], template="Showing [something] on top of [something]", index=1)
    assert label_entry(spec) == {
        "id": "1100001", "label": "Showing a bottle on top of a cup",
        "template": "Showing [something] on top of [something]", "placeholders": ["a bottle", "a cup"],
    } | {"id": spec.video_id}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"min_frames": 1}, "min_frames 1 and max_frames 10, expected 2 or more, and the second not below the first"),
        ({"max_frames": 7}, "min_frames 8 and max_frames 7, expected 2 or more, and the second not below the first"),
        ({"width": 33}, "33x32 pixels, expected even sides of 32 to 480 pixels"),
        ({"val_per_class": 10_001}, "more than 10000 clips of a class, for which there are no ids"),
    ],
)
def test_what_cannot_be_made(change: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as error:
        clip_specs(SMALL.model_copy(update=change))
    assert str(error.value) == f"playground of clips: {message}"

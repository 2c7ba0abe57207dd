import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.base.errors import InputError
from pipeline.recognition.clip_set import NO_LABEL, ClipSet, read_clips
from pipeline.tables.clip_labels import label_classes, write_clip_labels
from pipeline.tables.schemas import CLIPS, write_table
from pipeline.video.extract import FrameSettings
from pipeline.video.grid import EVERY_FRAME
from pipeline.video.items import assemble_videos, extract_videos
from pipeline.video.manifest import write_manifest
from tests.video.films import number_of
from tests.video.test_pictures import write_pictures

LENGTHS = {"a": 12, "b": 9, "c": 10}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        paths = {name: write_pictures(root / "videos" / name, count) for name, count in LENGTHS.items()}
        settings = FrameSettings(EVERY_FRAME, None, 95)
        items = extract_videos(paths, settings=settings, code="1", workers=1, rates=dict.fromkeys(paths, 12.0))
        (root / "frames").mkdir()
        records, problems = assemble_videos(items, paths, root=root / "videos", folder=root / "frames", packs=1)
        assert problems == []
        write_manifest(root / "frames", records, fps=EVERY_FRAME, short_side=None, quality=95, pack=1)
    rows = [("b", "train", 1, 0, None), ("a", "train", 0, 2, 6), ("c", "test", None, 0, None), ("d", "val", 0, 0, None)]
    names = ("video_id", "split", "label", "first_frame", "frames")
    (root / "labels").mkdir()
    table = pa.Table.from_pylist([{**dict(zip(names, row, strict=True)), "text": None} for row in rows], CLIPS)
    write_table(table, root / "labels/clips.parquet", CLIPS)
    write_clip_labels(root / "labels/labels.json", label_classes(["turning left", "turning right"]))
    return root


def clips_of(project: Path, split: str) -> ClipSet:
    return read_clips(project / "labels", project / "frames", split)


def test_clips_are_in_the_order_of_their_ids(project: Path) -> None:
    clips = clips_of(project, "train")
    assert (clips.video_ids, clips.labels.tolist(), clips.frames.tolist()) == (["a", "b"], [0, 1], [6, 9])
    assert (len(clips), clips.classes.flips) == (2, {0: 1, 1: 0})


def test_pictures_count_from_the_clips_first_frame(project: Path) -> None:
    clips = pickle.loads(pickle.dumps(clips_of(project, "train")))
    assert [number_of(each) for each in clips.pictures(0, np.array([5, 0, 0]))] == [7, 2, 2]
    assert [number_of(each) for each in clips.pictures(1, np.arange(9))] == list(range(9))


def test_a_test_has_no_labels(project: Path) -> None:
    assert clips_of(project, "test").labels.tolist() == [NO_LABEL]


def test_draws_depend_on_seed_epoch_and_clip_alone(project: Path) -> None:
    clips = clips_of(project, "train")
    draws = [clips.rng(*each).random() for each in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))]
    assert len(set(draws)) == 4
    assert clips_of(project, "train").rng(0, 0, 0).random() == draws[0]


def test_what_is_not_there_is_named(project: Path) -> None:
    with pytest.raises(InputError, match=r"clips\.parquet: no clips of split 'none'$"):
        clips_of(project, "none")
    with pytest.raises(
        InputError, match=r"frames: no frames of 1 of the 1 clips of val \(d, \.\.\.\); run import_labels"
    ):
        clips_of(project, "val")

"""What `head.window` and the window options change of a head, through the stages, on a bank without frames."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from benchmarks.head_training import compose
from benchmarks.synthetic_bank import Size, write_all
from pipeline.base.checksums import read_sealed_json
from pipeline.base.errors import InputError
from pipeline.base.files import digest_tree, read_json, write_json
from pipeline.base.work import list_items
from pipeline.checkpoint.weights import HEAD
from pipeline.tables.schemas import ANNOTATIONS, KEYFRAMES, read_table, write_table
from stages import evaluate, train_head

Made = tuple[bytes, str, str]
Make = Callable[..., Made]


@pytest.fixture(scope="module")
def banks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("windows")
    write_all(folder, Size(films=4, val_films=1, seconds=24, channels=16, classes=5), workers=1)
    return folder


@pytest.fixture
def make(banks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Trains a head, evaluates it, and gives the weights, the sidecar and the digest of the detections."""
    (tmp_path / "data").symlink_to(banks / "data")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/baseline.json").symlink_to(banks / "models/baseline.json")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("ACTIONBANK_PARAMS", raising=False)

    def head(*overrides: str, name: str = "lfb_nl", **options: Any) -> Made:
        small = ["head.window.per_second=1", "head.window.seconds=9", "head.options.latent=8"]
        once = ["head_train.schedule.epochs=1", "head_train.schedule.warmup_epochs=0", "head_train.threads=1"]
        compose(tmp_path, name, [*small, *once, *overrides])
        train_head.train_head(workers=1, device="cpu", **options)
        evaluate.evaluate(workers=1, device="cpu", **options)
        sidecar = HEAD.with_suffix(".json").read_text()
        return HEAD.read_bytes(), sidecar, digest_tree(Path("results/detections"))

    return head


def test_resident_and_streamed_windows_make_the_same_bytes(make: Make) -> None:
    streamed = make("head.window.draw=roi", windows="streamed", window_cache=1)
    assert "windows" not in {stage for stage, *_ in list_items()}
    assert make("head.window.draw=roi", windows="resident") == streamed
    files = [item for item in list_items() if item[0] == "windows"]
    assert len(files) == 2, "one for training, which reads both banks, and one for evaluation"
    assert "streamed" not in streamed[1]


def test_every_parameter_of_a_window_changes_the_head(make: Make) -> None:
    base = make()
    others = [
        make(f"head.window.{change}") for change in ("span=past", "span=future", "exclude_keyframe=true", "draw=roi")
    ]
    assert len({weights for weights, *_ in (base, *others)}) == 5
    assert len({found for *_, found in (base, *others)}) == 5
    assert read_sealed_json(HEAD.with_suffix(".json"))["head"]["window"]["draw"] == "roi"


def test_a_checkpoint_of_before_says_the_same_by_its_silence(make: Make) -> None:
    *_, found = make()
    sidecar = read_sealed_json(HEAD.with_suffix(".json"))
    for key in ("span", "exclude_keyframe", "draw"):
        del sidecar["head"]["window"][key]
    write_json(HEAD.with_suffix(".json"), sidecar)
    evaluate.evaluate(workers=1, device="cpu")
    assert digest_tree(Path("results/detections")) == found


def test_a_head_that_splits_its_window_refuses_one_side(make: Make) -> None:
    message = r"^head lfb_nl_split: it splits a window at the keyframe, found head.window.span past, expected centred$"
    with pytest.raises(InputError, match=message):
        make("head.window.span=past", name="lfb_nl_split")


def rename(folder: Path, **changes: Any) -> None:
    """Another name or another time for every keyframe of the annotations."""
    for name, schema in (("annotations", ANNOTATIONS), ("keyframes", KEYFRAMES)):
        path = folder / f"{name}.parquet"
        table = read_table(path, schema)
        rows = [row | {key: change(row[key]) for key, change in changes.items()} for row in table.to_pylist()]
        write_table(pa.Table.from_pylist(rows, schema), path, schema)


def test_a_bank_of_other_films_ends_before_training(make: Make, banks: Path) -> None:
    Path("data").unlink()
    shutil.copytree(banks / "data", "data")
    rename(Path("data/synthetic/annotations"), video_id="{}.mp4".format)
    with pytest.raises(InputError) as error:
        make()
    assert str(error.value) == (
        "train: no film of the bank is an annotated film of train: 'film_00000' in the bank, 'film_00000.mp4' in the "
        "annotations (is film_00000 film_00000.mp4?)"
    )
    assert not HEAD.exists()


def test_metrics_count_windows_without_a_row(make: Make) -> None:
    make()
    for path, split in (("results/head/metrics.json", "train"), ("results/evaluate/metrics.json", "val")):
        counts = read_json(Path(path))["windows"][split]
        assert counts["empty"] == counts["films_not_in_bank"] == 0
        assert counts["keyframes"] > 0

"""Each benchmark of the bank runs at a tiny size, and its sides do what they are said to do."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import bank as benchmark
from benchmarks import bank_memory, head_training
from benchmarks.bank_reference import load_reference, reference_batch, their_batch, their_lfb, write_reference
from benchmarks.bank_writing import write_large_bank
from benchmarks.measuring import in_turns, median_ratio
from benchmarks.synthetic_bank import (
    CARRYING,
    KINDS,
    SINCE,
    UNTIL,
    Size,
    last_signal,
    make_film,
    people_per_second,
    write_all,
    write_bank,
)
from pipeline.bank.check_bank import verify_bank
from pipeline.bank.reader import open_bank
from pipeline.bank.windows.resident import ResidentWindows
from pipeline.base.files import read_json, write_json

TINY = Size(films=3, val_films=1, seconds=150, channels=32, classes=5)


def test_as_many_persons_as_in_ava() -> None:
    counts = people_per_second(np.random.default_rng(0), 100_000)
    assert 1.7 < counts.mean() < 1.85
    assert 0.2 < (counts == 0).mean() < 0.3


def test_the_planted_label_is_the_kind_last_carried_before() -> None:
    rng = np.random.default_rng(1)
    second = np.sort(rng.integers(0, 200, 300))
    carries = rng.random(300) < CARRYING / 4
    kinds = rng.integers(0, KINDS, 200)
    found = last_signal(second, carries, kinds)
    for row, at in enumerate(second):
        earlier = [each for each in second[carries] if at - SINCE <= each <= at - UNTIL]
        assert found[row] == (kinds[max(earlier)] if earlier else -1)
    assert -1 in found
    assert set(range(KINDS)) < set(found.tolist())


def test_a_film_is_a_function_of_its_number() -> None:
    one, other, next_one = (make_film(number, TINY) for number in (0, 0, 1))
    assert (one[1].features == other[1].features).all()
    assert one[1].features.shape != next_one[1].features.shape
    asked = one[0].labels[:, :KINDS]
    assert 0.2 < asked.any(axis=1).mean() < 0.45
    assert asked.sum(axis=1).max() == 1


@pytest.fixture(autouse=True)
def _project_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmarks set DVC_ROOT for the processes that they start."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write_all(folder, TINY, workers=1)
    return folder


def run_here(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    monkeypatch.setattr(module, "apart", lambda function, *arguments: function(*arguments))


def test_heads_train_on_banks_alone(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_here(monkeypatch, head_training)
    monkeypatch.chdir(tiny)  # the stage runs there, and leaves this process there
    monkeypatch.setenv("DVC_ROOT", str(tiny))
    write_json(tiny / "size.json", asdict(TINY))
    before = (tiny / "data/synthetic/bank/train.zarr/manifest.json").stat().st_mtime_ns
    head_training.main(
        tiny, films=3, val_films=1, seconds=150, channels=32, classes=5, epochs=2, batch=32, threads=1,
        override=["sizes.latent=8"],
    )  # fmt: skip
    assert (tiny / "data/synthetic/bank/train.zarr/manifest.json").stat().st_mtime_ns == before
    assert not (tiny / "data/synthetic/frames").exists()
    said = capsys.readouterr().out
    found = read_json(tiny / "head_training.json")["heads"]
    for head in ("linear", "lfb_nl"):
        assert f"| {head} |" in said
        assert len(found[head]["epochs"]) == 2
        assert found[head]["epochs"][0]["features of persons"] > 0
        assert found[head]["keyframes"] > 100
    assert "rows read" not in found["linear"]["epochs"][0]
    assert 0 < found["lfb_nl"]["epochs"][0]["rows read"] < found["lfb_nl"]["epochs"][0]["all"]
    assert found["lfb_nl"]["epochs"][0]["steps"] == -(-found["lfb_nl"]["keyframes"] // 32)


def test_the_reference_holds_the_same_rows(tmp_path: Path) -> None:
    write_bank(
        tmp_path / "bank.zarr", "train", Size(films=2, val_films=0, seconds=40, channels=12, classes=4), workers=1
    )
    write_reference(tmp_path / "bank.zarr", tmp_path / "reference.pkl")
    bank = open_bank(tmp_path / "bank.zarr")
    keyframes = [("film_00000", 910), ("film_00001", 935)]
    # As many slots as the fullest second has persons: then nothing is drawn, and only the order is random.
    shape = {"seconds": 12, "per_second": 9}
    window = reference_batch(load_reference(tmp_path / "reference.pkl"), keyframes, channels=12, **shape)
    resident = ResidentWindows([bank], min_score=0.9)
    slots = resident.slots([video for video, _ in keyframes], [float(at) for _, at in keyframes], **shape)  # type: ignore[arg-type]
    ours, mask = resident.gather(slots)
    assert mask.any()
    assert not mask.all()
    by_second = [each.float().view(2, 12, 9, 12).sort(dim=2).values for each in (window, ours)]
    assert torch.equal(*by_second)


THEIRS = """
from mmengine.dist import get_dist_info

class LFB:
    def __getitem__(self, key):
        video, second = key.split(",")
        assert video in self.lfb and len(second) == 4 and get_dist_info() == (0, 1)
        return torch.full((self.window_size * self.max_num_sampled_feat, self.lfb_channels), float(second))

import torch
"""


def test_a_class_of_another_project_is_asked_for_windows(tmp_path: Path) -> None:
    (tmp_path / "lfb.py").write_text(THEIRS)
    lfb = their_lfb(tmp_path / "lfb.py", {"a": {}}, seconds=3, per_second=2, channels=5)
    assert torch.equal(their_batch(lfb, [("a", 910)] * 2), torch.full((2, 6, 5), 910.0))


def test_a_large_bank_on_a_small_disk_is_a_whole_bank(tmp_path: Path) -> None:
    write_large_bank(tmp_path / "bank.zarr", Size(seconds=20, channels=12, classes=4), films=5, distinct=2)
    bank = open_bank(tmp_path / "bank.zarr")
    assert len(bank.videos) == 5
    assert verify_bank(tmp_path / "bank.zarr") == []
    one, other = (bank.rows(video, "detections").features for video in ("many_00001", "many_00003"))
    assert (one == other).all()
    links = (bank.folders["many_00001"] / "detections/features/c/0/0").stat().st_nlink
    assert links == 2
    assert bank_memory.stream_all(tmp_path / "bank.zarr", 1.0)["films"] == 5


def test_every_figure_and_target_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_here(monkeypatch, benchmark)
    # It starts processes, which is tried below.
    monkeypatch.setattr(benchmark, "together", lambda *_: {"rss": 2.0, "pss": 1.0})
    (tmp_path / "lfb.py").write_text(THEIRS)
    given: dict[str, Any] = {"films": 2, "seconds": 70, "channels": 48, "repeats": 2, "batch": 4, "threads": 1}
    benchmark.main(tmp_path, loads=1, few=2, many=4, written=1, theirs=tmp_path / "lfb.py", **given)
    said = capsys.readouterr().out
    assert "| MMAction2's class, 4 persons of a clip | " in said
    benchmark.main(tmp_path, only_windows=True, **given)
    again = capsys.readouterr().out
    assert "| ours, float32 | " in again
    assert "MMAction2" not in again
    found = read_json(tmp_path / "bank.json")
    assert len(found["targets"]) == 17
    for each in found["targets"]:
        assert f"| {each['what']} |" in said
        assert each["met"] == (each["value"] <= each["limit"] if each["most"] else each["value"] >= each["limit"])
    assert {len(each) for each in found["values"]["windows_ms"].values()} == {2}


@pytest.mark.slow  # it starts processes, which import torch
def test_memory_of_several_processes_is_taken_while_all_hold_the_bank(tmp_path: Path) -> None:
    size = Size(films=2, val_films=0, seconds=300, channels=2048, classes=4)
    paths = benchmark.make_files(tmp_path, size, workers=1)
    found = bank_memory.together("resident, mapped", paths, 2)
    payload = paths.flat.stat().st_size / 2**20
    assert found["rss"] > 2 * payload
    assert found["pss"] < found["rss"] - 0.6 * payload, "the mapped rows are one copy"


def test_sides_alternate_and_are_told_the_turn() -> None:
    told: list[tuple[str, int]] = []
    times = in_turns({name: lambda turn, name=name: told.append((name, turn)) for name in "ab"}, 2)  # type: ignore[misc]
    assert told == [("b", 0), ("a", 0), ("a", 1), ("b", 1), ("b", 2), ("a", 2)]
    assert [len(each) for each in times.values()] == [2, 2]
    assert median_ratio([2.0, 9.0, 4.0], [1.0, 1.0, 4.0]) == 2.0

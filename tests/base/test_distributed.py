"""Two processes on one machine (Gloo): what they share."""

import json
from pathlib import Path

import pytest
import torch

from pipeline.base import distributed, ranks
from pipeline.base.distributed import agree, copy_from_main, from_main, gather, gather_tensors, sum_over_ranks
from pipeline.base.errors import InputError
from pipeline.base.files import digest_file, digest_tree, read_json
from pipeline.checkpoint.weights import load_tensors
from pipeline.training.norms import prepare_norm
from tests import rank_jobs
from tests.failing_ranks import run_ranks


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one rank and two ranks made of the same films."""
    folder = tmp_path_factory.mktemp("ranks")
    rank_jobs.make_films(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder / "project_1"))
        rank_jobs.work(folder, processes=1)  # in this process, which has imported PyTorch
    status, printed, complained = run_ranks(folder, "rank_jobs", "work", str(folder))
    assert (status, printed) == (0, "2 ranks are done\n"), complained
    return folder


@pytest.mark.parametrize("name", rank_jobs.TRAININGS)
def test_training_on_two_ranks_is_that_on_one(folder: Path, name: str) -> None:
    """Only the order of sums differs: 6e-8 of each gradient, which a few steps and batch norms make 6e-7 (measured)."""
    one, two = (load_tensors(folder / f"out_{ranks}" / f"{name}.safetensors") for ranks in (1, 2))
    assert one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, atol=1e-5, rtol=0, msg=key)
    assert any(not torch.equal(one[key], two[key]) for key in one), "it did run in another order"
    first, second = (read_json(folder / f"out_{ranks}" / f"{name}.json") for ranks in (1, 2))
    assert first["selected"] == second["selected"]
    assert len(first["history"]) == 2 or name != "plateau"
    for row, other in zip(first["history"], second["history"], strict=True):
        assert row == pytest.approx(other, abs=1e-5)


@pytest.mark.parametrize("name", rank_jobs.TRAININGS)
def test_each_clip_is_read_by_one_rank(folder: Path, name: str) -> None:
    whole, first, second = (
        json.loads((folder / f"read_{name}_{each}.json").read_text()) for each in ("1_0", "2_0", "2_1")
    )
    assert sorted(first + second) == whole
    assert min(len(first), len(second)) >= len(whole) // 3


def test_every_rank_has_the_same_memory_and_it_is_that_of_one_rank(folder: Path) -> None:
    one, first, second = (load_tensors(folder / f"memory_{each}.safetensors") for each in ("1_0", "2_0", "2_1"))
    assert one.keys() == first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        torch.testing.assert_close(value, one[name], atol=1e-5, rtol=0, msg=name)
    assert int(one["step"]) == 4
    assert (one["written"] > 2).all(), "every keyframe was visited in the last epoch"
    assert one["rows"].any(dim=1).sum() == one["counts"].sum() > 0


def test_windows_of_persons_are_the_same_bytes_on_any_rank(folder: Path) -> None:
    whole, first, second = (
        json.loads((folder / f"windows_windows_{each}.json").read_text()) for each in ("1_0", "2_0", "2_1")
    )
    assert sorted(first + second) == whole
    assert min(len(first), len(second)) > 0
    assert len({seen for *_, seen in whole}) > len({(video, time) for video, time, *_ in whole}), "drawn per person"


def test_detections_and_bank_are_the_same_bytes(folder: Path) -> None:
    for name in ("detected.parquet", "ground_truth.parquet"):
        assert digest_file(folder / "out_1" / name) == digest_file(folder / "out_2" / name)
    assert digest_tree(folder / "out_1/bank.zarr") == digest_tree(folder / "out_2/bank.zarr")
    assert sorted(path.name for path in (folder / "out_2/bank.zarr").iterdir() if path.is_dir()) == ["a", "b", "c"]


@pytest.mark.slow
def test_two_ranks_go_on_after_a_kill(folder: Path) -> None:
    """With the bits of the uninterrupted run."""
    state = folder / "state_parts_of_two_2"
    whole = (state / "epoch_0003/state.safetensors").read_bytes()
    for each in state.iterdir():
        each.rename(folder / f"whole_{each.name}")
    status, _, complained = run_ranks(folder, "rank_jobs", "resume", str(folder), "--killed-after", "1")
    assert status == 1
    assert complained.splitlines()[1:] == ["error: process 1 of 2 was killed by signal 9"], (
        "after the first epoch's line"
    )
    assert [path.name for path in state.glob("epoch_*")] == ["epoch_0001"]
    status, _, complained = run_ranks(folder, "rank_jobs", "resume", str(folder))
    assert status == 0, complained
    assert (state / "epoch_0003/state.safetensors").read_bytes() == whole
    assert digest_file(folder / "resumed.safetensors") == digest_file(folder / "out_2/parts_of_two.safetensors")


@pytest.fixture
def second_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)


def test_alone_a_process_is_the_only_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    assert (ranks.rank(), ranks.world_size(), ranks.is_main()) == (0, 1, True)
    assert gather(ranks.share([1, 2, 3])) == [1, 2, 3]
    assert from_main(lambda: 7) == 7
    values = torch.ones(2)
    copy_from_main([values])
    assert sum_over_ranks(values) is values
    assert gather_tensors(values)[0] is values
    agree(1, "epochs done")


def test_tensors_of_ranks_may_differ_in_length(second_of_four: None, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = [0, 2, 3, 0]

    def all_gather(found: list[torch.Tensor], mine: torch.Tensor) -> None:
        assert mine.tolist() == [[1, 1], [1, 1], [0, 0]]
        for number, each in enumerate(found):
            each.fill_(number)

    monkeypatch.setattr(torch.distributed, "all_gather", all_gather)
    monkeypatch.setattr(distributed, "gather_all", lambda count: lengths)
    found = gather_tensors(torch.ones(2, 2))
    assert [each.tolist() for each in found] == [[], [[1, 1]] * 2, [[2, 2]] * 3, []]
    monkeypatch.setattr(distributed, "gather_all", lambda count: [0] * 4)
    assert [len(each) for each in gather_tensors(torch.ones(0, 2))] == [0] * 4, "nothing is exchanged"


def test_ranks_that_find_different_states_are_refused(second_of_four: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "gather_all", lambda value: [value, value, 0, value])
    agree(0, "epochs done")
    with pytest.raises(InputError) as error:
        agree(2, "epochs done")
    assert str(error.value) == "epochs done: rank 0 has 2, another one 0; ranks need one shared folder"


def test_synchronised_norms_need_all_parts_at_once(second_of_four: None) -> None:
    model = torch.nn.BatchNorm3d(2)
    with pytest.raises(InputError) as error:
        prepare_norm(model, "sync", global_batch=8, bn_batch=2, device=torch.device("cpu"), block="head_train")
    assert str(error.value) == (
        "head_train.norm sync: a step has 4 parts (head_train.global_batch 8, head_train.bn_batch 2) on 4 processes of "
        "cpu; expected one part on one process, or as many CUDA processes as parts"
    )

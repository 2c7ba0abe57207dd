"""A bank of another project on a published row, and rows whose data are not here."""

import re
import shlex

import pytest

from tests.end_to_end.harness import Project

BANK = "data/playground_mini/bank"
# The row as docs/recipes.md tries rows, smaller.
ROW = """
    +experiment=ava21_lfb_nl_slowonly_r50_4x16 dataset=playground_mini backbone=slowonly_tiny
    backbone.input.short_side=96 backbone.input.offset_frames=0 baseline.init=none
    baseline.augmentation.short_side=[96,96] baseline.augmentation.crop=96
    head_train.global_batch=16 head_train.bn_batch=16 head_train.auto_scale_lr=true
    head_train.schedule.epochs=1 head_train.schedule.warmup_epochs=0
    bank=external bank.train=banks/train.zarr bank.val=banks/val.zarr
"""


def words(*more: str) -> list[str]:
    return [word for each in (*shlex.split(ROW), *more) for word in ("-S", each)]


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_row_without_its_data_leaves_everything_as_it_was(project: Project) -> None:
    before = {name: (project.folder / name).read_bytes() for name in ("params.yaml", "dvc.lock")}
    refused = project.dvc("exp", "run", "-S", "+experiment=ava22_slowfast_r50_8x8", fails=True)
    assert ran(refused) == []
    (line,) = [line for line in refused.splitlines() if line.startswith("ERROR: ")]
    assert "what this experiment on dataset ava22 reads is not here, so nothing has run: data/ava22/source/vid" in line
    assert "data/ava22/source/videos (AVA's films: " in line
    assert {name: (project.folder / name).read_bytes() for name in before} == before
    assert "up to date" in project.dvc("status", "dvc.yaml")
    assert project.git("status", "--porcelain") == ""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_row_on_a_bank_of_mmaction2_is_one_command(project: Project) -> None:
    for split in ("train", "val"):
        project.run("actionbank", "bank", "export", f"{BANK}/{split}.zarr", f"lfb_{split}.pkl",
                    "--format", "mmaction2-list")  # fmt: skip
        project.run("actionbank", "bank", "import", f"lfb_{split}.pkl", f"banks/{split}.zarr", "--split", split,
                    "--provenance", "box_threshold=0.9")  # fmt: skip
    # First the user takes the sha256 of another row's bank.
    refused = project.dvc("exp", "run", *words("bank.producer=0123"), fails=True)
    assert ran(refused) == []
    assert (
        "banks/train.zarr: was made by a checkpoint that it does not name, expected 0123; if it is the bank you "
        "want, bank.producer=unknown takes it, and bank.allow_mixed=true takes any"
    ) in refused
    assert (project.folder / "models/baseline.safetensors").is_file()
    assert "up to date" in project.dvc("status", "dvc.yaml")
    for stage in ("train_baseline@baseline", "infer_bank@train"):
        assert stage in project.dvc("stage", "list", "--name-only")
    output = project.dvc("exp", "run", *words("bank.producer=unknown"))
    assert ran(output) == ["import_boxes", "train_head", "evaluate"]
    metrics = project.metrics()
    assert (metrics["head"], metrics["scope"], metrics["mixed_banks"]) == ("lfb_nl", "all", {})
    assert "train_baseline" not in project.dvc("stage", "list", "--name-only")
    # Back to the playground's own head: the baseline comes out of the cache.
    assert "train_baseline" not in "".join(ran(project.dvc("exp", "run")))
    assert (project.folder / "results/baseline/metrics.json").is_file()
    # And with the target alone, or any producer, which the metrics record.
    project.dvc("exp", "run", *words("bank.producer=0123", "bank.allow_mixed=true"), "evaluate")
    assert project.metrics()["mixed_banks"] == {
        f"{split}_bank_and_expected": [None, "0123"] for split in ("train", "val")
    }

"""Missing inputs are reported before anything runs, with where to get them."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.base.errors import InputError
from pipeline.params import Params, parse_params
from pipeline.project.compose import compose_params
from pipeline.project.ready import check_ready
from tests.bank.banks import PROVENANCE, make_rows, write_small_bank
from tests.interop.banks.files import FEATURES, taken_in
from tests.interop.banks.test_mmaction2_pickle import save, value_of

CONF = Path(__file__).resolve().parent.parent.parent / "conf"
ROW = ["+experiment=ava22_slowfast_r50_8x8"]
LFB = ["+experiment=ava21_lfb_nl_slowonly_r50_4x16", "dataset=playground", "frames.allow_smaller=true"]
EXTERNAL = ["bank=external", "bank.train=train.zarr", "bank.val=val.zarr"]
WEIGHTS = "models/kinetics/slowonly_r50_4x16_k400.safetensors"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@cache
def composed(*overrides: str) -> Params:
    return parse_params(compose_params(list(overrides), CONF), "here")


def ask(*overrides: str) -> None:
    check_ready(composed(*overrides))


def refusal(*overrides: str) -> str:
    with pytest.raises(InputError) as error:
        ask(*overrides)
    return str(error.value)


def make(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("x")


def test_a_published_row_without_its_data_says_what_is_missing_and_whence_it_comes() -> None:
    weights = "models/kinetics/slowfast_r50_8x8_k400.safetensors"
    assert refusal(*ROW) == (
        "what this experiment on dataset ava22 reads is not here, so nothing has run: "
        "data/ava22/source/videos (AVA's films: github.com/cvdfoundation/ava-dataset); "
        "data/ava22/source/annotations (ava_v2.2.zip: research.google.com/ava/download.html); "
        "data/ava22/source/proposals (ava_dense_proposals_{train,val}.FAIR.recall_93.9.pkl: MMAction2's "
        "tools/data/ava); "
        f"{weights} (`actionbank convert CHECKPOINT --to {weights}` makes it; the row starts from "
        "slowfast_r50_8x8x1_256e_kinetics400_rgb_20200716-73547d2b.pth)"
    )


def test_clips_that_lie_among_the_videos_are_said_once() -> None:
    said = refusal("+experiment=ava_kinetics_slowonly_r50_4x16_k400")
    assert "source/videos (AVA's films: github.com/cvdfoundation/ava-dataset, Kinetics' clips: " in said
    assert said.count("source/videos (") == 1


def test_what_is_here_or_known_to_dvc_is_not_missing() -> None:
    source = "data/ava22/source"
    make(f"{source}/videos/a.mp4", f"{source}/annotations/.gitignore", f"{source}/proposals.dvc")
    said = refusal(*ROW, "baseline.init=none")
    assert f"{source}/annotations (" in said, "an empty folder holds no annotations"
    assert "videos (" not in said
    assert "proposals (" not in said
    assert "models" not in said
    lock = {"stages": {"import_annotations": {"deps": [{"path": f"{source}/annotations"}]}}}
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    ask(*ROW, "baseline.init=none")


def test_a_project_that_was_moved_says_how_to_write_its_paths_anew() -> None:
    make("films/videos/a.mp4", "films/annotations/a.csv")
    old = ("dataset=custom", "boxes.detector=motion", "dataset.annotations=films/annotations")
    hint = "Was the project moved? `actionbank new-dataset custom --videos DIR ... --force` writes the paths anew"
    assert refusal(*old, "dataset.videos=/old/place/films/videos").endswith(f"custom.yaml). {hint}")
    gone = f"dataset.videos=/old/{Path.cwd().name}/gone"  # the films were moved as well
    assert refusal(*old, gone).endswith(hint)
    assert "moved" not in refusal(*old, "dataset.videos=/mnt/disk/others")
    make("data/x")
    assert "moved" not in refusal(*old, "dataset.videos=/mnt/disk/data")
    assert "moved" not in refusal(*old, "dataset.videos=videos")


def test_the_built_in_data_need_nothing() -> None:
    ask()
    ask("head=baseline", "scope=all")


def test_boxes_by_a_detector_need_its_weights_and_no_proposals() -> None:
    make("data/custom/source/videos/a.mp4", "data/custom/source/annotations/a.csv")
    ask("dataset=custom", "boxes.detector=fasterrcnn", "frames.allow_smaller=true")
    said = refusal("dataset=custom", "boxes.detector=fasterrcnn", "boxes.weights=w.pth")
    assert said.endswith("so nothing has run: w.pth (boxes.weights)")
    said = refusal("dataset=custom")
    assert said.endswith(": data/custom/source/proposals (dataset.proposals of conf/dataset/custom.yaml)")


def test_a_folder_of_objects_that_is_named_must_be_there() -> None:
    make(*(f"data/custom/source/{name}" for name in ("videos/a.mp4", "annotations/a.csv", "proposals/a.csv")))
    ask("dataset=custom", "frames.allow_smaller=true")
    said = refusal("dataset=custom", "dataset.objects=things")
    assert said.endswith(": things (dataset.objects of conf/dataset/custom.yaml)")


def test_heads_on_external_banks_need_no_videos_where_evaluate_alone_is_run() -> None:
    make("data/custom/source/annotations/a.csv", "train.zarr", "val.zarr")
    said = refusal("dataset=custom", "bank=external", "bank.train=train.zarr", "bank.val=val.zarr", "bank.producer=a")
    rest = "of conf/dataset/custom.yaml; a run of the target evaluate alone does not read it)"
    assert f"data/custom/source/videos (dataset.videos {rest}" in said
    assert f"data/custom/source/proposals (dataset.proposals {rest}" in said


def test_initial_weights_are_those_of_what_is_trained() -> None:
    assert refusal(*LFB).count(WEIGHTS) == 2
    ask(*LFB, "baseline.init=none")
    ask("baseline.init=none", "head_train.kinetics=absent", "scope=head")
    assert "absent (" in refusal("head_train.kinetics=absent", "scope=all", "head_train.init=kinetics")
    ask("head_train.kinetics=absent", "scope=all", "head_train.init=kinetics", "head=baseline")


def imported(**provenance: Any) -> None:
    for split in ("train", "val"):
        features = {f"{split} {video}": seconds for video, seconds in FEATURES.items()}
        path = save(Path(f"lfb_{split}.pkl"), value_of(features, "lists"))
        taken_in(path, Path(f"{split}.zarr"), split=split, provenance={"box_threshold": 0.9, **provenance})


def test_external_banks_that_are_not_here() -> None:
    said = refusal(*EXTERNAL, "bank.producer=unknown")
    assert "train.zarr (bank.train; `actionbank bank import` or `dvc import` makes it); val.zarr (bank.val" in said


def test_banks_under_a_url_are_opened_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = f"file://{tmp_path}"
    row = [*LFB, "bank=external", f"bank.train={url}/train.zarr", f"bank.val={url}/val.zarr", "baseline.init=none"]
    assert refusal(*row, "bank.producer=unknown") == f"{url}/train.zarr: cannot read manifest.json: no such file"
    imported()
    ask(*row, "bank.producer=unknown")
    assert refusal(*row, "bank.producer=abc").startswith(f"{url}/train.zarr: was made by a checkpoint that it does not")


def test_a_bank_of_mmaction2_is_taken_as_one_that_names_no_producer() -> None:
    imported()
    row = [*LFB, *EXTERNAL, "baseline.init=none"]
    ask(*row, "bank.producer=unknown")
    ask(*row, "bank.producer=abc", "bank.allow_mixed=true")
    assert refusal(*row, "bank.producer=abc") == (
        "train.zarr: was made by a checkpoint that it does not name, expected abc; if it is the bank you want, "
        "bank.producer=unknown takes it, and bank.allow_mixed=true takes any"
    )
    swapped = refusal(*LFB, "bank=external", "bank.train=val.zarr", "bank.val=train.zarr", "bank.producer=unknown",
                      "baseline.init=none")  # fmt: skip
    assert swapped == "val.zarr: is a bank of split val, bank.train expects one of train"


def test_a_bank_that_names_its_producer_is_held_to_it() -> None:
    imported(checkpoint_sha256="c" * 64)
    row = [*LFB, *EXTERNAL, "baseline.init=none"]
    ask(*row, f"bank.producer={'c' * 64}")
    said = refusal(*row, "bank.producer=unknown")
    assert said.startswith(f"train.zarr: was made by checkpoint {'c' * 64}, expected unknown; if it is the bank you")
    assert f"bank.producer={'c' * 64} takes it" in said


def test_a_bank_without_boxes_is_refused_where_a_head_is_trained_on_its_rows() -> None:
    imported()
    assert refusal(*EXTERNAL, "bank.producer=unknown") == (
        "train.zarr: has no boxes of ground_truth, on which scope=head trains or scores; scope=all takes persons from "
        "frames, and this bank for windows"
    )


def test_a_window_that_the_bank_cannot_give_is_refused() -> None:
    imported(box_threshold=0.8)
    said = refusal(*LFB, *EXTERNAL, "baseline.init=none", "bank.producer=unknown")
    assert re.search(r"cannot be cut at score 0\.9: head\.window\.score must be that threshold, which `action", said)


def test_banks_of_two_kinds_do_not_belong_together() -> None:
    rows = {"a": make_rows({1.0: 2})}
    write_small_bank(Path("train.zarr"), rows, split="train")
    write_small_bank(Path("val.zarr"), {"b": rows["a"]}, split="val", provenance={**PROVENANCE, "pooling": "max"})
    said = refusal(*LFB, *EXTERNAL, "baseline.init=none", f"bank.producer={PROVENANCE['checkpoint_sha256']}")
    assert "do not belong together: pooling is" in said

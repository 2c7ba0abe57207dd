"""Each architecture of the detection zoo at reduced width: trained, with its bank where it has one, and evaluated.

The same way for what rows and users choose beside the architecture.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from pipeline.bank.reader import open_bank
from pipeline.base.checksums import read_sealed_json
from pipeline.base.errors import InputError
from pipeline.base.files import read_json
from pipeline.checkpoint.build_baseline import build_baseline
from pipeline.checkpoint.weights import BASELINE, HEAD, load_tensors
from pipeline.models.heads.table import HEADS
from pipeline.project.compose import compose_params, params_text
from pipeline.scoring.detections import detections_table
from pipeline.tables.schemas import DETECTIONS, KEYFRAMES, read_table
from pipeline.training import baseline_training, validation
from stages import infer_memory, train_baseline, train_head
from tests.bank.banks import make_rows, write_small_bank
from tests.recipes import ACAR, ALPHACTION, ARCHITECTURES, CONF
from tests.stages.zoo import DATA, FRAMES, Zoo, documented, documented_of_aia, new_zoo

Start = Callable[..., Zoo]
Made = TypeVar("Made")
CLASSES = 20
TINY = ("backbone=slowonly_tiny", "backbone.width=8", "head=baseline", "scope=all")
# So slow that no score comes near 0 or 1.
SLOW = ("baseline.lr=0.01", "head_train.lr=0.01")


@pytest.fixture
def start(zoo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts a project on the data set, with one label per person if asked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("ACTIONBANK_PARAMS", raising=False)

    def project(*overrides: str, single: bool = False) -> Zoo:
        return new_zoo(zoo_data, *overrides, single=single)

    return project


@pytest.fixture(scope="module")
def trained(zoo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Zoo, Path]:
    """A project with a tiny baseline and its bank, and where it lies."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        patch.delenv("ACTIONBANK_PARAMS", raising=False)
        project = new_zoo(zoo_data, *TINY[:2], *SLOW, "head=lfb_avg", "scope=head")
        project.train_baseline()
        project.infer_banks()
    return project, folder


def detections(kind: str) -> dict[str, np.ndarray]:
    table = read_table(Path("results/detections") / f"{kind}.parquet", DETECTIONS)
    return {name: table[name].to_numpy() for name in table.column_names}


def boxes_of(found: dict[str, np.ndarray]) -> np.ndarray:
    """Which box each row is of."""
    columns = [np.unique(found[name], return_inverse=True)[1] for name in ("video_id", "timestamp", "x1", "y1", "x2")]
    return np.unique(np.column_stack(columns), axis=0, return_inverse=True)[1]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_documented_overrides_let_a_row_run_on_the_playground(name: str) -> None:
    values = compose_params([f"+experiment={name}", *documented()], CONF)
    assert values["choices"]["dataset"] == "playground"
    assert values["frames"] == compose_params([], CONF)["frames"], "the playground's frames are not extracted anew"
    assert values["baseline"]["init"] == values["head_train"]["kinetics"] == "none"
    assert values["head_train"]["augmentation"] == {**values["baseline"]["augmentation"], "flip_objects": True}


SLOW_ROWS = ("ava_kinetics_videomae_l",)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW_ROWS else name for name in ARCHITECTURES]
)
def test_an_architecture_trains_and_is_evaluated(name: str, start: Start) -> None:
    by_tube = name.startswith("multisports")
    project = start(f"+experiment={name}", "labels.several=error", single=by_tube)
    values = project.values
    sidecar = project.train_baseline()
    assert {key: sidecar[key] for key in ("backbone", "width", "input", "roi", "head", "labels", "classes")} == {
        "backbone": values["backbone"]["name"],
        "width": 8,
        "input": {"long_side": None, **written(values["backbone"]["input"], shape="film")},
        "roi": written(values["roi"], scale="stride", pool="max"),
        "head": values["baseline"]["head"],
        "labels": {"groups": [], **values["labels"]},
        "classes": CLASSES,
    }
    assert sidecar["columns"] == CLASSES
    assert sidecar["initial_weights"] is None
    project.infer_banks()
    if values["head"]["name"] == "baseline":
        assert not (DATA / "bank").exists()
        head = project.hand_on()
    else:
        head = project.train_head()
        banks = {split: open_bank(DATA / "bank" / f"{split}.zarr") for split in ("train", "val")}
        assert head["banks"] == {split: bank.digest for split, bank in banks.items()}
        assert {bank.channels for bank in banks.values()} == {sidecar["channels"]} == {head["bank_channels"]}
        assert head["producer"] == head["baseline"] == sidecar["sha256"]
        assert head["roi_channels"] == sidecar["channels"]
        assert {key: head[key] for key in ("backbone", "width", "input", "roi", "labels")} == {
            key: sidecar[key] for key in ("backbone", "width", "input", "roi", "labels")
        }
    assert (head["kind"], head["scope"]) == ("detector", "all")
    assert head["head"] == {"window": None, "objects": None, "memory": "bank", **values["head"]}
    metrics = project.evaluate()
    assert {key: metrics[key] for key in ("head", "scope", "protocol", "boxes")} == {
        "head": values["head"]["name"],
        "scope": "all",
        "protocol": values["reported"]["protocol"],
        "boxes": "detected",
    }
    assert metrics["counts"]["keyframes"] == (16 if by_tube else 8)
    assert ("video_map" in metrics) == by_tube


OF_CLIPS = ("acrn", "acar", "acar_lfb")  # heads that read the map of the clip


def written(values: dict[str, Any], **usual: Any) -> dict[str, Any]:
    """What a sidecar says of a block: settings that came later are left out where they are as usual."""
    return {key: value for key, value in values.items() if key not in usual or value != usual[key]}


# Behind what docs/recipes.md says: two steps of one clip size, and one part of each.
SMALL_AIA = (
    *FRAMES, "dataset.objects=data/playground_mini/source/objects", "backbone.width=8",
    "backbone.input.short_side=64", "baseline.augmentation.short_side=[64,64]",
    *(
        f"{block}.{each}"
        for block in ("baseline", "head_train")
        for each in ("global_batch=4", "lr=0.01", "schedule.epochs=2", "schedule.milestones=[2]", "threads=1")
    ),
    "baseline.schedule.epoch_steps=3", "head_train.schedule.epoch_steps=3",
)  # fmt: skip


SLOW_TEST = pytest.mark.slow
# The clips' maps have 4 x 5 or more cells.
SMALL_ACAR = (
    "+baseline.head.options.reduced=16", "+baseline.head.options.hidden=8", "baseline.schedule.milestones=[1.5]",
    "baseline.global_batch=2", "baseline.bn_batch=1", "head_train.bn_batch=2",
)  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=SLOW_TEST) if "r101" in each else each for each in ALPHACTION]
)
def test_a_row_of_alphaction_trains_and_is_evaluated(name: str, start: Start) -> None:
    overrides = [*documented_of_aia(), *SMALL_AIA]
    project = start()
    values = project.values = compose_params([f"+experiment={name}", *overrides], CONF)
    Path("params.yaml").write_text(params_text(values))
    if values["head"]["name"] == "baseline":
        train_baseline.train_baseline(workers=1, device="cpu")
        head = project.hand_on()
    else:
        train_head.train_head(workers=1, device="cpu")
        infer_memory.infer_memory("val", workers=1, device="cpu")
        head = read_sealed_json(HEAD.with_suffix(".json"))
        assert head["head"] == {**values["head"], "mlp": False}
        assert (head["scope"], head["banks"]) == ("all", {})
    assert [each["classes"] for each in head["labels"]["groups"]] == [11, 4, 3, 2]
    weights, losses = load_tensors(HEAD), read_json(Path("results/head/metrics.json"))
    assert all(torch.isfinite(each).all() for each in weights.values())
    assert 0 < losses["loss"] < 100
    metrics = project.evaluate()
    assert (metrics["protocol"], metrics["counts"]["keyframes"]) == ("official", 8)
    scores = detections("ground_truth")
    boxes, poses = boxes_of(scores), scores["action_id"] <= 11
    np.testing.assert_allclose(np.bincount(boxes[poses], scores["score"][poses]), 1, atol=1e-5)


@pytest.mark.parametrize(
    "name", [each if each == "ava22_acar_r50" else pytest.param(each, marks=SLOW_TEST) for each in ACAR]
)
def test_a_row_of_acar_trains_and_is_evaluated(name: str, start: Start) -> None:
    groups = "[{classes: 11, kind: softmax, weight: 0.55, loss: binary}, {classes: 9, kind: sigmoid, weight: 0.45}]"
    own = ["dataset.classes=20", "dataset.class_map=none", f"labels.groups={groups}", *SMALL_ACAR]
    project = start()
    project.values = compose_params([f"+experiment={name}", *documented_of_aia(), *SMALL_AIA, *own], CONF)
    Path("params.yaml").write_text(params_text(project.values))
    train_baseline.train_baseline(workers=1, device="cpu")
    sidecar = project.hand_on()
    assert (sidecar["detector"]["head"]["name"], sidecar["detector"]["roi"]["scale"]) == ("acar", "map")
    weights, losses = load_tensors(BASELINE), read_json(Path("results/baseline/metrics.json"))
    assert all(torch.isfinite(each).all() for each in weights.values())
    assert 0 < losses["loss"] < 1
    metrics = project.evaluate()
    assert (metrics["protocol"], metrics["counts"]["keyframes"]) == ("official", 8)
    scores = detections("ground_truth")
    boxes, poses = boxes_of(scores), scores["action_id"] <= 11
    np.testing.assert_allclose(np.bincount(boxes[poses], scores["score"][poses]), 1, atol=1e-5)


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("head", ["baseline", "lfb_avg"])
def test_a_single_label_is_a_softmax_and_its_best_class_is_decoded(background: bool, head: str, start: Start) -> None:
    labels = ["labels.kind=single", f"labels.background={str(background).lower()}", "labels.several=error"]
    scope = "all" if head == "baseline" else "head"
    choices = [*TINY, *SLOW, *labels, "evaluation.action_threshold=0", f"head={head}", f"scope={scope}"]
    project = start(*choices, "evaluation.decode=argmax", single=True)
    assert project.train_baseline()["columns"] == CLASSES + background
    project.infer_banks()
    sidecar = project.hand_on() if head == "baseline" else project.train_head()
    assert sidecar["labels"] == {
        "kind": "single",
        "background": background,
        "several": "error",
        "unlabelled": "ignore",
        "groups": [],
    }
    project.evaluate()
    best = detections("ground_truth")
    assert len(best["score"]) == len(np.unique(boxes_of(best))), "one row for a box"

    project.compose(*choices, "evaluation.decode=all")
    project.evaluate()
    every = detections("ground_truth")
    box = boxes_of(every)
    sums = np.bincount(box, every["score"])
    assert np.bincount(box).tolist() == [CLASSES] * len(best["score"])
    if background:
        assert sums.max() < 1 - 1e-5, "the background has a share"
    else:
        np.testing.assert_allclose(sums, 1, atol=1e-6)
    highest = np.zeros(len(sums))
    np.maximum.at(highest, box, every["score"])
    np.testing.assert_array_equal(highest[boxes_of(best)], best["score"])


def test_a_person_with_several_actions_is_an_error_or_a_soft_label(start: Start) -> None:
    single = [*TINY, "labels.kind=single", "head=lfb_avg", "scope=head"]
    project = start(*single, "labels.several=error")
    message = (
        "annotations: video train_000, timestamp 908, box 0.806 0.37 1 0.91: found the actions 6, 14, expected one "
        "(labels.kind is single; labels.several: soft takes equal parts, first the lowest id)"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        train_baseline.train_baseline(workers=1, device="cpu")
    assert not BASELINE.exists()
    project.compose(*single, "labels.several=soft")
    assert project.train_baseline()["labels"]["several"] == "soft"
    project.infer_banks()
    project.train_head()
    project.evaluate()
    HEAD.unlink()
    project.compose(*single, "labels.several=error")
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        train_head.train_head(workers=1, device="cpu")
    assert not HEAD.exists()


@pytest.mark.parametrize("protocol", ["official", "mmaction2_1x"])
def test_the_metric_of_multisports_reads_the_persons_of_the_playground(protocol: str, start: Start) -> None:
    choices = ["evaluation.metric=multisports", f"evaluation.protocol={protocol}", "evaluation.action_threshold=0"]
    project = start(*TINY, *SLOW, *choices, single=True)
    project.train_baseline()
    project.hand_on()
    metrics = project.evaluate()
    assert metrics["metric"] == "multisports"
    assert metrics["video_map"] == metrics["detected"]["video_map"]
    assert set(metrics["video_map"]) >= {"0.2", "0.5", "0.10:0.90"}
    assert all(0 <= value <= 1 for value in metrics["video_map"].values())
    assert metrics["counts"]["tubes"] > 0
    assert metrics["ground_truth"]["num_tubes"] >= metrics["detected"]["num_tubes"] > 0
    header = Path("results/evaluate/per_class.csv").read_text().splitlines()[0].split(",")
    assert {"tubes", "video_ap_0.5_detected", "video_ap_0.2_ground_truth"} <= set(header)


@pytest.mark.parametrize("protocol", ["mmaction2_0x", "pyslowfast"])
def test_protocols_that_multisports_has_not_are_refused(protocol: str, start: Start) -> None:
    project = start(*TINY, "evaluation.metric=multisports", f"evaluation.protocol={protocol}")
    project.train_baseline()
    project.hand_on()
    with pytest.raises(
        InputError, match=f"^protocol of multisports is '{protocol}', expected official or mmaction2_1x$"
    ):
        project.evaluate()


def test_frozen_norms_keep_their_statistics(start: Start) -> None:
    project = start(*TINY, "baseline.norm=frozen")
    project.train_baseline()  # checks them
    counts = [int(value) for key, value in load_tensors(BASELINE).items() if key.endswith("num_batches_tracked")]
    assert set(counts) == {0}


def test_norms_and_biases_are_spared_the_decay_on_request(start: Start) -> None:
    project = start()
    scales = {}
    for decay in ("all", "weights"):
        project.compose(*TINY, "baseline.weight_decay=0.5", "baseline.lr=0.5", f"baseline.decay={decay}")
        project.train_baseline()
        weights = load_tensors(BASELINE)
        scales[decay] = torch.cat([value for key, value in weights.items() if key.endswith("bn.weight")])
    assert scales["all"].mean() < 0.7
    assert (scales["weights"] - 1).abs().mean() < 0.1


def test_the_rate_is_scaled_to_the_batch_on_request_and_said(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    scaled = ["baseline.base_batch=128", "baseline.lr=0.2", "baseline.auto_scale_lr=true"]
    project = start(*TINY, *scaled, "baseline.schedule.decay=step", "baseline.schedule.milestones=[]")
    sidecar = project.train_baseline()
    assert "lr 0.2 for a batch of 128 -> 0.00625 for 4\n" in capsys.readouterr().out
    assert [row["lr"] for row in sidecar["history"]] == [0.00625]


def test_channels_last_trains_the_same_model(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    project = start()
    losses = []
    for layout in ("contiguous", "channels_last_3d"):
        built: list[torch.nn.Module] = []
        monkeypatch.setattr(baseline_training, "build_baseline", lambda spec, to=built: keep(build_baseline(spec), to))
        project.compose(*TINY, f"baseline.memory_format={layout}")
        project.train_baseline()
        losses.append(read_json(Path("results/baseline/metrics.json"))["loss"])
        kernels = [each for each in built[0].parameters() if each.dim() == 5 and each.shape[1] > 1 < each.shape[-1]]
        assert kernels
        assert {each.is_contiguous() for each in kernels} == {layout == "contiguous"}
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def keep(made: Made, kept: list[Made]) -> Made:
    kept.append(made)
    return made


def test_half_precision_trains_fills_a_bank_and_is_evaluated(start: Start) -> None:
    blocks = ("baseline", "bank", "head_train", "evaluation")
    half = [f"{block}.compute_dtype=bf16" for block in blocks]
    project = start(*TINY, *SLOW, *half, "head=lfb_nl", "scope=all")
    project.train_baseline()
    project.infer_banks()
    project.train_head()
    in_half = project.evaluate()
    scores = detections("ground_truth")["score"]
    project.compose(*TINY, *SLOW, *half[:-1], "head=lfb_nl", "scope=all")
    whole = project.evaluate()
    assert in_half["ground_truth"]["num_detections"] == whole["ground_truth"]["num_detections"]
    difference = np.abs(scores - detections("ground_truth")["score"]).max()
    assert 0 < difference < 0.05


def test_parts_of_a_batch_are_accumulated_into_one_step(start: Start) -> None:
    project = start()
    steps = {}
    for batch in (4, 8):
        project.compose(*TINY, f"baseline.global_batch={batch}", "baseline.bn_batch=4")
        project.train_baseline()
        found = load_tensors(BASELINE)
        steps[batch] = {int(value) for key, value in found.items() if key.endswith("num_batches_tracked")}
    # Seven keyframes: two steps of one part, or one step of two.
    assert steps == {4: {2}, 8: {1}}


@pytest.mark.parametrize("scope", ["head", "all"])
@pytest.mark.parametrize("head", sorted(HEADS))
def test_every_head_trains_and_is_evaluated_with_a_hidden_layer(
    head: str, scope: str, start: Start, trained: tuple[Zoo, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = "evaluation.action_threshold=0"  # as in validation
    project = start(*TINY, *SLOW, f"head={head}", f"scope={scope}", "head.mlp=true", whole)
    project.take_baseline(*trained, items=scope == "all" or head not in OF_CLIPS)
    project.infer_banks()
    if scope == "head" and head in OF_CLIPS:
        with pytest.raises(InputError, match=rf"^head {head}: it cannot train in scope head, expected all$"):
            project.train_head()
        if head != "acar_lfb":  # which reads the bank
            assert not list(Path(".work").glob("bank_parts/*")), "no features are computed before"
        return
    validated: list[pa.Table] = []
    monkeypatch.setattr(validation, "detections_table", lambda *a, **b: keep(detections_table(*a, **b), validated))
    sidecar = project.train_head()
    assert sidecar["head"]["mlp"]
    assert sidecar["kind"] == ("head" if scope == "head" else "detector")
    hidden = {key.rsplit("classifier.")[-1] for key in load_tensors(HEAD) if "classifier." in key}
    assert hidden == {"0.weight", "0.bias", "2.weight"} | (set() if head == "acar" else {"2.bias"})
    metrics: dict[str, Any] = project.evaluate(times=1)  # the validation was the other time
    assert (metrics["head"], metrics["scope"]) == (head, scope)
    assert project.values["head"]["mlp"]
    for kind, table in zip(("detected", "ground_truth"), validated, strict=True):
        found = read_table(Path("results/detections") / f"{kind}.parquet", DETECTIONS)
        assert found.equals(table), f"{kind}: evaluate gives the scores of the validation, to the last bit"


@pytest.mark.parametrize("bank", ["own", "external"])
def test_a_whole_detector_from_its_own_weights_needs_no_baseline(bank: str, start: Start) -> None:
    """`linear` reads no bank; `lfb_avg` windows of rows that are a bank of nobody knows whom."""
    external = ["bank=external", "bank.train=train.zarr", "bank.val=val.zarr", "bank.producer=unknown"]
    head = ["head=lfb_avg", *external] if bank == "external" else ["head=linear"]
    project = start(*TINY[:2], *SLOW, *head, "scope=all", "head_train.init=kinetics")
    assert project.values["inputs"]["baseline"] == []
    for split in ("train", "val"):
        keyframes = read_table(DATA / "annotations/keyframes.parquet", KEYFRAMES)
        films = set(keyframes.filter(pc.equal(keyframes["split"], split))["video_id"].to_pylist())
        rows = {film: make_rows({float(second): 2 for second in range(900, 920)}, channels=48) for film in films}
        provenance = {"box_threshold": 0.9, "imported_from": "mmaction2"}
        write_small_bank(Path(f"{split}.zarr"), rows, split=split, provenance=provenance, ground_truth=None)
    sidecar = project.train_head()
    assert not BASELINE.exists()
    assert (sidecar["kind"], sidecar["baseline"], sidecar["producer"]) == ("detector", None, None)
    assert (sidecar["backbone"], sidecar["width"], sidecar["bank_channels"]) == (
        "slowonly_tiny", 8, 48 if bank == "external" else 0,
    )  # fmt: skip
    assert project.evaluate()["mixed_banks"] == {}

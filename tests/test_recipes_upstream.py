"""Published rows have the numbers of MMAction2's configurations, value for value, as the fixtures hold them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.recipes import REPORTED, WITHOUT_FIXTURE, fixture, rows, training_of

# Without a fixture of their own: the one whose configuration differs only in what the value says.
SIBLING = {
    "ava21_slowfast_r50_4x16_context": ("slowfast-r50-4x16-ava21", "context"),
    "ava21_lfb_max_slowonly_r50_4x16": ("slowonly-lfb-avg-r50-4x16-ava21", "operator"),
    "ava_kinetics_slowonly_r50_8x8_context_max_mlp_focal": (
        "slowonly-r50-context-temporal-max-nl-head-8x8-avakinetics",
        "focal",
    ),
}
# The fixture is of the same configuration but for the weights it starts from.
OTHER_WEIGHTS = {
    "ava21_slowonly_r50_4x16_k700",
    "ava_kinetics_slowonly_r50_4x16_k400",
    "ava_kinetics_slowonly_r50_8x8_k400",
}
NEWER = [name for name in REPORTED if not name.endswith("_0x")]


def step(pipeline: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [each for each in pipeline if each["type"] == kind]
    return found


def upstream_schedule(schedulers: list[dict[str, Any]], epochs: int) -> dict[str, Any]:
    warm_up, decay = schedulers
    assert (warm_up["type"], warm_up["begin"], warm_up["by_epoch"], decay["by_epoch"]) == ("LinearLR", 0, True, True)
    schedule: dict[str, Any] = {
        "epochs": epochs,
        "epoch_steps": "pass",
        "warmup_epochs": warm_up["end"],
        "warmup_factor": warm_up["start_factor"],
        "warmup_by": "iteration" if warm_up.get("convert_to_iter_based") else "epoch",
        "gamma": 0.1,
    }
    if decay["type"] == "MultiStepLR":
        assert (decay["begin"], decay["end"], decay["gamma"]) == (0, epochs, 0.1)
        return {**schedule, "decay": "step", "milestones": decay["milestones"]}
    assert decay["type"] == "CosineAnnealingLR"
    assert (decay["T_max"], decay["eta_min"]) == (epochs - warm_up["end"], 0)
    assert (decay["begin"], decay["end"], decay["convert_to_iter_based"]) == (warm_up["end"], epochs, True)
    return {**schedule, "decay": "cosine", "milestones": []}


@pytest.mark.parametrize("name", NEWER)
def test_training_is_that_of_upstream(name: str) -> None:
    values = rows()[name]
    source = fixture(SIBLING[name][0] if name in SIBLING else values["reported"]["fixture"])
    upstream, training = source["training"], training_of(values)
    gpus, per_gpu = map(int, re.search(r"_(\d+)xb(\d+)-", source["upstream_config"]).groups())  # type: ignore[union-attr]
    optimiser, clip = upstream["optim_wrapper"]["optimizer"], upstream["optim_wrapper"]["clip_grad"]
    assert upstream["optim_wrapper"].keys() == {"optimizer", "clip_grad"}
    assert clip["norm_type"] == 2
    expected = {
        "lr": optimiser["lr"],
        "momentum": optimiser["momentum"],
        "weight_decay": optimiser["weight_decay"],
        "nesterov": optimiser.get("nesterov", False),
        "decay": "all",
        "norm": "batch",
        "clip_norm": clip["max_norm"],
        "bn_batch": upstream["train_data"]["batch_size"],
        "global_batch": gpus * upstream["train_data"]["batch_size"],
        "base_batch": (upstream["auto_scale_lr"] or {"base_batch_size": gpus * per_gpu})["base_batch_size"],
        "auto_scale_lr": (upstream["auto_scale_lr"] or {"enable": False})["enable"],
        "schedule": upstream_schedule(upstream["param_scheduler"], upstream["train_loop"]["max_epochs"]),
        "match_iou": upstream["rcnn_train_cfg"]["assigner"]["pos_iou_thr"],
        "dropout": source["hyper"]["bbox_head"]["dropout_ratio"],
    }
    assert {key: training[key] for key in expected} == expected
    assert (gpus, per_gpu) == (values["reported"]["gpus"], values["reported"]["clips_per_gpu"])
    assert training["validation"]["interval"] == upstream["train_loop"]["val_interval"]


@pytest.mark.parametrize("name", NEWER)
def test_clips_boxes_and_thresholds_are_those_of_upstream(name: str) -> None:
    values = rows()[name]
    source = fixture(SIBLING[name][0] if name in SIBLING else values["reported"]["fixture"])
    upstream, training, clip = source["training"], training_of(values), values["backbone"]["input"]
    train, val = upstream["train_data"], upstream["val_data"]
    assert upstream["test_data"] == val
    for data in (train, val):
        sampled = step(data["pipeline"], "SampleAVAFrames")
        assert (clip["frames"], clip["interval"]) == (sampled["clip_len"], sampled["frame_interval"])
    assert {key: value for key, value in training["augmentation"].items() if key != "flip_objects"} == {
        "short_side": step(train["pipeline"], "RandomRescale")["scale_range"],
        "crop": step(train["pipeline"], "RandomCrop")["size"],
        "flip": step(train["pipeline"], "Flip")["flip_ratio"],
        "colour": 0.0,
        "box_jitter": 0.0,
        "max_boxes": 32,
    }
    assert {each["type"] for each in train["pipeline"]} - {"DecordInit", "DecordDecode", "RawFrameDecode"} == {
        *("SampleAVAFrames", "RandomRescale", "RandomCrop", "Flip", "FormatShape", "PackActionInputs")
    }
    assert step(val["pipeline"], "Resize")["scale"] == [-1, clip["short_side"]]
    processor = upstream["data_preprocessor"]
    assert (clip["mean"], clip["std"]) == (processor["mean"], processor["std"])

    def threshold(data: Mapping[str, Any]) -> float:
        found = data["person_det_score_thr"]
        return 0.9 if found == "(dataset default 0.9)" else float(found)

    evaluation = values["evaluation"]
    assert training["box_threshold"] == threshold(train)
    assert (evaluation["box_threshold"], training["validation"]["box_threshold"]) == (threshold(val), threshold(val))
    sports = upstream["val_evaluator"]["type"] == "MultiSportsMetric"
    assert evaluation["metric"] == ("multisports" if sports else "ava")
    assert evaluation["decode"] == ("argmax" if sports else "all")
    assert evaluation["action_threshold"] == (0.0 if sports else upstream["val_evaluator"].get("action_thr", 0.002))
    dataset = {"AVAKineticsDataset": "ava_kinetics"}.get(
        train["dataset_type"],
        {"ava_train_v2.1.csv": "ava21", "ava_train_v2.2.csv": "ava22", "multisports_train.csv": "multisports"}[
            train["ann_file"]
        ],
    )
    assert values["dataset"]["name"] == dataset


@pytest.mark.parametrize("name", NEWER)
def test_a_row_names_its_configuration_and_weights(name: str) -> None:
    values = rows()[name]
    reported = values["reported"]
    source = fixture(SIBLING[name][0] if name in SIBLING else reported["fixture"])
    assert ("fixture" in reported) == (name not in SIBLING)
    same = reported["initial_weights"] == source["training"]["pretrained_checkpoint_name"]
    assert same == (name not in OTHER_WEIGHTS)
    if name not in OTHER_WEIGHTS and SIBLING.get(name, ("", "operator"))[1] == "operator":
        assert reported["config"] == source["upstream_config"]
    else:
        assert Path(reported["config"]).parent == Path(source["upstream_config"]).parent


@pytest.mark.parametrize("name", [name for name in REPORTED if name not in WITHOUT_FIXTURE])
def test_the_model_is_that_of_upstream(name: str) -> None:
    values = rows()[name]
    hyper = fixture(values["reported"]["fixture"])["hyper"]
    upstream_roi, upstream_head, shared = hyper["roi_extractor"], hyper["bbox_head"], hyper.get("shared_head", {})
    assert values["roi"] == {
        "output_size": upstream_roi["output_size"],
        "temporal": {"avg": "mean", "max": "max"}[upstream_roi["temporal_pool_mode"]],
        "context": "global" if upstream_roi["with_global"] else "none",
        "aligned": upstream_roi["aligned"],
        "extend_x": 0.0,
        "extend_y": 0.0,
        "scale": "stride",
        "pool": "max",
    }
    if hyper["backbone_type"] == "ResNet3dSlowFast":
        alpha, kernel = hyper["speed_ratio"], hyper["slow_path"]["fusion_kernel"]
        assert hyper["resample_rate"] == alpha
        depth = hyper["slow_path"]["depth"]
        backbone = {(8, 5): f"slowfast_r{depth}_4x16", (4, 7): f"slowfast_r{depth}_8x8"}[alpha, kernel]
    else:
        non_local = any(map(any, filter(None, hyper["backbone"]["non_local_stages"])))
        backbone = f"slowonly_r{hyper['backbone']['depth']}{'_nl' if non_local else ''}"
    assert values["backbone"]["name"] == backbone
    assert values["backbone"]["width"] is None
    assert values["labels"]["kind"] == ("multi" if upstream_head["multilabel"] else "single")
    assert values["dataset"]["classes"] + upstream_head["background_class"] == upstream_head["num_classes"]
    assert not values["labels"]["background"], "upstream's column 0 is dropped from its loss and never read"
    loss = {"alpha": upstream_head["focal_alpha"], "gamma": upstream_head["focal_gamma"]}
    assert training_of(values)["loss"] == loss
    assert values["baseline"]["head"]["mlp"] == upstream_head["mlp_head"]
    head = values["head"]
    if shared.get("type") == "FBOHead":
        bank, attention = shared["lfb_cfg"], shared["fbo_cfg"]
        names = {"FBONonLocal": "lfb_nl", "FBOMax": "lfb_max", "FBOAvg": "lfb_avg"}
        assert head["name"] == names[shared["fbo"]]
        assert (head["window"]["seconds"], head["window"]["per_second"]) == (
            bank["window_size"],
            bank["max_num_sampled_feat"],
        )
        assert (head["window"]["mask"], head["standardise"]) == ("none", "none")
        # Facts of upstream that no hyper-parameter names: the keyframe is in the window, each RoI draws anew.
        assert [head["window"][key] for key in ("span", "exclude_keyframe", "draw")] == ["centred", False, "roi"]
        if head["name"] == "lfb_nl":
            assert head["options"] == {
                "layers": attention["num_non_local_layers"],
                "latent": attention["latent_channels"],
                "dropout": attention["st_feat_dropout_ratio"],
                "init": "published",
                "window_dropout": "projected",
            }
            assert attention["lt_feat_dropout_ratio"] == attention["st_feat_dropout_ratio"]
    else:
        assert head["name"] == "baseline"
        acrn = shared.get("type") == "ACRNHead"
        assert values["baseline"]["head"]["name"] == ("acrn" if acrn else "linear")
        assert values["baseline"]["head"]["options"] == ({"convs": shared["num_convs"]} if acrn else {})

"""Every published row is a recipe that composes, and builds at full size with its source's number of parameters."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from pipeline.annotations.class_map import _chosen
from pipeline.checkpoint.recipe import build_recipe
from pipeline.commands.models import COUNTED
from pipeline.models.build import BACKBONES
from pipeline.models.label_groups import count_groups
from pipeline.models.settings import LabelGroup, Labels
from pipeline.project.compose import compose_params
from pipeline.tables.label_map import AVA_EVALUATED, AVA_GROUPS
from tests.recipes import (
    ACAR,
    ALPHACTION,
    ARCHITECTURES,
    CONF,
    PAGE,
    REPORTED,
    VIDEOMAE,
    WITHOUT_FIXTURE,
    counted_text,
    described,
    fixture,
    rows,
    training_of,
    with_table,
)

# Upstream's parameters where there is no fixture of the row, and what enters its last layer.
PARAMETERS = {
    "ava21_slowfast_r50_4x16_context": (33_930_617, 4608),
    "ava21_slowfast_r50_4x16_context_0x": (33_930_617, 4608),
    "ava21_lfb_max_slowonly_r50_4x16": (31_966_353, 4096),
    "ava_kinetics_slowonly_r50_8x8_context_max_mlp_focal": (48_747_665, 4096),
}
# Of the older zoo's configurations: lr, clips per GPU (lr is for 8 GPUs) and the GPUs of its table.
OLDER = {
    "ava21_slowonly_r50_4x16_0x": (0.2, 16, 8),
    "ava21_slowonly_r50_4x16_omnisource_0x": (0.2, 16, 8),
    "ava21_slowonly_r101_8x8_0x": (0.075, 6, 16),
    "ava21_slowonly_r101_8x8_omnisource_0x": (0.075, 6, 16),
    "ava21_slowfast_r50_4x16_0x": (0.1125, 9, 16),
    "ava21_slowfast_r50_4x16_context_0x": (0.1125, 9, 16),
    "ava21_slowfast_r50_8x8_0x": (0.075, 5, 16),
}


def test_the_rows_are_those_of_the_source_in_its_order() -> None:
    assert (
        set(PARAMETERS) == WITHOUT_FIXTURE == {name for name in REPORTED if "fixture" not in rows()[name]["reported"]}
    )
    found = {name: values["reported"]["map"] for name, values in rows().items()}
    assert found == REPORTED | VIDEOMAE | {name: each for name, (each, _) in (ALPHACTION | ACAR).items()}
    assert [name for name in rows() if name in REPORTED] == list(REPORTED)
    assert [name for name in rows() if name in ALPHACTION] == list(ALPHACTION)
    assert [name for name in rows() if name in VIDEOMAE] == list(VIDEOMAE)
    assert [name for name in rows() if name in ACAR] == list(ACAR)
    assert (len(REPORTED), len(ALPHACTION), len(ACAR)) == (34, 7, 3)


def test_every_backbone_has_a_file() -> None:
    assert {path.stem for path in (CONF / "backbone").glob("*.yaml")} == {*BACKBONES, "transformers"}


@pytest.mark.parametrize("name", [*REPORTED, *ALPHACTION, *VIDEOMAE, *ACAR])
def test_a_file_says_what_it_is_in_its_first_lines(name: str) -> None:
    lines = [line for line in (CONF / "experiment" / f"{name}.yaml").read_text().splitlines() if line.startswith("#")]
    text, values = " ".join(lines[1:]), rows()[name]
    training, reported = training_of(values), values["reported"]
    digits = 1 if name in OLDER else 2
    assert f"{reported['map']:.{digits}f}" in text
    assert reported["source"].split(",")[0] in text
    assert f"{training['schedule']['epochs']} epochs" in text
    batches = training["global_batch"] // training["bn_batch"]
    assert f"lr {training['lr']:g} for {batches} x {training['bn_batch']} clips" in text
    assert (
        f"{reported['gpus']} GPUs" + (f", {reported['memory_mb']} MB each" if "memory_mb" in reported else "") in text
    )
    assert len(lines) in (3, 4)


def test_one_file_of_weights_has_one_name() -> None:
    pairs = {(each["baseline"]["init"], each["reported"]["initial_weights"]) for each in rows().values()}
    assert len(pairs) == len({init for init, _ in pairs}) == len({source for _, source in pairs}) == 18
    assert all(re.fullmatch(r"models/kinetics/[a-z0-9_]+\.safetensors", init) for init, _ in pairs)


@pytest.mark.parametrize("name", REPORTED)
def test_it_builds_at_full_size_with_the_parameters_of_upstream(name: str) -> None:
    if name not in WITHOUT_FIXTURE:
        source = fixture(rows()[name]["reported"]["fixture"])
        head = source["hyper"]["bbox_head"]
        expected, inputs = source["parameter_count"], head["in_channels"]
        if not head["background_class"]:
            inputs = None
    else:
        expected, inputs = PARAMETERS[name]
    # Column 0 of upstream's AVA heads is of no action; with it go one weight per input and a bias.
    dropped = 0 if inputs is None else inputs + 1
    assert described(name)["parameters"] == expected - dropped


# Keys, parameters and buffers of upstream's networks (the fixtures of AlphAction state them too).
NETWORKS = {
    "ava22_aia_r50_baseline": (544, 36_989_912, 119_520),
    "ava22_aia_r101_baseline": (1054, 65_277_912, 237_024),
    "ava22_aia_r50_parallel": (610, 82_892_248, 119_520),
    "ava22_aia_r50_serial": (606, 75_545_048, 119_520),
    "ava22_aia_r50_dense_serial": (610, 75_559_384, 119_520),
    "ava22_aia_r101_dense_serial": (1120, 103_847_384, 237_024),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_alphaction_has_upstreams_keys_and_parameters(name: str) -> None:
    with torch.device("meta"):
        detector = build_recipe(rows()[name])
    counts = [sum(each.numel() for each in tensors) for tensors in (detector.parameters(), detector.buffers())]
    assert (len(detector.state_dict()), *counts) == NETWORKS[name]
    assert described(name)["parameters"] == NETWORKS[name][1]


def test_fifteen_classes_have_fewer_columns_than_eighty() -> None:
    names = "common15_aia_r50", "ava22_aia_r50_dense_serial"
    common, whole = (described(name)["parameters"] for name in names)
    assert whole - common == 65 * (1024 + 1)
    labels = rows()["common15_aia_r50"]["labels"]
    assert [(each["classes"], each["kind"], each["weight"]) for each in labels["groups"]] == [
        (6, "softmax", 1.2), (5, "sigmoid", 5.0), (4, "sigmoid", 4.0),
    ]  # fmt: skip
    assert list(rows()["common15_aia_r50"]["dataset"]["class_map"].values()) == [
        4, 10, 11, 12, 13, 14, 15, 17, 28, 41, 49, 64, 74, 79, 80,
    ]  # fmt: skip


def test_the_label_map_of_the_fifteen_classes_has_the_groups_of_its_row() -> None:
    values = rows()["common15_aia_r50"]
    listed, _ = _chosen(AVA_EVALUATED, values["dataset"]["class_map"], 1)
    assert [label.name for label in listed] == [
        "dance", "run/jog", "sit", "stand", "swim", "walk", "answer phone", "carry/hold", "drive", "play instrument",
        "ride", "fight/hit", "listen", "talk", "watch",
    ]  # fmt: skip
    named = Labels("grouped", groups=tuple(LabelGroup(classes=group, kind="sigmoid") for group in AVA_GROUPS))
    assert count_groups(named, listed, classes=15).sizes == [each["classes"] for each in values["labels"]["groups"]]


@pytest.mark.parametrize("name", ALPHACTION)
def test_a_row_of_alphaction_trains_as_upstream(name: str) -> None:
    values, reported = rows()[name], rows()[name]["reported"]
    is_baseline = values["head"]["name"] == "baseline"
    training = training_of(values)
    rates = ("lr", "momentum", "nesterov", "weight_decay", "decay", "bias_lr_factor", "interaction_lr_factor")
    assert [training[key] for key in rates] == [4e-4, 0.9, False, 1e-7, "weights", 2.0, 1.0 if is_baseline else 10.0]
    assert [training[key] for key in ("norm", "clip_norm", "dropout", "match_iou")] == ["frozen", "none", 0.2, "none"]
    assert (training["global_batch"], training["bn_batch"], training["base_batch"]) == (16, 2, 16)
    assert training["loss"] == {"alpha": 1.0, "gamma": 2.0}
    schedule, milestones = training["schedule"], [5, 7] if is_baseline else [7, 9]
    steps = [each * schedule["epoch_steps"] for each in (*milestones, schedule["epochs"], schedule["warmup_epochs"])]
    assert steps == ([50_000, 70_000, 90_000, 2000] if is_baseline else [70_000, 90_000, 110_000, 2000])
    assert schedule["milestones"] == milestones
    assert (schedule["warmup_factor"], schedule["warmup_by"], schedule["gamma"]) == (0.25, "iteration_after", 0.1)
    changes = dict(training["augmentation"])
    assert changes.pop("flip_objects", False) is False
    assert changes == {
        "short_side": [256, 256], "crop": "none", "flip": 0.5, "colour": [20.0, 0.1, 0.1],
        "box_jitter": [0.2, 0.1, 0.1, 0.05], "max_boxes": 10,
    }  # fmt: skip
    assert (values["frames"]["fps"], values["frames"]["short_side"]) == (25, 360)
    assert values["backbone"]["input"] == {
        "frames": 64, "interval": 1, "short_side": 256, "long_side": 464, "offset_frames": 0,
        "mean": [122.7717, 115.9465, 102.9801], "std": [57.375] * 3,
    }  # fmt: skip
    assert values["evaluation"]["box_threshold"] == values["bank"]["box_threshold"] == 0.8
    assert (values["evaluation"]["action_threshold"], values["evaluation"]["protocol"]) == (0.0, "official")
    assert (reported["map"], reported.get("paper_map")) == ALPHACTION[name]


@pytest.mark.parametrize(
    ("name", "lr", "layer_decay", "parameters"),
    [("ava_kinetics_videomae_b", 1.25e-4, 0.75, 86_289_489), ("ava_kinetics_videomae_l", 2.5e-4, 0.8, 303_943_761)],
)
def test_a_row_of_videomae_trains_as_upstream(name: str, lr: float, layer_decay: float, parameters: int) -> None:
    values = rows()[name]
    training, evaluation = values["baseline"], values["evaluation"]
    expected = {
        "optimiser": "adamw", "lr": lr, "momentum": 0.9, "nesterov": False, "weight_decay": 0.05, "decay": "weights",
        "layer_decay": layer_decay, "drop_path": 0.2, "clip_norm": 40.0, "dropout": 0.5, "match_iou": 0.9,
        "global_batch": 64, "bn_batch": 8, "base_batch": 64, "auto_scale_lr": False, "box_threshold": 0.9,
    }  # fmt: skip
    assert {key: training[key] for key in expected} == expected
    assert training["schedule"] == {
        "epochs": 20, "epoch_steps": "pass", "warmup_epochs": 5, "warmup_factor": 0.1, "warmup_by": "iteration",
        "decay": "cosine", "milestones": [], "gamma": 0.1,
    }  # fmt: skip
    changes = {key: training["augmentation"][key] for key in ("short_side", "crop", "flip", "colour", "box_jitter")}
    assert changes == {"short_side": [256, 320], "crop": 256, "flip": 0.5, "colour": 0.0, "box_jitter": 0.0}
    clip = values["backbone"]["input"]
    assert [clip[key] for key in ("frames", "interval", "short_side", "offset_frames")] == [16, 4, 256, -1]
    assert (values["roi"]["output_size"], values["roi"]["temporal"], values["roi"]["context"]) == (8, "mean", "none")
    assert (evaluation["action_threshold"], evaluation["protocol"]) == (0.002, "mmaction2_1x")
    # Upstream's column 0 is of no action.
    width = {"b": 768, "l": 1024}[name[-1]]
    assert described(name)["parameters"] == parameters - width - 1
    text = (CONF / "experiment" / f"{name}.yaml").read_text()
    assert re.search(r"# .* CC BY-NC 4\.0: not for commercial use\.\n  init: ", text)


@pytest.mark.parametrize("name", [name for name in ALPHACTION if "baseline" not in name])
def test_a_row_of_aia_reads_its_own_memory_and_objects(name: str) -> None:
    values = rows()[name]
    head = values["head"]
    assert (head["memory"], head["standardise"], head["objects"]["per_keyframe"]) == ("asynchronous", "none", 5)
    window = {key: head["window"][key] for key in ("seconds", "per_second", "mask", "score", "span", "draw")}
    assert window == {
        "seconds": 61, "per_second": 5, "mask": "none", "score": 0.8, "span": "centred", "draw": "keyframe",
    }  # fmt: skip
    assert head["options"] == {
        "order": "POMPOM", "latent": 1024, "hidden": 1024, "dropout": 0.2, "init": "published",
        "window_dropout": "projected",
    }  # fmt: skip
    assert values["head_train"]["memory"]["by"] == "loss"
    assert values["head_train"]["init"] == "kinetics"
    assert values["bank"]["make"] == []
    assert values["inputs"]["infer_memory"] == ["val"]
    assert (values["labels"]["several"], values["labels"]["unlabelled"]) == ("first", "first")


@pytest.mark.parametrize("name", ACAR)
def test_a_row_of_acar_trains_as_upstream(name: str) -> None:
    values, reported, deep = rows()[name], rows()[name]["reported"], name == "ava22_acar_r50"
    training, epochs = values["baseline"], 6 if deep else 5
    rates = ("lr", "momentum", "nesterov", "weight_decay", "decay", "norm", "clip_norm", "dropout")
    assert [training[key] for key in rates] == [0.064, 0.9, True, 1e-7, "all", "frozen", "none", 0.0]
    assert (training["global_batch"], training["bn_batch"], training["base_batch"]) == (8, 1, 8)
    assert training["schedule"] == {
        "epochs": epochs, "epoch_steps": "pass", "warmup_epochs": 1, "warmup_factor": 0.125,
        "warmup_by": "iteration_after", "decay": "step", "milestones": [epochs - 0.4, epochs - 0.2], "gamma": 0.1,
    }  # fmt: skip
    assert training["augmentation"] == {
        "short_side": [256, 256], "crop": "none", "flip": 0.5, "colour": 0.0, "box_jitter": [0.075, 0.075],
        "max_boxes": 32,
    }  # fmt: skip
    assert training["head"]["options"] == {"depth": 2 if deep else 1, "kernel": 3 if deep else 1}
    assert {key: values["roi"][key] for key in ("output_size", "aligned", "scale")} == {
        "output_size": 7, "aligned": False, "scale": "map",
    }  # fmt: skip
    groups = values["labels"]["groups"]
    assert [(each["classes"], each["kind"]) for each in groups] == [(13, "softmax"), (47, "sigmoid")]
    assert [each["weight"] * 60 for each in groups] == pytest.approx([13, 47])
    assert groups[0]["loss"] == "binary"
    chosen, _ = _chosen(AVA_EVALUATED, values["dataset"]["class_map"], 1)
    assert [label.name for label in chosen] == [label.name for label in AVA_EVALUATED]
    assert values["evaluation"]["box_threshold"] == 0.85
    assert (reported["map"], reported["reevaluated_map"]) == ACAR[name]
    assert described(name)["parameters"] == (58_873_800 if deep else 75_597_992)


def test_the_list_of_architectures_is_whole() -> None:
    def architecture(name: str) -> str:
        values = rows()[name]
        blocks = [
            values["backbone"]["name"],
            values["roi"],
            values["labels"],
            values["baseline"]["head"],
            values["head"],
        ]
        return json.dumps([values["dataset"]["classes"], *blocks], sort_keys=True)

    assert len({architecture(name) for name in ARCHITECTURES}) == len(ARCHITECTURES)
    assert {architecture(name) for name in ARCHITECTURES} == {architecture(name) for name in [*REPORTED, *VIDEOMAE]}


@pytest.mark.parametrize("name", OLDER)
def test_the_older_zoo_has_its_own_batches(name: str) -> None:
    lr, per_gpu, gpus = OLDER[name]
    training, reported = rows()[name]["baseline"], rows()[name]["reported"]
    assert (training["lr"], training["bn_batch"], training["global_batch"]) == (lr, per_gpu, 8 * per_gpu)
    assert training["base_batch"] == 8 * per_gpu
    assert (reported["gpus"], reported["clips_per_gpu"]) == (gpus, per_gpu)
    assert ("8x2 GPUs" in reported["note"]) == (gpus == 16)
    assert training["schedule"] == rows()["ava21_slowonly_r50_4x16_k400"]["baseline"]["schedule"]
    assert reported["resolution"] == "short side 256"


def test_the_bank_of_a_row_comes_from_the_row_of_its_baseline() -> None:
    for name, baseline in (
        ("ava21_lfb_nl_slowonly_r50_4x16", "ava21_slowonly_r50_4x16_k400"),
        ("ava21_lfb_max_slowonly_r50_4x16", "ava21_slowonly_r50_4x16_k400"),
        ("ava21_lfb_avg_slowonly_r50_4x16_0x", "ava21_slowonly_r50_4x16_0x"),
    ):
        for block in ("baseline", "backbone", "roi", "labels", "dataset", "frames", "boxes"):
            assert rows()[name][block] == rows()[baseline][block]
        assert rows()[name]["bank"]["make"] == ["train", "val"]
        assert rows()[name]["head_train"]["init"] == "kinetics"
    older = rows()["ava21_lfb_avg_slowonly_r50_4x16_0x"]
    newer = rows()["ava21_lfb_max_slowonly_r50_4x16"]
    assert older["head_train"]["clip_norm"] == 40.0
    assert older["head_train"]["schedule"] == {**newer["head_train"]["schedule"], "warmup_by": "epoch"}
    assert older["evaluation"]["box_threshold"] == 0.9


@pytest.mark.parametrize("name", REPORTED)
def test_what_all_rows_have_in_common(name: str) -> None:
    values = rows()[name]
    evaluation, bank, reported = values["evaluation"], values["bank"], values["reported"]
    assert (
        evaluation["protocol"] == reported["protocol"] == ("mmaction2_0x" if name.endswith("_0x") else "mmaction2_1x")
    )
    assert ("0.24.1" in reported["source"]) == name.endswith("_0x")
    assert values["scope"]["name"] == "all"
    assert bank["make"] == ([] if values["head"]["name"] == "baseline" else ["train", "val"])
    assert (bank["seconds"], bank["dtype"], bank["box_threshold"]) == ("annotated", "fp16", 0.9)
    for block in (values["baseline"], values["head_train"], evaluation, bank):
        assert block["lower_threshold"]
        assert block["compute_dtype"] == "fp32"
    assert values["baseline"]["full_frame_box"]
    assert bank["full_frame_box"]
    assert values["frames"]["short_side"] == 320
    assert values["frames"]["fps"] == (25 if values["dataset"]["name"] == "multisports" else 30)
    # MMAction2 counts AVA's files from 1 twice, AVA-Kinetics' not at all (tests/video/test_clips.py).
    late = {"ava21": 1, "ava22": 1, "ava_kinetics": -1, "multisports": 0}[values["dataset"]["name"]]
    assert values["backbone"]["input"]["offset_frames"] == late
    assert ("memory_mb" in reported) or "GPU memory is not reported" in reported["note"]


def test_the_page_has_the_table_of_the_rows() -> None:
    page = PAGE.read_text()
    assert page == with_table(page), "write it with `python -m tests.recipes`"


def test_the_command_reads_what_is_counted_now() -> None:
    assert COUNTED.read_text() == counted_text(), "write it with `python -m tests.recipes`"


def test_the_example_for_other_data_composes(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    (conf / "experiment" / "mine.yaml").write_text(example)
    (conf / "dataset" / "mine.yaml").write_text((CONF / "dataset" / "ava22.yaml").read_text().replace("ava22", "mine"))
    values = compose_params(["+experiment=mine"], conf)
    published = rows()["ava22_slowfast_r50_8x8_temporal_max"]
    for block in ("roi", "evaluation", "bank", "head", "labels"):
        assert values[block] == published[block]
    changed = {"global_batch": 12, "auto_scale_lr": True}
    assert values["baseline"] == {**published["baseline"], **changed}
    assert "reported" not in values

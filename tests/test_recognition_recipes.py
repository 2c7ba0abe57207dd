"""Published rows of recognition have the numbers of MMAction2's configurations, value for value."""

from functools import cache
from typing import Any

import pytest

from pipeline.params.recognition import RecognitionParams
from pipeline.project.compose import compose_params
from tests.recipes import CONF, fixture

VERSIONS = {1: {2: 4, 30: 41, 52: 66}, 2: {86: 87, 93: 94, 166: 167}}
"Of Something-Something: the classes that a mirrored clip exchanges."


@cache
def row(version: int) -> tuple[RecognitionParams, dict[str, Any]]:
    """The block of a row, and its fixture."""
    block = compose_params([f"+experiment=sthv{version}_trn_r50"], CONF)["recognition"]
    params = RecognitionParams.model_validate(block)
    assert params.reported is not None
    assert params.reported.fixture == f"trn-r50-1x1x8-sthv{version}"
    return params, fixture(params.reported.fixture)


def step(pipeline: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(each for each in pipeline if each["type"] == kind)


@pytest.mark.parametrize("version", VERSIONS)
def test_training_is_that_of_upstream(version: int) -> None:
    params, source = row(version)
    upstream, train = source["training"], params.train
    wrapper, decay = upstream["optim_wrapper"], upstream["param_scheduler"]
    assert wrapper["constructor"] == "TSMOptimWrapperConstructor"  # tests/interop/test_trn_steps.py holds its groups
    assert wrapper["paramwise_cfg"] == {"fc_lr5": False}
    assert wrapper["clip_grad"]["norm_type"] == 2
    assert [(each["type"], each["begin"], each["by_epoch"]) for each in decay] == [("MultiStepLR", 0, True)]
    epochs = upstream["train_cfg"]["max_epochs"]
    assert (train.optimiser, train.decay, train.bias_lr_factor, train.nesterov) == ("sgd", "weights", 2.0, False)
    optimiser = wrapper["optimizer"]
    assert (train.lr, train.momentum, train.weight_decay) == (
        optimiser["lr"], optimiser["momentum"], optimiser["weight_decay"],
    )  # fmt: skip
    assert train.clip_norm == wrapper["clip_grad"]["max_norm"]
    schedule = train.schedule
    assert (schedule.epochs, schedule.decay, schedule.warmup_epochs, schedule.epoch_steps) == (
        epochs,
        "step",
        0,
        "pass",
    )
    assert (schedule.milestones, schedule.gamma) == (decay[0]["milestones"], decay[0]["gamma"])
    assert train.norm == ("partial" if source["hyper"]["backbone"]["partial_bn"] else "batch")
    assert train.bn_batch == upstream["train"]["batch_size"]
    assert train.global_batch == train.base_batch == 8 * train.bn_batch  # `_8xb16-` in the configuration's name
    assert train.validation.interval == upstream["train_cfg"]["val_interval"]


@pytest.mark.parametrize("version", VERSIONS)
def test_head_and_views_are_those_of_upstream(version: int) -> None:
    params, source = row(version)
    head, upstream, shown = params.head, source["hyper"]["head"], params.backbone.input
    assert (head.dropout, head.channels, head.hidden) == (
        upstream["dropout_ratio"], upstream["hidden_dim"], upstream["bottleneck_dim"],
    )  # fmt: skip
    assert (head.name, head.per_scale) == ("trn_multiscale", max(upstream["subsample"]))
    assert (params.backbone.segments, params.dataset.classes) == (upstream["num_segments"], upstream["num_classes"])
    pipeline = source["training"]["train"]["pipeline"]
    crop, flip = step(pipeline, "MultiScaleCrop"), step(pipeline, "Flip")
    assert (shown.short_side, shown.crop) == (step(pipeline, "Resize")["scale"][1], crop["input_size"])
    views = params.train.views
    assert (list(views.scales), views.scales_apart) == (crop["scales"], crop["max_wh_scale_gap"])
    assert (views.flip, views.flip_probability) == ("mapped", flip["flip_ratio"])
    swaps = {int(key): value for key, value in flip["flip_label_map"].items()}
    assert swaps == VERSIONS[version] | {value: key for key, value in VERSIONS[version].items()}
    tested = source["training"]["test"]["pipeline"]
    assert shown.short_side == step(tested, "ThreeCrop")["crop_size"]
    assert step(source["training"]["val"]["pipeline"], "CenterCrop")["crop_size"] == shown.crop

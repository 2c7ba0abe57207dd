"""Build the RoI settings and the head that a configuration of MMAction2 describes; see `mmaction2_model`."""

from dataclasses import dataclass

from torch import nn

from pipeline.interop.checked_config import Checked
from pipeline.models.detector import Backbone, Detector
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.models.roi import roi_channels
from pipeline.models.settings import RoiSettings

_FBO = {"FBONonLocal": "lfb_nl", "FBOMax": "lfb_max", "FBOAvg": "lfb_avg"}
_POOLED = "AdaptiveMaxPool3d(output_size=(None, 1, 1))"
_POOLED_MEAN = "AdaptiveAvgPool3d(output_size=(None, 1, 1))"
_ONE_FRAME = tuple(f"Adaptive{kind}Pool3d(output_size=(1, None, None))" for kind in ("Avg", "Max"))


@dataclass(frozen=True)
class DescribedModel:
    """A detector, and how its inputs and outputs are treated."""

    detector: Detector
    columns: int
    multilabel: bool
    frame_step: int = 1
    "The detector gets every `frame_step`-th frame of the clip."
    mean_pooled: bool = False
    "True if persons are pooled by the mean of their cells, false for the maximum."
    window_seconds: int = 0
    "Length of a bank window; 0 if no bank is read."
    per_second: int = 0
    "Slots per second of the window."
    bank_channels: int = 0
    collects: bool = False
    "True if the fixture also has the features that go into a bank, in half precision."

    @property
    def window_slots(self) -> int:
        """Return the number of slots of a bank window; 0 if no bank is read."""
        return self.window_seconds * self.per_second


def described_roi(given: Checked, backbone: Backbone) -> RoiSettings:
    """Return the settings by which `roi_extractor` cuts persons out of the maps."""
    given.fixed("roi_layer_type", "RoIAlign")
    given.one_of("featmap_stride", backbone.stride)
    given.fixed("spatial_scale", 1 / backbone.stride)
    given.fixed("sampling_ratio", 0)
    given.fixed("pool_mode", "avg")
    given.fixed("with_temporal_pool", True)
    size = given.take("output_size")
    if isinstance(size, list) and len(set(size)) == 1:
        size = size[0]
    if type(size) is not int or size < 1:
        given.refuse("output_size", size, "a whole number")
    return RoiSettings(
        output_size=size,
        temporal="mean" if given.one_of("temporal_pool_mode", "avg", "max") == "avg" else "max",
        context="global" if given.flag("with_global") else "none",
        aligned=given.flag("aligned"),
    )


def described_detector(given: Checked, backbone: Backbone, roi: RoiSettings, frame_step: int) -> DescribedModel:
    """Return the detector with the head that `bbox_head` and, if present, `shared_head` describe."""
    box = given.block("bbox_head")
    box.without_effect("topk", "dropout_ratio", "dropout_before_pool", "focal_alpha", "focal_gamma", "background_class")
    # Maps have one frame here, so this pooling has no effect.
    box.fixed("temporal_pool_type", "avg", "max")
    mean_pooled = box.one_of("spatial_pool_type", "max", "avg") == "avg"
    columns, multilabel, mlp = box.integer("num_classes"), box.flag("multilabel"), box.flag("mlp_head")
    channels = roi_channels(backbone.out_channels, roi)
    name, collects = "linear", False
    options: dict[str, int] = {}
    bank: dict[str, int] = {}
    if given.values.get("shared_head") is not None:
        shared = given.block("shared_head")
        kind = shared.one_of("type", "ACRNHead", "FBOHead", "LFBInferHead")
        if kind == "ACRNHead":
            if mean_pooled:
                box.refuse("spatial_pool_type", "avg", "'max' behind an ACRNHead")
            name, options = "acrn", _acrn(shared, channels, backbone.out_channels)
        elif kind == "FBOHead":
            # The output of an FBOHead has one cell, so the pooling of bbox_head has no effect.
            mean_pooled = _pooled_by_mean(shared)
            name, options, bank = _fbo(shared, channels)
        else:
            collects = True
            if _pooled_by_mean(shared):
                shared.refuse("spatial_pool", _POOLED_MEAN, repr(_POOLED))
            shared.one_of("use_half_precision", True)
    else:
        given.without_effect("shared_head")
    settings = HeadSettings(
        roi_channels=channels,
        bank_channels=bank.get("bank_channels", 0),
        map_channels=backbone.out_channels,
        classes=columns,
        mask="none",
        mlp=mlp,
    )
    head = build_head(name, settings, options)
    box.one_of("in_channels", _classifier_inputs(head))
    return DescribedModel(
        Detector(backbone, head, roi=roi), columns, multilabel, frame_step, mean_pooled, collects=collects, **bank
    )


def _classifier_inputs(head: Head) -> int:
    first = next(each for each in head.classifier.modules() if isinstance(each, nn.Linear))
    return first.in_features


def _acrn(shared: Checked, channels: int, map_channels: int) -> dict[str, int]:
    shared.one_of("in_channels", channels + map_channels)
    shared.one_of("out_channels", map_channels)
    shared.fixed("stride", 1)
    return {"convs": shared.integer("num_convs")}


def _pooled_by_mean(shared: Checked) -> bool:
    """Return whether persons are pooled by the mean of their cells."""
    shared.fixed("temporal_pool", *_ONE_FRAME)
    return "spatial_pool" in shared.values and shared.one_of("spatial_pool", _POOLED, _POOLED_MEAN) == _POOLED_MEAN


def _fbo(shared: Checked, channels: int) -> tuple[str, dict[str, int], dict[str, int]]:
    """Return name and options of the head, and the fields of `DescribedModel` about its window."""
    name = _FBO[shared.one_of("fbo", *_FBO)]
    bank = shared.block("lfb_cfg")
    bank.without_effect("dataset_modes", "device")
    window = {
        "window_seconds": bank.integer("window_size"),
        "per_second": bank.integer("max_num_sampled_feat"),
        "bank_channels": bank.integer("lfb_channels"),
    }
    slots = window["window_seconds"] * window["per_second"]
    fbo = shared.block("fbo_cfg")
    fbo.without_effect("st_feat_dropout_ratio", "lt_feat_dropout_ratio", "zero_init_out_conv")
    if name != "lfb_nl":
        fbo.without_effect(*fbo.values)  # this operator has no parameters, so no setting affects it
        return name, {}, window
    fbo.one_of("st_feat_channels", channels)
    fbo.one_of("lt_feat_channels", window["bank_channels"])
    fbo.fixed("num_st_feat", 1)
    fbo.fixed("num_lt_feat", slots)
    fbo.fixed("use_scale", True)
    fbo.fixed("pre_activate", True)
    fbo.fixed("pre_activate_with_ln", True)
    latent, layers = fbo.integer("latent_channels"), fbo.integer("num_non_local_layers")
    if "non_local_layer" in shared.values:
        layer = shared.block("non_local_layer")
        layer.without_effect("dropout_ratio", "zero_init_out_conv")
        for key in ("use_scale", "pre_activate", "pre_activate_with_ln"):
            layer.fixed(key, True)
        layer.fixed("latent_channels", latent)
        layer.fixed("num_st_feat", 1)
        layer.fixed("num_lt_feat", slots)
        layer.fixed("ln_normalized_shape", [latent, 1, 1, 1])
        layer.fixed("ln_eps", 1e-5)
    return name, {"layers": layers, "latent": latent}, window

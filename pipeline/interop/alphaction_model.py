"""Build the detector that a configuration of AlphAction describes (the `resolved_config` of a parity fixture)."""

from dataclasses import dataclass
from typing import Any, Literal

from pipeline.interop.checked_config import Checked
from pipeline.models.backbones.alphaction_slowfast import alphaction_pathways, alphaction_slowfast
from pipeline.models.backbones.resnet3d import R50, R101
from pipeline.models.backbones.slowfast import SlowFast
from pipeline.models.detector import Detector
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.models.roi import roi_channels
from pipeline.models.settings import RoiSettings
from pipeline.tables.window_span import Span

_BLOCKS = {"Slowfast-Resnet50": R50, "Slowfast-Resnet101": R101}
_HEADS = {"serial": "aia_serial", "dense": "aia_dense_serial", "parallel": "aia_parallel"}


@dataclass(frozen=True)
class Structure:
    """What an interaction structure is made of, and what it reads."""

    head: str
    order: str
    latent: int
    persons: int
    objects: int
    before: int
    "Seconds of the window before the keyframe's own."
    after: int
    per_second: int

    @property
    def seconds(self) -> int:
        """Return the length of the window."""
        return self.before + 1 + self.after


@dataclass(frozen=True)
class DescribedDetector:
    """A detector of AlphAction, and how its inputs and outputs are treated."""

    detector: Detector
    tau: int
    alpha: int
    groups: tuple[int, int, int]
    "Numbers of classes, in order of id: one softmax, then sigmoids."
    structure: Structure | None
    "None for a baseline."


def describe_alphaction(config: Any) -> DescribedDetector:
    """Build the detector of a fixture's `resolved_config`, on torch's default device, with any weights.

    Raises:
        InputError: a key has a value that is not supported, or is not known.
    """
    given = Checked(config, "resolved_config")
    given.without_effect("DATASETS", "DATALOADER", "SOLVER", "OUTPUT_DIR")
    model = given.block("MODEL")
    model.without_effect("WEIGHT", "NONLOCAL")  # there is no non-local block, see `_backbone`
    inputs = given.block("INPUT")
    tau, alpha = inputs.integer("TAU"), inputs.integer("ALPHA")
    if tau % alpha or tau < 2:
        inputs.refuse("TAU", tau, f"a multiple of ALPHA {alpha}, of at least 2")
    inputs.without_effect(*inputs.values)  # how clips are made; a fixture already has the clip
    backbone = _backbone(model.block("BACKBONE"), tau, alpha)
    head = model.block("ROI_ACTION_HEAD")
    test = given.block("TEST")
    roi = _roi(head, test.take("EXTEND_SCALE"), test, backbone)
    test.without_effect(*test.values)
    channels = roi_channels(backbone.out_channels, roi)
    structure = _structure(model.block("IA_STRUCTURE"), channels)
    names = ("NUM_PERSON_MOVEMENT_CLASSES", "NUM_OBJECT_MANIPULATION_CLASSES", "NUM_PERSON_INTERACTION_CLASSES")
    first, second, third = (head.integer(name, least=0) for name in names)
    classes = head.one_of("NUM_CLASSES", first + second + third)
    hidden = head.integer("MLP_HEAD_DIM")
    head.without_effect(*_TRAINING)
    given.finish()
    built = _head(structure, channels, classes, hidden)
    return DescribedDetector(Detector(backbone, built, roi=roi), tau, alpha, (first, second, third), structure)


_TRAINING = (
    "DROPOUT_RATE", "PROPOSAL_PER_CLIP", "POSE_LOSS_WEIGHT", "OBJECT_LOSS_WEIGHT", "PERSON_LOSS_WEIGHT", "FOCAL_LOSS",
)  # fmt: skip


def _head(structure: Structure | None, channels: int, classes: int, hidden: int) -> Head:
    if structure is None:
        settings = HeadSettings(roi_channels=channels, bank_channels=0, classes=classes)
        return build_head("two_layer", settings, {"hidden": hidden})
    spans: dict[tuple[bool, bool], Span] = {(True, False): "past", (False, True): "future"}
    settings = HeadSettings(
        roi_channels=channels,
        bank_channels=channels if "M" in structure.order else 0,
        classes=classes,
        mask="none",
        window_seconds=structure.seconds,
        span=spans.get((structure.before > 0, structure.after > 0), "centred"),
        per_second=structure.per_second,
        objects=structure.objects if "O" in structure.order else 0,
    )
    options = {"order": structure.order, "latent": structure.latent, "hidden": hidden, "persons": structure.persons}
    return build_head(structure.head, settings, options)


def _backbone(given: Checked, tau: int, alpha: int) -> SlowFast:
    blocks = _BLOCKS[given.one_of("CONV_BODY", *_BLOCKS)]
    given.fixed("FROZEN_BN", True)
    given.fixed("BN_EPSILON", 1e-5)
    given.without_effect("BN_MOMENTUM", "BN_INIT_GAMMA", "I3D")
    slowfast = given.block("SLOWFAST")
    beta = slowfast.take("BETA")
    inverse = 1 / beta if type(beta) is float and 0 < beta <= 1 else 0.0
    if inverse not in (1, 2, 4, 8, 16, 32):
        slowfast.refuse("BETA", beta, "1, 1/2, 1/4, ... to 1/32")
    slowfast.one_of("LATERAL", "tconv")
    for name in ("SLOW", "FAST"):
        path = slowfast.block(name)
        path.one_of("ACTIVE", True)
        for key in ("CONV3_NONLOCAL", "CONV4_NONLOCAL"):
            path.one_of(key, False)
        path.without_effect("CONV3_GROUP_NL")
    return alphaction_slowfast(blocks, 64, alphaction_pathways(tau=tau, alpha=alpha, beta=int(inverse)))


def _roi(head: Checked, extend: Any, test: Checked, backbone: SlowFast) -> RoiSettings:
    head.one_of("FEATURE_EXTRACTOR", "2MLPFeatureExtractor")
    head.one_of("PREDICTOR", "FCPredictor")
    head.one_of("POOLER_TYPE", "align3d")
    head.one_of("POOLER_SCALE", 1 / backbone.stride)
    head.one_of("POOLER_SAMPLING_RATIO", 0)
    head.one_of("MEAN_BEFORE_POOLER", True)
    pair = _pair(extend)
    if pair is None:
        test.refuse("EXTEND_SCALE", extend, "two numbers of at least 0")
    return RoiSettings(
        output_size=head.integer("POOLER_RESOLUTION"),
        aligned=False,
        extend_x=pair[0],
        extend_y=pair[1],
    )


def _structure(given: Checked, channels: int) -> Structure | None:
    if not given.flag("ACTIVE"):
        given.without_effect(*given.values)
        return None
    kind: Literal["serial", "dense", "parallel"] = given.one_of("STRUCTURE", *_HEADS)
    order = _order(given, kind)
    for key in ("DIM_IN", "DIM_OUT"):
        given.one_of(key, channels)
    given.one_of("FUSION", "add")
    for key in ("LAYER_NORM", "TEMPORAL_POSITION", "ROI_DIM_REDUCE"):
        given.one_of(key, True)
    given.fixed("NO_BIAS", False)
    length = given.take("LENGTH")
    pair = _pair(length)
    before, after = (int(each) for each in pair or (0, 0))
    if pair is None or length != [before, after] or (before and after and before - after not in (0, 1)):
        given.refuse(
            "LENGTH", length, "two equal numbers of seconds, a first that is larger by 1, or a 0 beside any other"
        )
    given.without_effect("PENALTY", "MEMORY_RATE", "CONV_INIT_STD", "DROPOUT", "USE_ZERO_INIT_CONV")
    return Structure(
        head=_HEADS[kind],
        order=order,
        latent=given.integer("DIM_INNER"),
        persons=given.integer("MAX_PERSON"),
        objects=given.integer("MAX_OBJECT", least=1 if "O" in order else 0),
        before=before,
        after=after,
        per_second=given.integer("MAX_PER_SEC"),
    )


def _order(given: Checked, kind: str) -> str:
    """Return the letters of the blocks; those of parallel chains one level after the other."""
    value = given.take("I_BLOCK_LIST")
    rows = value if isinstance(value, list) else []
    if kind == "parallel":
        if not all(isinstance(row, list) and row == rows[0] and len(set(row)) == len(row) for row in rows):
            given.refuse("I_BLOCK_LIST", value, "equal lists of different letters")
        rows = [letter for row in rows for letter in row]
    if not rows or any(letter not in ("P", "O", "M") for letter in rows):
        given.refuse("I_BLOCK_LIST", value, "letters P, O and M")
    return "".join(rows)


def _pair(value: Any) -> tuple[float, float] | None:
    """Return two numbers of at least 0, or None if the value is no such pair."""
    if isinstance(value, list) and len(value) == 2 and all(type(each) in (int, float) and each >= 0 for each in value):
        return float(value[0]), float(value[1])
    return None

"""Read a parity fixture: the model that it describes, its inputs, and the numbers that upstream computed.

A fixture is `NAME.json` beside `NAME.npz`; the README beside them has the rules for weights, inputs and tensors.
"""

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.base.files import read_json
from pipeline.interop import mmaction2, pyslowfast
from pipeline.interop.mmaction2_head import DescribedModel
from pipeline.interop.mmaction2_model import describe_mmaction2
from pipeline.interop.pyslowfast_model import describe_pyslowfast
from pipeline.interop.reading import reading

Array = np.ndarray[Any, Any]
# These compare upstream with itself, so there is nothing to check.
_ABOUT_UPSTREAM = ("torchvision_roi_align_vs_mmcv_max_abs_logit_diff", "fp32_vs_fp64_max_abs_logit_diff")


@dataclass
class Expected:
    """What a fixture states about one tensor."""

    shape: tuple[int, ...] | None = None
    statistics: dict[str, float] = field(default_factory=dict)
    "mean, std (population) and absmax, as far as given."
    values: dict[str, Array] = field(default_factory=dict)
    "`full`, `first64`, `strided64`, `rows_first32` or `rows_mean`."


@dataclass(frozen=True)
class Run:
    """One forward pass of a fixture."""

    variant: str
    "Empty, or the name of another input under `variants` with a slash; it prefixes the names of tensors."
    window: str
    "The bank window: empty, `padded/` or `empty/`; it prefixes the names of the tensors that it changes."
    clip_shape: tuple[int, ...]
    boxes_xyxy: Tensor
    clip_index: Tensor
    seed: int


@dataclass
class Fixture:
    """A fixture after reading and checking."""

    name: str
    upstream: str
    model: DescribedModel
    state: dict[str, Tensor]
    "Weights by the README's rule, under upstream's keys."
    rename: Callable[[str], str | None]
    parameters: int
    buffers: int | None
    runs: list[Run]
    expected: dict[tuple[str, str], dict[str, Expected]]
    "By (variant, window), then by name of the tensor."
    window_seed: int = 1

    @property
    def tensors(self) -> int:
        """Return the number of tensors to compare."""
        return sum(len(each) for each in self.expected.values())


def rule_weight(key: str, shape: Iterable[int]) -> Tensor:
    """Draw a weight by the rule of all fixtures, with the crc32 of its key as seed."""
    random = np.random.RandomState(zlib.crc32(key.encode()))
    size = tuple(shape)
    if key.endswith("num_batches_tracked"):
        return torch.zeros(size, dtype=torch.int64)
    if key.endswith("running_var"):
        values = 0.5 + random.random_sample(size)
    elif key.endswith(("running_mean", "bias")):
        values = 0.1 * random.standard_normal(size)
    elif len(size) == 1:
        values = 1 + 0.1 * random.standard_normal(size)
    else:
        values = random.standard_normal(size) / np.sqrt(np.prod(size[1:]))
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def read_fixture(path: Path) -> Fixture:
    """Read a fixture and build, on the meta device, the model that it describes.

    Args:
        path: the JSON file; the npz lies beside it with the same stem.

    Raises:
        InputError: a file is absent or of another kind, a hyper-parameter is not supported, or the fixture has an
            unknown tensor.
    """
    facts = read_json(path)
    facts = facts if isinstance(facts, dict) else {}
    config = facts.get("resolved_config")
    model = config.get("MODEL") if isinstance(config, dict) else None
    foreign = not isinstance(model, dict) or "ARCH" not in model
    if "state_dict" not in facts or ("hyper" not in facts and foreign):
        raise InputError(
            f"{path}: no parity fixture of a detector: it has neither hyper (MMAction2) nor a resolved_config of "
            "PySlowFast beside state_dict"
        )
    arrays = read_arrays(path.with_suffix(".npz"))
    with reading(path), torch.device("meta"):
        fixture = (_mmaction2 if "hyper" in facts else _pyslowfast)(path, facts, arrays)
    if not fixture.expected.get(("", ""), {}).keys() & {"cls_score", "logits"}:
        raise InputError(f"{path}: not a whole fixture: it has no logits (cls_score or logits) to compare with")
    return fixture


def read_arrays(path: Path) -> dict[str, Array]:
    """Read an archive of arrays.

    Raises:
        InputError: the file is absent or damaged, or an array does not hold numbers.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception:  # a damaged archive can raise any exception
        raise InputError(f"{path}: cannot be read: it is no whole archive of arrays of numbers") from None
    for name, values in arrays.items():
        if values.dtype.kind not in "fiub":
            raise InputError(f"{path}: {name} is of type {values.dtype}, expected numbers")
    return arrays


def _state(facts: dict[str, Any]) -> dict[str, Tensor]:
    with torch.device("cpu"):
        return {key: rule_weight(key, shape) for key, shape, *_ in facts["state_dict"]}


def _run(variant: str, window: str, facts: dict[str, Any]) -> Run:
    boxes = [box for clip in facts["boxes_xyxy"] for box in clip]
    with torch.device("cpu"):
        run = Run(
            variant,
            window,
            tuple(facts["input"]["shape"]),
            torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            torch.tensor(facts["roi_batch_index"], dtype=torch.int64),
            facts["input"]["seed"],
        )
    return checked_run(run)


def checked_run(run: Run) -> Run:
    """Return the run, whose clip and boxes fit each other.

    Raises:
        InputError: the clip's shape is none of clips, or a box is of a clip that is not there.
    """
    shape = run.clip_shape
    if len(shape) != 5 or shape[1] != 3 or not all(type(size) is int and size > 0 for size in shape):
        raise InputError(f"a clip's shape is {list(shape)}, expected [clips, 3, frames, height, width]")
    index = run.clip_index.tolist()
    if len(index) != len(run.boxes_xyxy) or not all(0 <= each < shape[0] for each in index):
        raise InputError(f"clips of boxes are {index}, expected {len(run.boxes_xyxy)} of 0 to {shape[0] - 1}")
    return run


def _mmaction2(path: Path, facts: dict[str, Any], arrays: dict[str, Array]) -> Fixture:
    model = describe_mmaction2(facts["hyper"])
    variants = {"": facts, **{f"{name}/": each for name, each in facts.get("variants", {}).items()}}
    expected: dict[tuple[str, str], dict[str, Expected]] = {}

    def place(name: str) -> Expected:
        variant = next((each for each in variants if each and name.startswith(each)), "")
        rest = name.removeprefix(variant)
        window = next((each for each in ("padded/", "empty/") if rest.startswith(each)), "")
        if window and not model.window_slots:
            raise InputError(f"tensor {name} is of a bank window, the model reads none")
        return expected.setdefault((variant, window), {}).setdefault(rest.removeprefix(window), Expected())

    for each in variants.values():
        for name, known in each["tensors"].items():
            if name.endswith(_ABOUT_UPSTREAM):
                continue
            if not isinstance(known, dict):
                raise InputError(f"tensor {name} is {known!r}, which is not known here")
            tensor = place(name.removesuffix("_stats"))
            tensor.shape = tuple(known["shape"]) if "shape" in known else tensor.shape
            tensor.statistics |= {key: known[key] for key in ("mean", "std", "absmax") if key in known}
    for name, values in arrays.items():
        stem, _, part = name.rpartition("/")
        if part in ("first64", "strided64"):
            place(stem).values[part] = values
        else:
            place(name).values["full"] = values
    runs = [_run(variant, window, variants[variant]) for variant, window in expected]
    lfb = facts.get("lfb")
    if model.window_slots:
        wanted = [len(runs[0].boxes_xyxy), model.window_slots, model.bank_channels]
        if not lfb or list(lfb["shape"]) != wanted:
            raise InputError(f"lfb.shape is {lfb and lfb['shape']}, expected {wanted}: persons, slots, channels")
    return Fixture(
        name=facts.get("fixture", path.stem),
        upstream=f"MMAction2 {facts.get('upstream_version', '')}".strip(),
        model=model,
        state=_state(facts),
        rename=mmaction2.our_key,
        parameters=facts["parameter_count"],
        # Upstream also counts mean and spread of the data preprocessor, three numbers each.
        buffers=facts["buffer_count"] - 6 if "buffer_count" in facts else None,
        runs=runs,
        expected=expected,
        window_seed=lfb["seed"] if lfb else 1,
    )


def _pyslowfast(path: Path, facts: dict[str, Any], arrays: dict[str, Array]) -> Fixture:
    model = describe_pyslowfast(facts["resolved_config"])
    state = _state(facts)
    paths = pyslowfast.count_pathways(state)
    tensors: dict[str, Expected] = {}
    for name, values in arrays.items():
        stem, _, part = name.rpartition(".")
        if part == "stat":
            tensors.setdefault(stem, Expected()).statistics = {"mean": float(values[0]), "std": float(values[1])}
        elif part == "shape":
            tensors.setdefault(stem, Expected()).shape = tuple(int(each) for each in values)
        elif part in ("first64", "strided64"):
            tensors.setdefault(stem, Expected()).values[part] = values
        else:
            tensors.setdefault(name, Expected()).values["full"] = values
    given = facts["inputs"]
    with torch.device("cpu"):
        rois = torch.tensor(facts["rois_batchidx_xyxy"], dtype=torch.float32).reshape(-1, 5)
    shape = (given["B"], 3, given["T"], given["H"], given["W"])
    return Fixture(
        name=facts.get("name", path.stem),
        upstream="PySlowFast",
        model=model,
        state=state,
        rename=lambda key: pyslowfast.our_key(key, pathways=paths),
        parameters=facts["n_parameters"],
        buffers=None,
        runs=[checked_run(Run("", "", shape, rois[:, 1:], rois[:, 0].long(), 0))],
        expected={("", ""): tensors},
    )

"""Fit a foreign state dict to the keys and shapes of ours, and report what happened to every key."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.interop.exchange_options import Background

NORM_EPS = 1e-5


@dataclass(frozen=True)
class ConversionReport:
    """What happened to each key. Keys of `missing` and `made` are ours, all others are the source's."""

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    "Keys of our model that the source lacks."
    unexpected: tuple[str, ...]
    "Keys of the source that our model lacks."
    reshaped: tuple[str, ...]
    "Keys among `loaded` whose values were reshaped, with both shapes."
    dropped: tuple[str, ...] = field(default=())
    "Keys of the source that were left out, because they are not weights or on request."
    made: tuple[str, ...] = field(default=())
    "Keys of our model that are not in the source but were computed from it."

    def as_dict(self) -> dict[str, list[str]]:
        """Return the report as a dict for JSON."""
        return {name: list(keys) for name, keys in asdict(self).items()}

    def counts(self) -> dict[str, int]:
        """Return the number of keys of each kind."""
        return {name: len(keys) for name, keys in asdict(self).items()}


def fit_state(
    source: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    rename: Callable[[str], str | None],
    *,
    background: Background = "keep",
    drop: Collection[str] = (),
    partial: bool = False,
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Convert a state dict to our keys and shapes.

    1x1x1 convolutions become linear layers if ours are linear; a LayerNorm of shape [d, 1, 1, 1] becomes one of [d]. A
    kernel without a time axis is inflated: repeated over the T frames of ours and divided by T. A batch norm that was
    folded into scale and bias gets statistics that leave its result unchanged; an absent `num_batches_tracked` is 0.

    Args:
        source: the foreign state dict.
        expected: `state_dict()` of our model; only keys, types and shapes are read.
        rename: returns our name of a foreign key, or None if there is no counterpart.
        background: drop row 0 of the last classifier layer, or keep it.
        drop: keys of the source to leave out.
        partial: report missing and unexpected keys instead of raising an error.

    Returns:
        A state dict with the keys of `expected`, and the report.

    Raises:
        InputError: a shape does not fit, two keys get the same name, or keys are missing or unexpected and `partial` is
            false.
    """
    kept = {key: value for key, value in source.items() if key not in drop}
    state, unexpected, reshaped = _placed(kept, expected, rename, background)
    made = _complete_norms(state, expected)
    state |= made
    missing = tuple(key for key in expected if key not in state)
    if (missing or unexpected) and not partial:
        raise InputError(
            f"state dict does not fit the model: {len(missing)} keys missing{some(missing)}, "
            f"{len(unexpected)} unexpected{some(unexpected)}"
        )
    left = {*unexpected, *drop}
    return state, ConversionReport(
        loaded=tuple(key for key in source if key not in left),
        missing=missing,
        unexpected=tuple(unexpected),
        reshaped=tuple(reshaped),
        dropped=tuple(key for key in source if key in drop),
        made=tuple(made),
    )


def _placed(
    source: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    rename: Callable[[str], str | None],
    background: Background,
) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """Return the tensors under our names, the source's keys without a counterpart, and lines on what was reshaped."""
    state: dict[str, Tensor] = {}
    places: dict[str, str] = {}
    unexpected: list[str] = []
    reshaped: list[str] = []
    last = last_layer(expected)
    for key, value in source.items():
        ours = rename(key)
        if ours is None or ours not in expected:
            unexpected.append(key)
            continue
        if ours in places:
            raise InputError(f"{key} and {places[ours]} both stand for {ours}")
        places[ours] = key
        cut = background == "drop" and ours in last
        fitted, change = _fit(value[1:] if cut else value, expected[ours])
        found = f"{tuple(value.shape)}{' without its background row' if cut else ''}"
        if fitted is None:
            raise InputError(f"{key}: shape is {found}, expected {tuple(expected[ours].shape)} for {ours}")
        state[ours] = fitted
        if cut or change:
            reshaped.append(f"{key}: {found} to {tuple(expected[ours].shape)}{change if change != 'shape' else ''}")
    return state, unexpected, reshaped


def last_layer(keys: Collection[str]) -> set[str]:
    """Return weight and bias of the classifier's last layer among our keys."""
    return {
        f"head.classifier.{'2.' if 'head.classifier.2.weight' in keys else ''}{name}" for name in ("weight", "bias")
    }


def _fit(value: Tensor, wanted: Tensor) -> tuple[Tensor | None, str]:
    """Return the value in the wanted shape and type, and what was done; None if it does not fit."""
    if value.is_floating_point() != wanted.is_floating_point():
        return None, ""
    shape = tuple(wanted.shape)
    flat = value.dim() == 4 and len(shape) == 5
    if flat and tuple(value.shape) == (*shape[:2], *shape[3:]):
        repeated = value.to(wanted.dtype).unsqueeze(2).repeat(1, 1, shape[2], 1, 1) / shape[2]
        return repeated, ", inflated over time"
    if _without_trailing_ones(value.shape) != _without_trailing_ones(shape):
        return None, ""
    return value.to(wanted.dtype).reshape(shape).contiguous(), "" if tuple(value.shape) == shape else "shape"


def _complete_norms(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the missing statistics of folded batch norms, and the batch counters, which nothing reads."""
    made = {}
    for key, wanted in expected.items():
        stem, _, name = key.rpartition(".")
        if key in state or f"{stem}.weight" not in state or f"{stem}.bias" not in state:
            continue
        folded = f"{stem}.running_mean" not in state and f"{stem}.running_var" not in state
        if name == "num_batches_tracked":
            made[key] = torch.zeros_like(wanted, device="cpu")
        elif name == "running_mean" and folded:
            made[key] = torch.zeros(wanted.shape)
        elif name == "running_var" and folded:
            # With this variance, (x - 0) / sqrt(var + eps) is x.
            made[key] = torch.full(wanted.shape, 1 - NORM_EPS)
    return made


def _without_trailing_ones(shape: Sequence[int]) -> tuple[int, ...]:
    kept = list(shape)
    while kept and kept[-1] == 1:
        kept.pop()
    return tuple(kept)


def some(keys: Sequence[str]) -> str:
    """Return the first keys in brackets, for a message."""
    return f" ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})" if keys else ""

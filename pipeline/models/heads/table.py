"""The table of heads. A new head is one function, one `conf/head/<name>.yaml` and one line here.

Only what trains or scores a head imports this file: the baseline and the bank take `linear` from its own
module, so that a new head makes neither of them anew.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.errors import InputError
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.lfb_nl import lfb_nl
from pipeline.models.heads.lfb_pool import lfb_avg, lfb_max
from pipeline.models.heads.linear import linear

HEADS: dict[str, Callable[..., Head]] = {
    "linear": linear,
    "lfb_nl": lfb_nl,
    "lfb_max": lfb_max,
    "lfb_avg": lfb_avg,
}


def build_head(name: str, settings: HeadSettings, options: Mapping[str, Any] | None = None) -> Head:
    """Build a head; weights are drawn from torch's global generator.

    Args:
        name: a key of `HEADS`.
        settings: what every head is told.
        options: keyword arguments of the head's function, e.g. `{"layers": 3}` for `lfb_nl`.

    Raises:
        InputError: the head or an option is unknown, an option is of another type than its default, or the
            head reads a bank and `bank_channels` is 0.
    """
    if name not in HEADS:
        raise InputError(f"head {name}: no such head, expected one of {', '.join(HEADS)}")
    options = options or {}
    known = dict(list(inspect.signature(HEADS[name]).parameters.items())[1:])
    for option, value in options.items():
        if option not in known:
            raise InputError(f"head {name}: unknown option {option}, expected {', '.join(known) or 'none'}")
        kind = type(known[option].default)
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise InputError(f"head {name}: option {option} is {value!r}, expected {kind.__name__}")
    head = HEADS[name](settings, **options)
    if "window" in head.needs and settings.bank_channels == 0:
        raise InputError(f"head {name}: it reads a bank, found bank_channels 0")
    return head


def require_scope(name: str, head: Head, scope: str) -> None:
    """Refuse a scope that the head cannot do.

    Args:
        name: the head's name, for the message.
        head: the head.
        scope: "head" or "all".

    Raises:
        InputError: the head declares other scopes.
    """
    if scope not in head.scopes:
        raise InputError(f"head {name}: it cannot train in scope {scope}, expected {', '.join(sorted(head.scopes))}")

"""The table of heads. A new head is one function, one `conf/head/<name>.yaml` and one line here.

Only code that trains or scores a head imports this file. The baseline and the bank import a shorter table of the heads
that a baseline can have (`pipeline/models/build.py`), so a new head changes the code version of neither, and neither is
computed again.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.base.errors import InputError
from pipeline.models.heads.acar import acar
from pipeline.models.heads.acar_lfb import acar_lfb
from pipeline.models.heads.acrn import acrn
from pipeline.models.heads.aia import aia_dense_serial, aia_parallel, aia_serial
from pipeline.models.heads.aia_split import aia_split
from pipeline.models.heads.choose import choose_head
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.lfb_nl import lfb_nl
from pipeline.models.heads.lfb_nl_split import lfb_nl_split
from pipeline.models.heads.lfb_pool import lfb_avg, lfb_max
from pipeline.models.heads.linear import linear
from pipeline.models.heads.two_layer import two_layer

HEADS: dict[str, Callable[..., Head]] = {
    "linear": linear,
    "two_layer": two_layer,
    "acrn": acrn,
    "acar": acar,
    "acar_lfb": acar_lfb,
    "lfb_nl": lfb_nl,
    "lfb_max": lfb_max,
    "lfb_avg": lfb_avg,
    "lfb_nl_split": lfb_nl_split,
    "aia_parallel": aia_parallel,
    "aia_serial": aia_serial,
    "aia_dense_serial": aia_dense_serial,
    "aia_split": aia_split,
}


def build_head(name: str, settings: HeadSettings, options: Mapping[str, Any] | None = None) -> Head:
    """Build a head; weights are drawn from torch's global generator.

    Args:
        name: a key of `HEADS`.
        settings: the settings that every head gets.
        options: keyword arguments of the head's function, e.g. `{"layers": 3}` for `lfb_nl`.

    Raises:
        InputError: the head or an option is unknown, an option has another type than its default, or the head reads
            a bank or a feature map that the settings do not have.
    """
    return choose_head(HEADS, name, settings, options)


def require_scope(name: str, head: Head, scope: str) -> None:
    """Check that a head can train in a scope.

    Args:
        name: the head's name, for the message.
        head: the head.
        scope: "head" or "all".

    Raises:
        InputError: the head does not list this scope.
    """
    if scope not in head.scopes:
        raise InputError(f"head {name}: it cannot train in scope {scope}, expected {', '.join(sorted(head.scopes))}")

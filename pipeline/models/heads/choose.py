"""Build a head from a table by its name, and check what a user can mistype."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.base.errors import InputError
from pipeline.models.heads.head import Head, HeadSettings


def choose_head(
    table: Mapping[str, Callable[..., Head]],
    name: str,
    settings: HeadSettings,
    options: Mapping[str, Any] | None = None,
) -> Head:
    """Build a head; weights are drawn from torch's global generator.

    Args:
        table: functions that build heads, by name.
        name: a key of `table`.
        settings: the settings that every head gets.
        options: keyword arguments of the head's function, e.g. `{"layers": 3}` for `lfb_nl`.

    Raises:
        InputError: the head or an option is unknown, an option has another type than its default, or the head reads
            a bank, objects or a feature map that the settings do not have.
    """
    if name not in table:
        raise InputError(f"head {name}: no such head, expected one of {', '.join(table)}")
    options = options or {}
    known = dict(list(inspect.signature(table[name]).parameters.items())[1:])
    for option, value in options.items():
        if option not in known:
            raise InputError(f"head {name}: unknown option {option}, expected {', '.join(known) or 'none'}")
        kind = type(known[option].default)
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise InputError(f"head {name}: option {option} is {value!r}, expected {kind.__name__}")
    head = table[name](settings, **options)
    if "window" in head.needs and settings.bank_channels == 0:
        raise InputError(f"head {name}: it reads a bank, found bank_channels 0")
    if ("objects" in head.needs) != bool(settings.objects):
        reads = "reads" if "objects" in head.needs else "does not read"
        raise InputError(f"head {name}: it {reads} objects, found head.objects.per_keyframe {settings.objects}")
    return head

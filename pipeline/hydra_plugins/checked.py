"""Validate what `dvc exp run` composes before it writes params.yaml, and say which edits of that file it replaces.

DVC composes with Hydra and loads the modules of this folder (`hydra.plugins_path` in .dvc/config). Composing resolves
`${checked:[]}` of conf/config.yaml, so that a bad value is refused while no file has been touched: a stage would refuse
it too, but only after DVC has removed that stage's outs.
"""

import functools
import sys
from typing import Any

from dvc.cli import DvcParserError, parse_args
from omegaconf import DictConfig, ListConfig, OmegaConf

from pipeline.compose import keep_composed, plain_values, replaced_values
from pipeline.params import parse_params
from pipeline.ready import check_ready
from pipeline.training.logs import check_log


def checked(value: list[Any], *, _root_: DictConfig) -> ListConfig:
    """Give `value` back where the parameters around it are valid, and what they need from outside is here.

    Raises:
        InputError: see `plain_values`, `parse_params`, `check_log`, `check_ready`; OmegaConf puts its own words around
            the message.
    """
    tree = OmegaConf.to_container(_root_, resolve=False)
    assert isinstance(tree, dict)
    tree["choices"]["values"] = []  # where this function is called from
    values = plain_values(OmegaConf.create(tree))
    params = parse_params(values, "this experiment")
    check_log(params.training.log)
    if _runs_all():
        check_ready(params)
    if replaced := replaced_values(values):
        _say_replaced(tuple(replaced))
    keep_composed(values)
    return ListConfig(value)  # resolving takes no plain list


def _runs_all() -> bool:
    """Whether DVC was told to run every stage; a run of some, or one that may miss data, needs less than all."""
    try:
        arguments = parse_args(sys.argv[1:])
    except DvcParserError:
        return False  # a program that uses DVC
    return not (getattr(arguments, "targets", None) or getattr(arguments, "allow_missing", False))


@functools.cache
def _say_replaced(replaced: tuple[str, ...]) -> None:
    """Once a process: a sweep composes many times."""
    shown = "; ".join(replaced[:3]) + (f"; and {len(replaced) - 3} more" if len(replaced) > 3 else "")
    print(
        f"params.yaml: what was edited there and not committed is replaced: {shown}; give it with -S, or write it into "
        "conf/",
        file=sys.stderr,
    )


OmegaConf.register_new_resolver("checked", checked, replace=True)

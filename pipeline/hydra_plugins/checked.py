"""Validate what `dvc exp run` composes before it writes params.yaml, and say which edits of that file it replaces.

DVC composes with Hydra and loads the modules of this folder (`hydra.plugins_path` in .dvc/config). Composing resolves
`${checked:[]}` of conf/config.yaml, so that a bad value is refused while no file has been touched: a stage would refuse
it too, but only after DVC has removed that stage's outs.
"""

import functools
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, cast

from dvc.cli import DvcParserError, parse_args
from omegaconf import DictConfig, ListConfig, OmegaConf

from pipeline.base.errors import InputError
from pipeline.base.files import parse_json
from pipeline.base.processes import process_born
from pipeline.params import parse_params
from pipeline.project.compose import keep_composed, plain_values, replaced_values
from pipeline.project.ready import check_ready
from pipeline.training.logs import check_log


def checked(value: list[Any], *, _root_: DictConfig) -> ListConfig:
    """Give `value` back where the parameters around it are valid, and what they need from outside is here.

    Raises:
        InputError: see `refuse_second_run`, `plain_values`, `parse_params`, `check_log`, `check_ready`; OmegaConf puts
            its own words around the message.
    """
    arguments = _arguments()
    if not (getattr(arguments, "queue", False) or getattr(arguments, "tmp_dir", False)):
        refuse_second_run(Path(".dvc/tmp/rwlock"))
    tree = OmegaConf.to_container(_root_, resolve=False)
    assert isinstance(tree, dict)
    tree["choices"]["values"] = []  # where this function is called from
    values = plain_values(OmegaConf.create(tree))
    params = parse_params(values, "this experiment")
    check_log(params.training.log)
    # A run of some stages, or one that may miss data, needs less than all.
    if arguments and not (getattr(arguments, "targets", None) or getattr(arguments, "allow_missing", False)):
        check_ready(params)
    if replaced := replaced_values(values):
        _say_replaced(tuple(replaced))
    keep_composed(values)
    return ListConfig(value)  # resolving takes no plain list


def _arguments() -> Namespace | None:
    """What DVC was told; None in a program that uses DVC."""
    try:
        return cast(Namespace, parse_args(sys.argv[1:]))
    except DvcParserError:
        return None


def refuse_second_run(lock: Path) -> None:
    """Refuse to write params.yaml while another DVC runs stages in this folder: they would read it half way.

    DVC itself says that paths are busy, but after the file is written.

    Args:
        lock: DVC's list of the paths that a process reads or writes; absent where none ever did.

    Raises:
        InputError: one of these processes still runs.
    """
    try:
        held = parse_json(lock.read_bytes(), str(lock))
    except (FileNotFoundError, InputError):  # DVC is writing it, and is the one to say so
        return
    readers = [each for several in (held.get("read") or {}).values() for each in several]
    commands = {each["pid"]: each["cmd"] for each in [*readers, *(held.get("write") or {}).values()]}
    for pid, command in commands.items():
        if pid != os.getpid() and process_born(pid) is not None:
            raise InputError(
                f"another run goes on in this folder (process {pid}: {command}), and would read the new params.yaml; "
                "wait for it, or use --queue or --temp"
            )


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

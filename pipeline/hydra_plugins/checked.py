"""Check what `dvc exp run` composes before it writes params.yaml, and print which edits of that file it replaces.

DVC composes with Hydra and loads the modules of this folder (`hydra.plugins_path` in .dvc/config). Composing resolves
`${checked:[]}` of conf/config.yaml, which calls `checked`. So a bad value is refused before any file is touched. A
stage would refuse it too, but only after DVC has removed the stage's outs.
"""

import functools
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, cast

from dvc.cli import DvcParserError, parse_args
from omegaconf import DictConfig, ListConfig, OmegaConf

from pipeline.base.command import RECOGNITION
from pipeline.base.errors import InputError
from pipeline.base.files import parse_json
from pipeline.base.processes import process_born
from pipeline.params import parse_params
from pipeline.project.compose import keep_composed, plain_values, replaced_values
from pipeline.project.ready import check_ready, check_recognition_ready
from pipeline.training.logs import check_log


def checked(value: list[Any], *, _root_: DictConfig) -> ListConfig:
    """Return `value` if the parameters around it are valid and all that they read from outside is there.

    Raises:
        InputError: see `refuse_second_run`, `plain_values`, `parse_params`, `check_log`, `check_ready`,
            `check_recognition_ready`; OmegaConf adds its own words to the message.
    """
    arguments = _arguments()
    if not (getattr(arguments, "queue", False) or getattr(arguments, "tmp_dir", False)):
        refuse_second_run(Path(".dvc/tmp/rwlock"))
    tree = OmegaConf.to_container(_root_, resolve=False)
    assert isinstance(tree, dict)
    tree["choices"]["values"] = []  # the key that is being resolved: it calls this function
    values = plain_values(OmegaConf.create(tree))
    params = parse_params(values, "this experiment")
    check_log(params.training.log)
    # A run of some stages only, or one that may lack data, does not need everything.
    targets = getattr(arguments, "targets", None) or []
    if arguments and not getattr(arguments, "allow_missing", False):
        if not targets:
            check_ready(params)
        elif str(RECOGNITION) in targets:
            check_recognition_ready(params.recognition)
    if replaced := replaced_values(values):
        _say_replaced(tuple(replaced))
    keep_composed(values)
    return ListConfig(value)  # a resolver may not return a plain list


def _arguments() -> Namespace | None:
    """Return the arguments that DVC was called with; None in another program that uses DVC."""
    try:
        return cast(Namespace, parse_args(sys.argv[1:]))
    except DvcParserError:
        return None


def refuse_second_run(lock: Path) -> None:
    """Refuse to write params.yaml while another DVC runs stages in this folder, which would read the new file.

    DVC itself reports busy paths only after the file is written.

    Args:
        lock: DVC's list of the paths that each process reads or writes; absent if no process ever did.

    Raises:
        InputError: one of these processes is still running.
    """
    try:
        held = parse_json(lock.read_bytes(), str(lock))
    except (FileNotFoundError, InputError):  # DVC is writing the file and will report the conflict itself
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
    """Print the replaced edits once per process, because a sweep composes many times."""
    shown = "; ".join(replaced[:3]) + (f"; and {len(replaced) - 3} more" if len(replaced) > 3 else "")
    print(
        f"params.yaml: what was edited there and not committed is replaced: {shown}; give it with -S, or write it into "
        "conf/",
        file=sys.stderr,
    )


OmegaConf.register_new_resolver("checked", checked, replace=True)

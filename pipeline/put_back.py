"""`dvc exp run -S` writes params.yaml before anything is checked: what it was is kept, and put back after a refusal.

By then DVC has also taken away the outs that the experiment's pipeline has not, as those of another data set; they lie
in its cache.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline.compose import chosen_overrides, compose_params, differing_keys, read_params
from pipeline.errors import InputError
from pipeline.files import read_json, write_json, write_text
from pipeline.plain_yaml import read_yaml
from pipeline.work import work_root

PARAMS = Path("params.yaml")


def keep_params() -> None:
    """Take note of params.yaml as that of the work tree: it was composed by hand, or passed its checks."""
    if _is_work_tree():
        write_json(_kept(), {"commit": _git("rev-parse", "HEAD"), "text": PARAMS.read_text()})


def put_back(reason: InputError) -> InputError:
    """Undo what an experiment that is refused did to params.yaml.

    Args:
        reason: why it is refused.

    Returns:
        The reason, and what was refused, where params.yaml was put back; else the reason as it is.
    """
    if "DVC_EXP_NAME" not in os.environ or not _is_work_tree():
        return reason
    earlier, refused = _earlier(), PARAMS.read_text()
    if earlier is None or earlier == refused:
        return reason
    words = _said(read_params(PARAMS))
    write_text(PARAMS, earlier)
    _bring_outs()
    return InputError(f"{reason}; {PARAMS} is as it was, without {' '.join(words) or 'what -S said'}")


def _bring_outs() -> None:
    """Put outs of dvc.lock that are gone where they were, as far as DVC's cache has them."""
    lock = Path("dvc.lock")
    stages = (read_yaml(lock).get("stages") if lock.is_file() else None) or {}
    gone = [out for stage in stages.values() for out in stage.get("outs", []) if not Path(out["path"]).exists()]
    if not gone:
        return
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "checkout", "--quiet", "--allow-missing"], capture_output=True, check=False)
    cache = subprocess.run([*dvc, "cache", "dir"], capture_output=True, text=True, check=False).stdout.strip()
    for out in gone:  # what Git keeps (cache: false) DVC does not check out
        digest, path = str(out.get("md5")), Path(out["path"])
        if (kept := Path(cache, "files/md5", digest[:2], digest[2:])).is_file() and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kept, path)


def _is_work_tree() -> bool:
    """Whether this folder is the project's own, and no temporary one of `--queue` or `--temp`."""
    return PARAMS.is_file() and work_root().parent.resolve() == Path.cwd().resolve()


def _kept() -> Path:
    return work_root() / "params.json"


def _earlier() -> str | None:
    """params.yaml before the experiment: as it was kept at this commit, else the commit's; None without a commit."""
    head = _git("rev-parse", "HEAD")
    if _kept().is_file():
        kept = read_json(_kept())
        if isinstance(kept, dict) and kept.get("commit") == head and isinstance(kept.get("text"), str):
            return str(kept["text"])
    return _git("show", f"HEAD:./{PARAMS}")


def _git(*words: str) -> str | None:
    """What git prints; None where it fails or is not there."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _said(found: dict[str, Any]) -> list[str]:
    """The overrides that a parameter tree was composed with, as far as it tells: its choices, and a few values."""
    chosen = chosen_overrides(found)
    experiment = [each for each in chosen if each.startswith("+experiment=")]
    try:
        default = chosen_overrides(compose_params(experiment))
        words = [*experiment, *(each for each in chosen if each not in default)]
        values = differing_keys(found, compose_params(words))
    except InputError:  # a group asks for values, as bank=external
        return experiment or chosen
    keys = [line.partition(":")[0] for line in values]
    return [*words, *(key for key in keys[:3] if not key.startswith("choices"))]

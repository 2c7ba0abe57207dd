"""Compose `params.yaml` from `conf/`, as DVC does for `dvc exp run -S`."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.base.errors import InputError
from pipeline.base.files import read_json, write_json
from pipeline.base.git import git_output
from pipeline.base.plain_yaml import parse_yaml, read_yaml
from pipeline.base.work import work_root
from pipeline.params import parse_params
from pipeline.params.choices import chosen_overrides

HEADER = "# Composed from conf/ by `actionbank compose` or `dvc exp run -S`; edit conf/, not this file.\n"


def compose_params(overrides: list[str], conf: Path = Path("conf")) -> dict[str, Any]:
    """Compose, resolve and validate the parameter tree.

    Args:
        overrides: as after `-S`: `head=lfb_nl`, `baseline.lr=0.1`, `+experiment=NAME`.
        conf: the configuration folder.

    Raises:
        InputError: a group, file, key or value is unknown; the message lists the choices.
    """
    values = composed_values(overrides, conf)
    parse_params(values, "conf/ with " + (" ".join(overrides) or "no overrides"))
    return values


def composed_values(overrides: list[str], conf: Path) -> dict[str, Any]:
    """Return the composed and resolved tree, not validated; `compose_params` validates it.

    Raises:
        InputError: a group, file or key is unknown, or a key that needs a value has none.
    """
    # In DVC's process this resolver validates (pipeline.hydra_plugins); here `compose_params` does.
    OmegaConf.register_new_resolver("checked", lambda value: value, replace=True)
    try:
        with initialize_config_dir(str(conf.resolve()), version_base=None):
            return plain_values(compose("config", overrides=overrides))
    except (HydraException, OmegaConfBaseException) as error:
        told = " ".join(str(error).split())
    if unknown := re.match(r"Could not override '([^']*)'\.", told):
        raise InputError(_no_parameter(unknown[1], overrides, conf))
    raise InputError(_in_our_words(told))


def _in_our_words(told: str) -> str:
    """Say Hydra's message for a file that is not there as this project says it: without the search path."""
    absent = re.match(
        r"(?:In '[^']*': )?Could not find '([^']*)' Available options in '([^']*)': (.*?) Config search", told
    )
    if absent is not None:
        return f"conf/{absent[1]}.yaml: no such file; choices of {absent[2]}: {', '.join(absent[3].split())}"
    return told


def _no_parameter(name: str, overrides: list[str], conf: Path) -> str:
    """Say which key is not there, and which is meant; Hydra proposes `+KEY`, which would only be refused later."""
    others = [each for each in overrides if each.partition("=")[0] != name]
    meant = get_close_matches(name, list(_names(composed_values(others, conf))), 1, 0.8)
    told = f"{name}: no such parameter in conf/{' with ' if others else ''}{' '.join(others)}"
    return f"{told}; did you mean {meant[0]}?" if meant else told


def _names(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{key}.")


def plain_values(composed: DictConfig) -> dict[str, Any]:
    """Return the resolved tree.

    Raises:
        InputError: a key without a default was given no value.
    """
    if missing := sorted(OmegaConf.missing_keys(composed)):
        words = " ".join(f"{key}=..." for key in missing)
        more = "; bank.producer=unknown takes a bank that names no checkpoint" if "bank.producer" in missing else ""
        raise InputError(f"{', '.join(missing)} must be given, with -S or to compose: {words}{more}")
    values = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def params_text(values: dict[str, Any]) -> str:
    """Return the text of `params.yaml`."""
    return HEADER + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def record_values(values: dict[str, Any], overrides: list[str]) -> None:
    """Write the `overrides` that choose no group under `choices.values`, for `stale_keys`."""
    groups = {"experiment", *values["choices"], *(f"recognition/{group}" for group in values["recognition"]["choices"])}
    values["choices"]["values"] = [each for each in overrides if each.lstrip("+~").partition("=")[0] not in groups]


def said_overrides(found: dict[str, Any], conf: Path = Path("conf")) -> list[str]:
    """Return the overrides that compose a parameter tree again: its choices other than the default, its values."""
    default = chosen_overrides(compose_params([], conf))
    given = [str(each) for each in found["choices"].get("values") or []]
    return [*(each for each in chosen_overrides(found) if each not in default), *given]


def stale_keys(found: dict[str, Any], conf: Path = Path("conf")) -> list[str]:
    """Compare a parameter tree with what `conf/` composes from its choices and values; return `differing_keys`.

    Raises:
        InputError: `conf/` cannot be composed with them.
    """
    given = [str(each) for each in found["choices"].get("values") or []]
    expected = compose_params([*chosen_overrides(found), *given], conf)
    expected["choices"]["values"] = given
    return differing_keys(found, expected)


def read_params(path: Path) -> dict[str, Any]:
    """Read a parameter tree that was composed.

    Raises:
        InputError: the file is absent, not YAML, or records no choices.
    """
    found = read_yaml(path)
    if not isinstance(found.get("choices"), dict):
        raise InputError(f"{path}: has no choices; write it with `actionbank compose`")
    return found


def replaced_values(composed: dict[str, Any]) -> list[str]:
    """List the edits in an uncommitted params.yaml that are lost when `composed` replaces it, as `differing_keys`.

    A value that is in HEAD, in one of the last experiments or in the last composition (of an experiment that failed)
    was not typed by hand, or can be restored. The edits are the differences from the one of these that is most similar.
    """
    path = Path("params.yaml")
    if not path.is_file():
        return []
    newest = git_output("for-each-ref", "--sort=-creatordate", "--count=20", "--format=%(objectname)", "refs/exps")
    names = [f"{each}:params.yaml" for each in ("HEAD", *(newest or "").split())]
    found = (git_output("cat-file", "--batch-check=%(objectname)", lines=names) or "").splitlines()
    blobs = dict.fromkeys(each for each in found if not each.endswith(" missing"))
    if (git_output("hash-object", str(path)) or "").strip() in blobs:
        return []
    try:
        edited = read_yaml(path)
        kept = [_blob(each) for each in blobs]
        kept += [read_json(_composed())] if _composed().is_file() else []
    except InputError:
        return []  # nothing in the file can be compared or kept
    apart = min((_keys(differing_keys(edited, each)) for each in kept), key=len, default=set())
    return [line for line in differing_keys(edited, composed) if _keys([line]) <= apart]


def _blob(name: str) -> dict[str, Any]:
    """Read a parameter tree from a Git object."""
    return parse_yaml((git_output("cat-file", "blob", name) or "").encode(errors="surrogateescape"), name)


def keep_composed(values: dict[str, Any]) -> None:
    """Store the parameters that DVC is about to write, for `replaced_values` of the next experiment."""
    write_json(_composed(), values)


def _composed() -> Path:
    return work_root() / "composed.json"


def _keys(lines: list[str]) -> set[str]:
    return {line.partition(":")[0] for line in lines}


def differing_keys(found: Any, expected: Any, prefix: str = "") -> list[str]:
    """List the dotted keys at which two parameter trees differ, with both values."""
    if isinstance(found, dict) and isinstance(expected, dict):
        keys = sorted({*found, *expected})
        return [line for key in keys for line in differing_keys(found.get(key), expected.get(key), f"{prefix}{key}.")]
    return [] if found == expected else [f"{prefix[:-1]}: {found!r}, conf/ says {expected!r}"]

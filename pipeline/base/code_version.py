"""The version of a stage's code: the files and libraries that it imports, and a digest of them.

The stage `code` writes the `code_record` of each stage into `.code/<stage>.json`. Each stage depends on its own file,
so an edit re-runs only the stages that import the edited file. The keys of items in `.work` hold the same digest,
computed from the source itself: a stage that runs while its `.code` file is out of date stores nothing under an old
key.
"""

import ast
import functools
import hashlib
import importlib.metadata
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.base.files import digest_value, json_text

CODE = Path(".code")
"The folder that the stage `code` writes, relative to the project's folder."
PACKAGES = ("pipeline", "stages")
# Parameters reach a stage through DVC's `params`, and the command line only passes them on.
NOT_CODE = ("pipeline/params/__init__.py", "pipeline/cli.py")
REPOSITORY = Path(__file__).resolve().parent.parent.parent

# Imported libraries that have no influence on the bytes of an out, by import name: they lock, show, log, check, read
# the command line, do the same work elsewhere, compute a value that is the same in every version (CRC-32C), or fetch
# files whose checksums are known (dvc, fsspec). All other libraries count.
NO_BYTES = frozenset({"dvc", "filelock", "fsspec", "google_crc32c", "mlflow", "pydantic", "ray", "tqdm", "typer"})
# Libraries that none of our files imports, but that an imported library uses to make bytes: zarr's codecs.
BROUGHT_ALONG = {"zarr": ("numcodecs",)}
ABSENT = "absent"
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"Where a node of Python's syntax holds further statements."


def module_file(module: str, root: Path = REPOSITORY) -> Path | None:
    """Return the file of one of our modules, relative to the repository; None for foreign modules and other names."""
    path = Path(*module.split("."))
    if path.parts[0] not in PACKAGES:
        return None
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if (root / candidate).is_file():
            return candidate
    return None


@functools.cache
def imported_modules(source: str) -> frozenset[str]:
    """Names of all modules that `source` may import, function-level imports included."""
    names: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        # Imports are statements, so no expression is entered: there are ten times as many of them.
        waiting += (each for block in BLOCKS for each in getattr(node, block, ()))
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def import_closure(module: str, root: Path = REPOSITORY) -> tuple[str, ...]:
    """List the files that `module` (e.g. `stages.extract_frames`) imports, directly or not, as sorted POSIX paths.

    Empty `__init__.py` files are left out: there is nothing in them to depend on.
    """
    found: set[str] = set()
    waiting, seen = [module], set[str]()
    while waiting:
        name = waiting.pop()
        parents = [".".join(name.split(".")[:end]) for end in range(1, len(name.split(".")))]
        for each in {name, *parents} - seen:
            seen.add(each)
            path = module_file(each, root)
            if path is None or path.as_posix() in found or path.as_posix() in NOT_CODE:
                continue
            source = (root / path).read_text()
            if source.strip():
                found.add(path.as_posix())
                waiting.extend(imported_modules(source))
    return tuple(sorted(found))


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    """Map each installed import name to its distributions (cached: it takes 0.1 s)."""
    return importlib.metadata.packages_distributions()


def library_versions(modules: Iterable[str]) -> dict[str, str]:
    """Return the version of each library in `modules` that can influence the bytes of an out, by distribution name.

    `modules` holds names as they stand after `import`. The local part of a version is left out: in `2.11.0+cpu` and
    `2.11.0+cu126` it names the hardware that the library was built for, and hardware is in no key. A library that is
    not installed (an optional one) has the version `absent`.
    """
    names = {each.partition(".")[0] for each in modules} - NO_BYTES - {*PACKAGES} - sys.stdlib_module_names
    distributions = _distributions()
    found = {name: distributions.get(name, [name]) for name in names}
    brought = [each for name in names for each in BROUGHT_ALONG.get(name, ())]
    return {each: _version(each) for each in {*brought, *(each for listed in found.values() for each in listed)}}


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ABSENT


def code_record(*modules: str, root: Path = REPOSITORY) -> dict[str, Any]:
    """Describe the version of the code that modules run.

    Args:
        modules: e.g. `stages.extract_frames`; the record covers everything that any of them imports.
        root: the repository.

    Returns:
        `files`: path to sha256 (hex) of each imported file; `libraries`: see `library_versions`; `python`: its version
        as major.minor; `digest`: sha256 (hex) of these three.
    """
    sources = {name: (root / name).read_bytes() for module in modules for name in import_closure(module, root)}
    imported = {each for source in sources.values() for each in imported_modules(source.decode())}
    made_from = {
        "files": {name: hashlib.sha256(source).hexdigest() for name, source in sources.items()},
        "libraries": library_versions(imported),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }
    return {**made_from, "digest": digest_value(made_from)}


@functools.cache
def code_version(*modules: str) -> str:
    """Return the digest of `code_record`, for keys."""
    return str(code_record(*modules)["digest"])


def stage_modules(root: Path = REPOSITORY) -> list[str]:
    """List the modules of the stages that depend on their code: every runnable one except the stage `code` itself."""
    files = sorted((root / "stages").glob("*.py"))
    return [f"stages.{path.stem}" for path in files if path.stem != "code" and '"__main__"' in path.read_text()]


def code_texts(root: Path = REPOSITORY) -> dict[str, str]:
    """Return the text of each file that the stage `code` writes, by file name."""
    return {
        f"{module.rpartition('.')[2]}.json": json_text(code_record(module, root=root)) for module in stage_modules(root)
    }

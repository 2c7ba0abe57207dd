"""Which of our files a module runs: its import closure, and the digest that stands for the code's version.

`dvc.yaml` lists the same files as the stage's code dependencies (a test holds the two equal), so that an edit
re-runs what it can change and nothing else.
"""

import ast
import functools
import hashlib
import importlib.metadata
import sys
from pathlib import Path

PACKAGES = ("pipeline", "stages")
# Parameters reach a stage through DVC's `params`, and the command line only passes them on.
NOT_CODE = ("pipeline/params/__init__.py", "pipeline/cli.py")
REPOSITORY = Path(__file__).resolve().parent.parent


def module_file(module: str) -> Path | None:
    """The file of one of our modules, relative to the repository; None for foreign modules and plain names."""
    path = Path(*module.split("."))
    if path.parts[0] not in PACKAGES:
        return None
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if (REPOSITORY / candidate).is_file():
            return candidate
    return None


@functools.cache
def imported_modules(source: str) -> frozenset[str]:
    """Names of all modules that `source` may import, function-level imports included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


@functools.cache
def import_closure(module: str) -> tuple[str, ...]:
    """Files that `module` (e.g. `stages.extract_frames`) reaches, as sorted POSIX paths in the repository.

    Empty `__init__.py` files are left out: there is nothing in them to depend on.
    """
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        parents = [".".join(name.split(".")[:end]) for end in range(1, len(name.split(".")))]
        for each in [name, *parents]:
            path = module_file(each)
            if path is None or path.as_posix() in found or path.as_posix() in NOT_CODE:
                continue
            source = (REPOSITORY / path).read_text()
            if source.strip():
                found.add(path.as_posix())
                waiting.extend(imported_modules(source))
    return tuple(sorted(found))


@functools.cache
def code_version(module: str, *libraries: str) -> str:
    """sha256 (hex) of the closure's files and of the versions of Python and of the libraries that make the bytes.

    Args:
        module: the stage's module, e.g. `stages.extract_frames`.
        libraries: distribution names, e.g. `decord`.
    """
    digest = hashlib.sha256()
    for name in import_closure(module):
        digest.update(name.encode() + b"\0" + (REPOSITORY / name).read_bytes() + b"\0")
    digest.update(f"python {sys.version_info.major}.{sys.version_info.minor}\n".encode())
    for library in libraries:
        digest.update(f"{library} {importlib.metadata.version(library)}\n".encode())
    return digest.hexdigest()

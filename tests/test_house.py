"""What every file of the house keeps to: short functions, few parameters, one name for one module and for one class."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
LINES, PARAMETERS = 60, 8
ROOMS = {"__init__.py", "settings.py"}
"Names that stand once in each folder, and mean the same of each."
Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (REPOSITORY / folder).rglob("*.py"))


def functions(tree: ast.AST) -> Iterator[tuple[Function, bool]]:
    """Every function, those inside functions included, and whether it is a method, whose first name is `self`."""
    for parent in ast.walk(tree):
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, Function):
                static = any(isinstance(each, ast.Name) and each.id == "staticmethod" for each in node.decorator_list)
                yield node, isinstance(parent, ast.ClassDef) and not static


def too_long(tree: ast.AST) -> list[str]:
    return [
        f"{each.name}: {length} lines"
        for each, _ in functions(tree)
        if (length := (each.end_lineno or 0) - each.lineno + 1) > LINES
    ]


def too_many_parameters(tree: ast.AST) -> list[str]:
    found = []
    for each, is_method in functions(tree):
        given = each.args
        named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
        count = len(named) + (given.vararg is not None) + (given.kwarg is not None) - is_method
        if count > PARAMETERS and not is_command(each):
            found.append(f"{each.name}: {count} parameters")
    return found


def is_command(function: Function) -> bool:
    """Whether typer calls it: its parameters are options, and how many there are is for those who type them."""
    decorated = any(".command(" in ast.unparse(each) for each in function.decorator_list)
    # A command that pipeline/cli.py adds carries no decorator.
    annotations = [each.annotation for each in (*function.args.args, *function.args.kwonlyargs) if each.annotation]
    return decorated or any("typer." in ast.unparse(each) for each in annotations)


def repeated(paths: list[Path]) -> list[str]:
    counts = Counter(path.name for path in paths if path.name not in ROOMS)
    return sorted(name for name, count in counts.items() if count > 1)


def shared_names(trees: list[ast.Module]) -> list[str]:
    """The classes for other modules that two modules have by the same name."""
    names = Counter(each.name for tree in trees for each in tree.body if isinstance(each, ast.ClassDef))
    return sorted(name for name, count in names.items() if count > 1 and not name.startswith("_"))


@pytest.mark.parametrize("fault", [too_long, too_many_parameters])
def test_functions_are_short_and_take_few_parameters(fault) -> None:
    found = {
        str(path.relative_to(REPOSITORY)): faults
        for path in files("pipeline", "stages")
        if (faults := fault(ast.parse(path.read_text())))
    }
    assert not found


def test_a_module_has_a_name_of_its_own() -> None:
    assert repeated(files("pipeline", "stages")) == []


def test_a_class_has_a_name_of_its_own() -> None:
    assert shared_names([ast.parse(path.read_text()) for path in files("pipeline", "stages")]) == []


def test_what_is_refused() -> None:
    body = "    pass\n" * LINES
    assert too_long(ast.parse(f"def f():\n{body}")) == ["f: 61 lines"]
    assert too_long(ast.parse(f"def f():\n{body.removesuffix('    pass' + chr(10))}")) == []
    names = "a, b, c, d, e, f, g, h"
    assert too_many_parameters(ast.parse(f"def f({names}, *, i): ...")) == ["f: 9 parameters"]
    assert too_many_parameters(ast.parse(f"def f({names}, **i): ...")) == ["f: 9 parameters"]
    assert too_many_parameters(ast.parse(f"class C:\n    def f(self, {names}): ...")) == []
    assert too_many_parameters(ast.parse(f"class C:\n    def f(self, {names}, i): ...")) == ["f: 9 parameters"]
    assert too_many_parameters(ast.parse(f"@app.command()\ndef f({names}, i): ...")) == []
    assert too_many_parameters(ast.parse(f"def f({names}, i: Annotated[int, typer.Option()]): ...")) == []
    assert repeated([Path("a/x.py"), Path("b/x.py"), Path("a/settings.py"), Path("b/settings.py")]) == ["x.py"]
    assert shared_names([ast.parse(f"class {name}: ...") for name in ("A", "B", "A", "_C", "_C")]) == ["A"]

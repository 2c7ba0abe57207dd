"""Write each stage's import closure into dvc.yaml: `python -m tests.code_dependencies`."""

from pathlib import Path

from pipeline.base.code import import_closure

REPOSITORY = Path(__file__).resolve().parent.parent


def with_code_dependencies(text: str) -> str:
    """`dvc.yaml` with the *.py dependencies of every stage replaced by its import closure."""
    lines = [line for line in text.splitlines() if not line.strip().endswith(".py")]
    out: list[str] = []
    stage = ""
    for line in lines:
        out.append(line)
        if line.startswith("  ") and not line.startswith("   ") and line.endswith(":"):
            stage = line.strip(" :")
        if line.strip() == "deps:":
            indent = line[: len(line) - len(line.lstrip())] + "  "
            out.extend(f"{indent}- {path}" for path in import_closure(f"stages.{stage}"))
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    path = REPOSITORY / "dvc.yaml"
    path.write_text(with_code_dependencies(path.read_text()))

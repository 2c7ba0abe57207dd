"""Run the commands of a page in docs/ in a prepared project, and compare the output with the page.

    python -m tests.pages docs/bank-commands.md            # type the page
    python -m tests.pages docs/bank-commands.md --write    # and write what was printed into it

For a page in `tests/end_to_end/test_pages.py`, every block with shell commands is run, in the order of the page:

- a fenced block whose first line begins with `$ `: commands, each followed by its output. A line `...` stands for any
  omitted lines; digests, times, losses and mAPs are compared by their form (`measured`), since they differ between
  types of processors;
- a block of `sh`: one command per line, without output.

A comment above a block, which readers of the page do not see, gives options: `<!-- exits 1 -->` is the exit status of
its commands, `<!-- before: COMMAND -->` is run first, `<!-- not typed: REASON -->` skips the block, and
`<!-- file: PATH -->` writes the block to a file.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.end_to_end.harness import REPOSITORY, Project, new_project

MEASURED = (
    (r"\b[0-9a-f]{12,64}\b", lambda found: "#" * len(found[0])),
    (r"\bran \d+ \w+ ago, took \d+ \w+ +", "ran # s ago "),
    (r"\b\d+(\.\d+)? (s|min)\b", "# s"),
    (r"\b(loss|mAP|detected|ground_truth|at most|mean|at least) -?\d+(\.\d+)?(e[-+]\d+)?", r"\1 #"),
    (r"\d\.\d+e[-+]\d+ +\d\.\d{4}\b", "#"),
    (r"largest difference \S+:", "largest difference #:"),
    (r"\bepoch \d+, loss", "epoch #, loss"),
    (r"experiment(\(s\):)? '?[a-z]+-[a-z]+'?", "experiment #"),
)  # fmt: skip


@dataclass
class Block:
    """A fenced block: the lines within, where they begin in the page, and what the comments above say."""

    language: str
    lines: list[str]
    first: int
    before: list[str] = field(default_factory=list)
    exits: int = 0
    skipped: bool = False
    file: str = ""


@dataclass
class Typed:
    """A command, the lines that the page shows of its output, and where these begin in the page."""

    command: str
    shown: list[str]
    first: int
    exits: int
    before: list[str]
    is_shown: bool


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    comments: list[str] = []
    block: Block | None = None
    for number, line in enumerate(page.splitlines()):
        if block is not None:
            if line == "```":
                yield block
                block, comments = None, []
            else:
                block.lines.append(line)
        elif line.startswith("```"):
            block = Block(line[3:], [], number + 1)
            for each in comments:
                key, _, value = each.partition(" ")
                if key == "before:":
                    block.before.append(value)
                elif key == "exits":
                    block.exits = int(value)
                elif key == "file:":
                    block.file = value
                elif each.startswith("not typed: "):
                    block.skipped = True
        elif comment := re.fullmatch(r"<!-- (.*) -->", line):
            comments.append(comment[1])
        elif line.strip():
            comments = []


def commands(block: Block) -> list[Typed]:
    """The commands of a block, with the lines shown below each."""
    typed: list[Typed] = []
    is_shown, goes_on = block.language != "sh", False
    for place, line in enumerate(block.lines, block.first):
        starts = line.startswith("$ ") if is_shown else bool(line.strip()) and not line.startswith("#")
        if goes_on:
            typed[-1].command += f"\n{line}"
            typed[-1].first = place + 1
        elif starts:
            command = line.removeprefix("$ ")
            typed.append(Typed(command, [], place + 1, block.exits, [] if typed else block.before, is_shown))
        elif is_shown:
            typed[-1].shown.append(line)
        goes_on = line.endswith("\\") and (goes_on or starts)
    return typed


def is_typed(block: Block) -> bool:
    """Whether a shell reads the block."""
    return not block.skipped and (block.language == "sh" or bool(block.lines and block.lines[0].startswith("$ ")))


def measured(text: str) -> str:
    """A text with what differs between machines brought to its form."""
    for pattern, form in MEASURED:
        text = re.sub(pattern, form, text)
    return text


def fill(shown: list[str], printed: str) -> list[str] | None:
    """The shown lines with the numbers that were printed, `...` kept; None where the output is another one."""
    lines = printed.rstrip("\n").split("\n") if printed.strip() else []
    forms = [measured(line) for line in lines]

    def match(at: int, place: int) -> list[str] | None:
        if at == len(shown):
            return [] if place == len(lines) else None
        if shown[at].strip() == "...":
            for end in range(place, len(lines) + 1):
                if (rest := match(at + 1, end)) is not None:
                    return [shown[at], *rest]
            return None
        if place < len(lines) and measured(shown[at]) == forms[place]:
            rest = match(at + 1, place + 1)
            return None if rest is None else [lines[place], *rest]
        return None

    return match(0, 0)


def type_page(page: str, project: Project) -> list[tuple[Typed, str]]:
    """Type all of a page; commands, and what each printed.

    Raises:
        AssertionError: a command ends with another status than the page says.
    """
    done = []
    for block in blocks(page):
        if block.file:
            path = project.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{line}\n" for line in block.lines))
        for each in commands(block) if is_typed(block) else []:
            for hidden in each.before:
                _type(hidden, project, 0)
            done.append((each, _type(each.command, project, each.exits)))
    return done


def _type(command: str, project: Project, exits: int) -> str:
    ended = subprocess.run(
        ["bash", "-c", command], cwd=project.folder, env=project.environment(), text=True, timeout=900, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert ended.returncode == exits, f"$ {command}\nended with {ended.returncode}:\n{ended.stdout}"
    printed = ended.stdout.replace(str(project.folder), "/path/to/project")
    return "\n".join(line.rstrip() for line in printed.split("\n"))


def differences(done: list[tuple[Typed, str]]) -> list[str]:
    """What the page shows and what was printed, where they differ."""
    return [
        f"$ {each.command}\nthe page shows:\n" + "\n".join(each.shown) + f"\nprinted was:\n{printed}"
        for each, printed in done
        if each.is_shown and fill(_trimmed(each.shown), printed) is None
    ]


def _trimmed(lines: list[str]) -> list[str]:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    return lines


def rewritten(page: str, done: list[tuple[Typed, str]]) -> str:
    """The page with what was printed, shortened where the page shortens it and the rest agrees."""
    lines = page.splitlines()
    for each, printed in reversed(done):
        if each.is_shown:
            shown = _trimmed(each.shown)
            new = fill(shown, printed)
            lines[each.first : each.first + len(shown)] = printed.rstrip("\n").split("\n") if new is None else new
    return "\n".join(lines) + "\n"


def main(name: str, prepare: Callable[[Project], None], *, write: bool) -> int:
    """Type a page in a project of its own."""
    path = REPOSITORY / name
    with tempfile.TemporaryDirectory() as folder:
        project = new_project(Path(folder) / "project")
        project.dvc("repro")
        project.commit("reproduced")
        prepare(project)
        page = path.read_text()
        done = type_page(page, project)
    found = differences(done)
    print("\n\n".join(found) or f"{name}: {len(done)} commands print what it shows")
    if write:
        path.write_text(rewritten(page, done))
    return bool(found)


if __name__ == "__main__":
    from tests.end_to_end.test_pages import PAGES

    sys.exit(main(sys.argv[1], PAGES[sys.argv[1]], write="--write" in sys.argv))

"""The commands of docs/ as a reader types them, and the outputs that the pages show."""

import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import typer

from pipeline.base.checksums import read_sealed_json, write_sealed_json
from pipeline.checkpoint.build_recognizer import build_recognizer
from pipeline.checkpoint.sidecars import Checkpoint
from pipeline.checkpoint.specs import RecognizerSpec
from pipeline.cli import build_app
from pipeline.interop.convert_recognizer import PUBLISHED_INPUT
from pipeline.interop.export import export_mmaction2
from pipeline.models.build import build_detector
from pipeline.models.recognition_settings import RecognitionHead
from tests.end_to_end.harness import REPOSITORY, Project
from tests.end_to_end.mmaction2_tree import make_tree
from tests.interop.small_models import checkpoint_of
from tests.pages import blocks, commands, differences, fill, is_typed, measured, rewritten, type_page


def nothing(project: Project) -> None:
    """The finished project is what the page needs."""


def banks(project: Project) -> None:
    """The sidecar of another baseline, and the val bank in both types."""
    sidecar = read_sealed_json(project.folder / "models/baseline.json")
    write_sealed_json(project.folder / "models/other.json", {**sidecar, "sha256": "0" * 64})
    bank = project.folder / "data/playground_mini/bank/val.zarr"
    shutil.copytree(bank, project.folder / "half.zarr")
    project.run("actionbank", "compose", "bank.dtype=fp32")
    project.run("actionbank", "infer-bank", "val")
    shutil.move(bank, project.folder / "full.zarr")
    project.run("actionbank", "compose")
    project.dvc("checkout", "-q")


class Hostile:
    """Pickled, it names a function that a naive reader would call."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


def checkpoints(project: Project) -> None:
    """MMAction2's files of a detector, a recognizer and a classifier, one that is no good, and films to detect in."""
    folder = project.folder
    torch.manual_seed(0)
    model = build_detector("slowfast_r50_8x8", classes=80)
    sidecar = checkpoint_of(model, "slowfast_r50_8x8", "linear", False, width=None, columns=80, classes=80)
    state = export_mmaction2(model.state_dict(), sidecar)[0]["state_dict"]
    torch.save({"meta": {"mmengine_version": "0.8.0"}, "state_dict": state}, folder / "slowfast_ava22.pth")
    backbone = {key: value for key, value in state.items() if key.startswith("backbone.")}
    classifier = {"cls_head.fc_cls.weight": torch.zeros(400, 2304), "cls_head.fc_cls.bias": torch.zeros(400)}
    torch.save({"meta": {}, "state_dict": {**backbone, **classifier}}, folder / "slowfast_k400.pth")
    trn = RecognitionHead(name="trn_multiscale", dropout=0.8, channels=256, hidden=256)
    spec = RecognizerSpec(backbone="resnet50", width=None, input=PUBLISHED_INPUT, head=trn, segments=8, classes=174)
    state = export_mmaction2(build_recognizer(spec).state_dict(), Checkpoint(spec=spec))[0]["state_dict"]
    torch.save({"meta": {"mmengine_version": "0.8.0"}, "state_dict": state}, folder / "trn_sthv2.pth")
    torch.save(Hostile(), folder / "hostile.pth")
    fixture = "tests/fixtures/parity/pyslowfast/SLOW_4x16_R50"
    (folder / fixture).parent.mkdir(parents=True)
    for end in ("json", "npz"):
        shutil.copyfile(REPOSITORY / f"{fixture}.{end}", folder / f"{fixture}.{end}")
    shutil.copytree(folder / "data/playground_mini/source", folder / "data/ava22/source")
    row = folder / "conf/experiment/ava22_slowfast_r50_8x8.yaml"
    row.write_text(row.read_text().replace("interval: 2, offset", "interval: 2, short_side: 64, offset"))


STAGES = ("make-playground", "detect-boxes", "infer-bank")
# What lies in the project before the page begins.
PAGES: dict[str, Callable[[Project], None]] = {
    "docs/bank-commands.md": banks,
    "docs/checkpoints.md": checkpoints,
    "docs/commands.md": nothing,
    "docs/from-mmaction2.md": make_tree,
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_prints_what_it_shows(page: str, project: Project) -> None:
    """`python -m tests.pages PAGE --write` writes what is printed now."""
    PAGES[page](project)
    done = type_page((REPOSITORY / page).read_text(), project)
    assert not differences(done), "\n\n".join(differences(done))


PAGE = """# A page

<!-- before: mkdir made -->
<!-- exits 1 -->
```
$ cat here \\
    there
first
...
last 0123456789abcdef of loss 0.5
```

<!-- not typed: it needs a network -->
```
$ curl
```

```
no command
```

<!-- file: folder/list.txt -->
```yaml
a: 1
```

```sh
# a remark
echo one
echo two
```
"""


def test_a_page_is_read_as_it_says() -> None:
    cat, curl, output, file, shell = blocks(PAGE)
    (typed,) = commands(cat)
    assert (typed.command, typed.exits, typed.before) == ("cat here \\\n    there", 1, ["mkdir made"])
    assert typed.shown == ["first", "...", "last 0123456789abcdef of loss 0.5"]
    assert [is_typed(each) for each in (cat, curl, output, file, shell)] == [True, False, False, False, True]
    assert (file.file, file.lines) == ("folder/list.txt", ["a: 1"])
    assert [each.command for each in commands(shell)] == ["echo one", "echo two"]


@pytest.mark.parametrize(
    ("printed", "fits"),
    [
        ("first\nlast 0123456789abcdef of loss 0.5\n", True),
        ("first\na\nb\nlast fedcba9876543210 of loss 7\n", True),
        ("first\na\nlast fedcba9876543210 of 7 films\n", False),
        ("first\nlast fedcba98765432 of loss 7\n", False),
        ("a\nfirst\nlast 0123456789abcdef of loss 0.5\n", False),
        ("first\nlast 0123456789abcdef of loss 0.5\nmore\n", False),
        ("", False),
    ],
)
def test_an_output_is_compared_by_line_and_by_form(printed: str, fits: bool) -> None:
    (typed,) = commands(next(blocks(PAGE)))
    new = fill(typed.shown, printed)
    assert (new is not None) == fits
    assert bool(differences([(typed, printed)])) != fits
    if new is not None:
        assert [new[0], new[1], new[-1]] == ["first", "...", printed.splitlines()[-1]]


def test_what_differs_between_machines_is_no_difference() -> None:
    one = "mAP detected 0.1202, ground_truth 0.1218; loss 0.5, 12.5 s, difference at most 1.5e-05; 19 keyframes"
    other = "mAP detected 0.2, ground_truth 0.3; loss 0.25, 3 s, difference at most 0.1; 19 keyframes"
    assert measured(one) == measured(other)
    assert measured(one) != measured(one.replace("19", "18"))
    assert measured("a 0123456789abcde") != measured("a 0123456789abcdef"), "of another length"


def test_a_page_is_written_anew_with_what_is_left_out() -> None:
    (typed,) = commands(next(blocks(PAGE)))
    kept = rewritten(PAGE, [(typed, "first\na\nlast fedcba9876543210 of loss 0.25\n")])
    assert kept == PAGE.replace("last 0123456789abcdef of loss 0.5", "last fedcba9876543210 of loss 0.25")
    assert "there\nquite\nanother\n```\n\n<!-- not typed" in rewritten(PAGE, [(typed, "quite\nanother\n")])


def test_pages_say_of_every_block_whether_it_is_typed() -> None:
    for page in PAGES:
        found = list(blocks((REPOSITORY / page).read_text()))
        assert [each for each in found if is_typed(each)], f"{page}: nothing is typed"
        for each in found:
            assert each.language in ("", "sh", "yaml", "python"), f"{page}: a block of {each.language}"


def told_commands(text: str) -> Iterator[tuple[str, bool]]:
    """The commands of ours that a page tells, and whether it is one to be typed (else a mention within a line)."""
    for found in re.finditer(r"`(actionbank [^`]+)`", text):
        yield found[1], False
    for found in re.finditer(r"^(?:\$ |[A-Z_]+=\S+ )*(actionbank (?:.*\\\n)*.*)$", text, re.MULTILINE):
        yield found[1].replace("\\\n", " "), True


def test_every_command_that_the_docs_tell_is_one() -> None:
    """Words, options and, where a line is to be typed, arguments; stages in the table of commands.md are typed."""
    root, faults = typer.main.get_command(build_app()), []
    for page in [*sorted((REPOSITORY / "docs").glob("*.md")), REPOSITORY / "README.md"]:
        for told, is_line in told_commands(page.read_text()):
            words = shlex.split(told.partition(" && ")[0], comments=True)[1:]
            command: Any = root
            while hasattr(command, "commands") and words and words[0] in command.commands:
                command = command.commands[words.pop(0)]
            if hasattr(command, "commands"):
                if words or is_line:
                    faults.append(f"{page.name}: {told}: no such command")
                continue
            is_stage = page.name == "commands.md" and command.name in STAGES
            try:
                command.make_context(command.name, [word for word in words if word != "..."])
            except Exception as error:  # typer's own copy of click's errors
                is_short = type(error).__name__ in ("MissingParameter", "BadOptionUsage")
                if is_line or is_stage or not is_short:
                    faults.append(f"{page.name}: {told}: {error!r}")
    assert not faults, "\n".join(faults)

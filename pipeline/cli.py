"""Build the command `actionbank`: one typer app with every stage and every user command."""

import importlib
import sys
from typing import Any

import typer

from pipeline.base.command import new_app, run
from pipeline.base.faults import one_line_hook
from pipeline.base.heap import collect_seldom

# Where each command is defined, in the order in which `actionbank --help` shows them. A file of a command or a stage
# imports at its head only what its options need, and the rest in the function: PyTorch takes seconds, and the help of
# all commands needs none of it.
COMMANDS = {
    "convert": "pipeline.commands.convert:convert",
    "export": "pipeline.commands.convert:export",
    "parity": "pipeline.commands.parity:parity",
    "score": "pipeline.commands.score:score",
    "score-multisports": "pipeline.commands.score_multisports:score_multisports",
    "compare": "pipeline.commands.compare:compare",
    "correct": "pipeline.commands.correct:correct",
    "spans": "pipeline.commands.spans:spans",
    "compose": "pipeline.commands.project:compose",
    "doctor": "pipeline.commands.doctor:doctor",
    "errors": "pipeline.commands.error_report:errors",
    "live": "pipeline.commands.live:live",
    "make-example": "pipeline.commands.make_example:make_example",
    "models": "pipeline.commands.models:models",
    "new-dataset": "pipeline.commands.new_dataset:new_dataset",
    "pack-model": "pipeline.commands.predict:pack_model",
    "predict": "pipeline.commands.predict:predict",
    "render": "pipeline.commands.draw_film:render",
    "runs": "pipeline.commands.project:runs",
    "status": "pipeline.commands.status:status",
    "verify": "pipeline.commands.verify:verify",
    "view": "pipeline.commands.view:view",
    "explain": "pipeline.commands.explain:explain",
    "report": "pipeline.commands.experiment_report:report",
}
GROUPS = {"bank": "pipeline.commands.bank:bank_app", "work": "pipeline.commands.project:work_app"}
# The stages of dvc.yaml, in the order in which they run.
STAGES = {
    "make-playground": "stages.make_videos:make_videos",
    "code": "stages.code:code",
    "check-params": "stages.check_params:check_params",
    "extract-frames": "stages.extract_frames:extract_frames",
    "import-annotations": "stages.import_annotations:import_annotations",
    "import-backbone": "stages.import_backbone:import_backbone",
    "detect-boxes": "stages.detect_boxes:detect_boxes",
    "import-boxes": "stages.import_boxes:import_boxes",
    "train-baseline": "stages.train_baseline:train_baseline",
    "infer-bank": "stages.infer_bank:infer_bank",
    "train-head": "stages.train_head:train_head",
    "infer-memory": "stages.infer_memory:infer_memory",
    "evaluate": "stages.evaluate:evaluate",
}
# The further stages of recognition/dvc.yaml.
RECOGNITION_STAGES = {
    "import-labels": "stages.import_labels:import_labels",
    "train-recognizer": "stages.train_recognizer:train_recognizer",
    "evaluate-recognizer": "stages.evaluate_recognizer:evaluate_recognizer",
}


def build_app(command: str | None = None) -> typer.Typer:
    """Return the app with all commands; if there is one called `command`, with that one alone."""
    app = new_app("From a folder of videos to a spatio-temporal action detector with a long-term feature bank.")
    app.callback()(lambda: None)  # an app of one command would else take no name of it
    known = {*COMMANDS, *GROUPS, *STAGES, *RECOGNITION_STAGES}
    chosen = {command} if command in known else known
    panels = (("Stages", STAGES), ("Stages of recognition", RECOGNITION_STAGES), (None, COMMANDS))
    for panel, commands in panels:
        for name, place in commands.items():
            if name in chosen:
                app.command(name, rich_help_panel=panel)(_load(place))
    for name, place in GROUPS.items():
        if name in chosen:
            app.add_typer(_load(place), name=name)
    return app


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def main() -> None:
    """Entry point of the `actionbank` script."""
    one_line_hook()  # set before other imports, which may run out of memory, files or threads
    collect_seldom()
    run(build_app(next((word for word in sys.argv[1:] if not word.startswith("-")), None)))


if __name__ == "__main__":
    main()

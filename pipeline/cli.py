"""Build the command `actionbank`: one typer app with every stage and every user command."""

import sys

import typer

from pipeline.base.command import new_app, run
from pipeline.base.faults import one_line_hook

# Commands that do not need PyTorch, which takes seconds to import, or that import it themselves when needed.
LIGHT = (
    "score",
    "score-multisports",
    "compare",
    "compose",
    "correct",
    "doctor",
    "errors",
    "live",
    "explain",
    "make-example",
    "models",
    "new-dataset",
    "pack-model",
    "predict",
    "render",
    "report",
    "runs",
    "spans",
    "status",
    "verify",
    "view",
    "bank",
    "work",
)


def build_app(command: str | None = None) -> typer.Typer:
    """Return the app with all commands; if `command` is a light one, without the stages."""
    from pipeline.commands.bank import bank_app
    from pipeline.commands.compare import compare
    from pipeline.commands.correct import correct
    from pipeline.commands.doctor import doctor
    from pipeline.commands.draw_film import render
    from pipeline.commands.error_report import errors
    from pipeline.commands.experiment_report import report
    from pipeline.commands.explain import explain
    from pipeline.commands.live import live
    from pipeline.commands.make_example import make_example
    from pipeline.commands.models import models
    from pipeline.commands.new_dataset import new_dataset
    from pipeline.commands.predict import pack_model, predict
    from pipeline.commands.project import compose, runs, work_app
    from pipeline.commands.score import score
    from pipeline.commands.score_multisports import score_multisports
    from pipeline.commands.spans import spans
    from pipeline.commands.status import status
    from pipeline.commands.verify import verify
    from pipeline.commands.view import view

    app = new_app("From a folder of videos to a spatio-temporal action detector with a long-term feature bank.")
    if command not in LIGHT:
        add_stages(app)
        add_checkpoint_commands(app)
    scores = (score, score_multisports, compare)
    after_predict = (correct, spans)
    for light in (
        *scores,
        *after_predict,
        compose,
        doctor,
        errors,
        live,
        make_example,
        models,
        new_dataset,
        pack_model,
        predict,
        render,
        runs,
        status,
        verify,
    ):
        app.command()(light)
    for shown in (view, explain, report):
        app.command()(shown)
    app.add_typer(bank_app, name="bank")
    app.add_typer(work_app, name="work")
    return app


def add_stages(app: typer.Typer) -> None:
    """Add the stages of dvc.yaml and of recognition/dvc.yaml, in the order in which they run."""
    from stages.check_params import check_params
    from stages.code import code
    from stages.detect_boxes import detect_boxes
    from stages.evaluate import evaluate
    from stages.evaluate_recognizer import evaluate_recognizer
    from stages.extract_frames import extract_frames
    from stages.import_annotations import import_annotations
    from stages.import_boxes import import_boxes
    from stages.import_labels import import_labels
    from stages.infer_bank import infer_bank
    from stages.infer_memory import infer_memory
    from stages.make_videos import make_videos
    from stages.train_baseline import train_baseline
    from stages.train_head import train_head
    from stages.train_recognizer import train_recognizer

    panel = "Stages"
    app.command("make-playground", rich_help_panel=panel)(make_videos)
    imports = (code, check_params, extract_frames, import_annotations, detect_boxes, import_boxes)
    for stage in (*imports, train_baseline, infer_bank, train_head, infer_memory, evaluate):
        app.command(rich_help_panel=panel)(stage)
    for stage in (import_labels, train_recognizer, evaluate_recognizer):
        app.command(rich_help_panel="Stages of recognition")(stage)


def add_checkpoint_commands(app: typer.Typer) -> None:
    """Add the commands that read and write checkpoints of other frameworks."""
    from pipeline.commands.convert import convert, export
    from pipeline.commands.parity import parity

    for command in (convert, export, parity):
        app.command()(command)


def main() -> None:
    """Entry point of the `actionbank` script."""
    one_line_hook()  # set before other imports, which may run out of memory, files or threads
    run(build_app(next((word for word in sys.argv[1:] if not word.startswith("-")), None)))


if __name__ == "__main__":
    main()

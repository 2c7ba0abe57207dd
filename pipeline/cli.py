"""`actionbank`: every stage and every user command in one typer app."""

from stages.extract_frames import extract_frames

from pipeline.command import new_app, run
from pipeline.commands.bank import bank_app
from pipeline.commands.compare import compare
from pipeline.commands.project import compose, runs, work_app
from pipeline.commands.score import score
from stages.evaluate import evaluate
from stages.import_annotations import import_annotations
from stages.import_boxes import import_boxes
from stages.infer_bank import infer_bank
from stages.make_videos import make_videos
from stages.train_baseline import train_baseline
from stages.train_head import train_head

app = new_app("From a folder of videos to a spatio-temporal action detector with a long-term feature bank.")

STAGES = (
    extract_frames,
    import_annotations,
    import_boxes,
    train_baseline,
    infer_bank,
    train_head,
    evaluate,
)
app.command("make-playground", rich_help_panel="Stages")(make_videos)
for stage in STAGES:
    app.command(rich_help_panel="Stages")(stage)
for command in (score, compare, compose, runs):
    app.command()(command)
app.add_typer(bank_app, name="bank")
app.add_typer(work_app, name="work")


def main() -> None:
    """Entry point of the `actionbank` script."""
    run(app)


if __name__ == "__main__":
    main()

"""Score a split with the trained recognizer: predictions, accuracies and tables."""

from pathlib import Path

from pipeline.base.errors import InputError
from pipeline.base.files import replace_folder
from pipeline.base.hardware import Hardware
from pipeline.base.numerics import set_numerics
from pipeline.base.ranks import is_main
from pipeline.base.runs import recorded_run
from pipeline.checkpoint.build_recognizer import build_recognizer
from pipeline.checkpoint.weights import RECOGNIZER, load_checkpoint, load_into
from pipeline.evaluation.clip_report import scores_table, write_clip_report
from pipeline.evaluation.settings import RecognitionEvaluation
from pipeline.recognition.clip_set import read_clips
from pipeline.recognition.score_clips import score_clips
from pipeline.tables.schemas import CLIP_SCORES, write_table

STAGE = "evaluate_recognizer"
RESULTS = Path("results/recognition")
PREDICTIONS = RESULTS / "predictions"


def evaluate_recognizer(data: Path, settings: RecognitionEvaluation, *, classes: int, hardware: Hardware) -> None:
    """Score models/recognizer.*, and write results/recognition.

    Args:
        data: the data set's folder, with the outs `frames` and `labels`.
        settings: see `RecognitionEvaluation`.
        classes: the number of classes in the parameters.
        hardware: see `Hardware`.

    Raises:
        InputError: the checkpoint has other classes, a clip of the split has no label, or a source is absent.
    """
    weights, checkpoint = load_checkpoint(RECOGNIZER)
    spec = checkpoint.recognizer()
    clips = read_clips(data / "labels", data / "frames", settings.split)
    if not spec.classes == classes == len(clips.classes.names):
        raise InputError(
            f"{RECOGNIZER}: scores {spec.classes} classes, recognition.dataset.classes is {classes}, and labels.json "
            f"lists {len(clips.classes.names)}; expected one number"
        )
    unlabelled = int((clips.labels < 0).sum())
    if unlabelled:
        raise InputError(
            f"{data / 'labels'}: {unlabelled} of {len(clips)} clips of {settings.split} have no label, expected a "
            "split with labels in recognition.evaluation.split"
        )
    set_numerics(
        compute_dtype=settings.compute_dtype, deterministic=False, threads=checkpoint.record["parameters"]["threads"]
    )
    recognizer = build_recognizer(spec)
    load_into(recognizer, weights, str(RECOGNIZER))
    recognizer.to(hardware.device).eval()
    with recorded_run(STAGE, spec.head.name, dataset=data.name):
        scores = {
            kind: score_clips(
                recognizer,
                clips,
                spec,
                views=kind,
                device=hardware.device,
                compute_dtype=settings.compute_dtype,
                workers=hardware.workers,
            )
            for kind in settings.views
        }
        if not is_main():
            return
        with replace_folder(PREDICTIONS, tuple(f"{kind}.parquet" for kind in scores)) as folder:
            for kind, each in scores.items():
                table = scores_table(clips.video_ids, clips.labels, each)
                write_table(table, folder / f"{kind}.parquet", CLIP_SCORES)
        extra = {"dataset": data.name, "split": settings.split, "backbone": spec.backbone, "head": spec.head.name}
        found = write_clip_report(
            RESULTS, clips.labels, scores, names=clips.classes.names, rule=settings.rule, extra=extra
        )
    shown = ", ".join(f"{kind} {found[kind]['top1']:.4f} ({found[kind]['top5']:.4f})" for kind in scores)
    print(f"{RESULTS}: {spec.head.name}: top-1 (top-5) {shown}; {len(clips)} clips of {settings.split}")

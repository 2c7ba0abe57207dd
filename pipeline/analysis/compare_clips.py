"""Compare two evaluations of the same clips: what changed, for which classes, and with what confidence."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.bootstrap import draw_weights
from pipeline.analysis.compare_results import Change
from pipeline.analysis.revisions import located
from pipeline.base.errors import InputError
from pipeline.base.files import read_json
from pipeline.evaluation.clip_report import Labels, Scores, read_scores
from pipeline.evaluation.settings import ViewsOf
from pipeline.evaluation.top_k import FEW, Rule, label_ranks
from pipeline.tables.clip_labels import read_clip_labels

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClipResult:
    """What one experiment found in the clips of a split."""

    name: str
    video_ids: list[str]
    labels: Labels
    scores: Scores


@dataclass(frozen=True)
class ClipComparison:
    """All changes from experiment A to B."""

    clips: int
    overall: list[Change]
    "Top-1, top-5 and the mean over classes."
    classes: list[Change]
    "Top-1 of each class that a clip has."


def read_clip_result(source: str, views: ViewsOf) -> ClipResult:
    """Read the scores of one experiment.

    Args:
        source: see `read_experiment`.
        views: whose scores.

    Raises:
        InputError: the folder, revision or file does not exist, or a file is bad.
    """
    with located(source) as locate:
        return ClipResult(source, *read_scores(locate(f"results/recognition/predictions/{views}.parquet")))


def class_names(source: str) -> list[str]:
    """Read the names of the classes of an experiment, in the order of their ids.

    Raises:
        InputError: the folder, revision or file does not exist, or a file is bad.
    """
    with located(source) as locate:
        dataset = read_json(locate("results/recognition/metrics.json"))["dataset"]
        return read_clip_labels(locate(f"data/{dataset}/labels/labels.json")).names


def compare_clips(
    a: ClipResult,
    b: ClipResult,
    names: Sequence[str],
    *,
    rule: Rule = "ours",
    resamples: int,
    seed: int,
    confidence: float = 0.95,
) -> ClipComparison:
    """Compute the change of accuracies from A to B, with intervals from a paired percentile bootstrap over clips.

    Each resample draws as many clips as there are, with replacement, for both experiments alike.

    Args:
        a: the experiment to compare with.
        b: the experiment whose changes are reported.
        names: of the classes.
        rule: of equal scores; see `accuracies`. The mean over classes is always over those that a clip has.
        resamples: number of resamples; 0 computes no intervals.
        seed: seed of the draws.
        confidence: share of resamples inside the interval.

    Raises:
        InputError: the experiments scored other clips, other labels or other classes.
    """
    if (a.video_ids, a.labels.tolist(), a.scores.shape) != (b.video_ids, b.labels.tolist(), b.scores.shape):
        shapes = [f"{len(each.labels)} clips of {each.scores.shape[1]} classes" for each in (a, b)]
        raise InputError(
            f"{a.name} and {b.name} scored other clips or labels ({shapes[0]}, {shapes[1]}), expected two experiments "
            "on the same split"
        )
    labels, clips = b.labels, len(b.labels)
    weights = np.ones((1, clips))
    if resamples and clips > 1:
        weights = np.concatenate([weights, draw_weights(clips, resamples=resamples, seed=seed)])
    of_class = (labels[:, None] == np.arange(b.scores.shape[1])).astype(np.float64)
    counted = weights @ of_class
    ranks = [label_ranks(each.scores, labels, higher_first=rule == "published") for each in (a, b)]
    top1, top5 = ([each < most for each in ranks] for most in (1, FEW))
    with np.errstate(invalid="ignore", divide="ignore"):
        by_class = [(weights * hits) @ of_class / counted for hits in top1]
    pairs: dict[str, tuple[Floats, Floats]] = {
        "top-1": (weights @ top1[0] / clips, weights @ top1[1] / clips),
        "top-5": (weights @ top5[0] / clips, weights @ top5[1] / clips),
        "mean over classes": (np.nanmean(by_class[0], axis=1), np.nanmean(by_class[1], axis=1)),
    }
    present = np.flatnonzero(of_class.any(axis=0)).tolist()
    return ClipComparison(
        clips,
        [_change(name, clips, before, after, confidence) for name, (before, after) in pairs.items()],
        [
            _change(names[each], int(of_class[:, each].sum()), by_class[0][:, each], by_class[1][:, each], confidence)
            for each in present
        ],
    )


def _change(name: str, examples: int, a: Floats, b: Floats, confidence: float) -> Change:
    """Return the change; the first value is that of all clips, the others are those of the resamples."""
    tail = 100 * (1 - confidence) / 2
    differences = (b - a)[1:]
    differences = differences[~np.isnan(differences)]
    low, high = (
        (float(each) for each in np.percentile(differences, [tail, 100 - tail])) if len(differences) else (None, None)
    )
    return Change(name, "", examples, float(a[0]), float(b[0]), float(b[0] - a[0]), low, high)

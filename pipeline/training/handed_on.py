"""Hand the baseline on in the place of a head (`head=baseline`): nothing is trained; `evaluate` scores it unchanged."""

from pathlib import Path

from pipeline.base.ranks import is_main
from pipeline.base.runs import recorded_run
from pipeline.checkpoint.sidecars import hand_on
from pipeline.checkpoint.weights import BASELINE, HEAD, load_checkpoint, save_checkpoint
from pipeline.models.settings import LongTermHead, Scope
from pipeline.training.loop import Fitted
from pipeline.training.outs import write_training


def hand_on_baseline(head: LongTermHead, scope: Scope, *, threads: int, dataset: str) -> None:
    """Write models/head.* and results/head as copies of the baseline.

    Args:
        head: `baseline`, for the record.
        scope: for the record.
        threads: CPU threads for scoring.
        dataset: the data set's name, for the record of the run.

    Raises:
        InputError: there is no baseline, or it is another kind of checkpoint.
    """
    with recorded_run("train_head", f"{head.name}_{scope}", dataset=dataset):
        if not is_main():
            return
        weights, baseline = load_checkpoint(BASELINE)
        save_checkpoint(HEAD, weights, hand_on(baseline, head=head, scope=scope, threads=threads))
        # A converted detector was trained elsewhere, so its epochs are unknown.
        fitted = Fitted(baseline.record.get("history", []), baseline.record.get("selected_epoch", 0))
        select = baseline.record["parameters"]["checkpoint"]["select"] if fitted.history else "last"
        shared = {"head": head.name, "scope": scope, "mixed_banks": {}}
        write_training(Path("results/head"), fitted, select=select, more=shared)
        print(f"{HEAD}: the baseline{f' of epoch {fitted.selected_epoch}' if fitted.history else ''}, handed on")

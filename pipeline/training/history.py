"""The history of a training: one row per epoch, as JSON can hold it."""

from typing import Any

Metrics = dict[str, Any]
OF_EPOCH = ("epoch", "lr", "loss")
"Keys of every row; all other keys come from the epoch's validation."
SHOWN = {"map": "mAP", "top1": "top-1 accuracy"}
"The headline of a validation, by its key in a row, as messages say it."

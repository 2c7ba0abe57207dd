"""What is known of each epoch of a training: one row per epoch, as JSON can hold it."""

from typing import Any

Metrics = dict[str, Any]
OF_EPOCH = ("epoch", "lr", "loss")
"Keys of every epoch's row; what else it has is of its validation."

"""Select the few numbers of an evaluation that DVC shows in `dvc exp show` and `dvc metrics diff`."""

from collections.abc import Mapping
from typing import Any


def summary(metrics: Mapping[str, Any], *, dataset: str) -> dict[str, Any]:
    """Return the content of `results/metrics.json`: the columns of `dvc exp show`.

    `dvc exp show` cuts its table at 1,024 characters. In sorted order the names of the data set and the head come
    first, then the mAP. DVC shows a key without its file's name if no other file has that key. No number occurs twice.

    Args:
        metrics: the result of `write_report`, with `head` and `scope`.
        dataset: name of the data set.

    Returns:
        `dataset`, `head`, `scope`; `mAP` of `evaluation.boxes` at `evaluation.iou`; `mAP_30` and the like at further
        IoUs; `mAP_ground_truth` or `mAP_detected` of the other kind of boxes; `mAP_of`, the mean of each group of
        classes, if there are several; `mAP_official`, if `evaluation.protocol` is another one; `mAP_video` of tubes,
        with `evaluation.metric` multisports.
    """
    kind = metrics["boxes"]
    found = metrics[kind]
    numbers = {"mAP": found["map"]}
    if "video_map" in metrics:
        numbers["mAP_video"] = metrics["video_map"]
    elif metrics["protocol"] != "official":
        numbers["mAP_official"] = found["official_map"]
    numbers |= {f"mAP_{each}": metrics[each]["map"] for each in ("detected", "ground_truth") if each != kind}
    headline = f"iou_{100 * metrics['iou']:g}"
    numbers |= {each.replace("iou", "mAP"): value for each, value in found["ious"].items() if each != headline}
    groups = {"mAP_of": found["groups"]} if len(found["groups"]) > 1 else {}
    return {"dataset": dataset, "head": metrics["head"], "scope": metrics["scope"], **numbers, **groups}

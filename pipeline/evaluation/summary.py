"""The few numbers of an evaluation that DVC shows: `dvc exp show`, `dvc metrics diff`."""

from collections.abc import Mapping
from typing import Any


def summary(metrics: Mapping[str, Any], *, dataset: str) -> dict[str, Any]:
    """What `results/metrics.json` holds: the columns of `dvc exp show`, which cuts its table after 1,024 characters.

    Sorted, the names of the data set and the head come first, then the mAP. DVC shows a key that no other file has
    without its file. No number stands there twice.

    Args:
        metrics: what `write_report` gave, with `head` and `scope`.
        dataset: its name.

    Returns:
        `dataset`, `head`, `scope`; `mAP`, that of `evaluation.boxes` at `evaluation.iou`; `mAP_30` and the like at
        further IoUs; `mAP_ground_truth` or `mAP_detected`, of the other kind of boxes; `mAP_of`, the mean of each
        group of classes where there are several; `mAP_official`, where `evaluation.protocol` is another;
        `mAP_video`, of tubes, with `evaluation.metric` multisports.
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

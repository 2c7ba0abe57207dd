from typing import Any

from pipeline.evaluation.summary import summary


def metrics(**more: Any) -> dict[str, Any]:
    kinds = {
        kind: {"map": each, "official_map": each + 0.01, "groups": {"a": each, "b": 0.0}, "ious": ious}
        for kind, each, ious in (
            ("detected", 0.5, {"iou_30": 0.6, "iou_50": 0.5}),
            ("ground_truth", 0.7, {"iou_30": 0.8, "iou_50": 0.7}),
        )
    }
    return {"boxes": "detected", "protocol": "official", "iou": 0.5, "head": "linear", "scope": "head", **kinds, **more}


def test_the_headline_is_of_the_boxes_that_are_scored_and_stands_once() -> None:
    names = {"dataset": "films", "head": "linear", "scope": "head"}
    assert summary(metrics(), dataset="films") == {
        **names, "mAP": 0.5, "mAP_30": 0.6, "mAP_ground_truth": 0.7, "mAP_of": {"a": 0.5, "b": 0.0},
    }  # fmt: skip
    assert summary(metrics(boxes="ground_truth"), dataset="films") == {
        **names, "mAP": 0.7, "mAP_30": 0.8, "mAP_detected": 0.5, "mAP_of": {"a": 0.7, "b": 0.0},
    }  # fmt: skip


def test_another_protocol_and_tubes_stand_beside_it() -> None:
    assert summary(metrics(protocol="pyslowfast"), dataset="films")["mAP_official"] == 0.51
    found = summary(metrics(video_map=0.2, protocol="mmaction2"), dataset="films")
    assert found["mAP_video"] == 0.2
    assert "mAP_official" not in found


def test_the_mean_of_the_only_group_is_the_map() -> None:
    found = metrics()
    found["detected"]["groups"] = {"unnamed": 0.5}
    assert "mAP_of" not in summary(found, dataset="films")

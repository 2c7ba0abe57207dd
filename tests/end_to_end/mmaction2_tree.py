"""Make a folder like that of an MMAction2 user, with the mini data set's films in place of AVA's."""

import pickle
import shutil
from pathlib import Path

import torch
import yaml

from pipeline.interop.export import export_mmaction2
from tests.end_to_end.harness import Project
from tests.interop.small_models import WIDTH, checkpoint_of, small_detector

AVA = {
    "train.csv": "ava_train_v2.1.csv",
    "val.csv": "ava_val_v2.1.csv",
    "excluded_train.csv": "ava_train_excluded_timestamps_v2.1.csv",
    "excluded_val.csv": "ava_val_excluded_timestamps_v2.1.csv",
    "labelmap.pbtxt": "ava_action_list_v2.1_for_activitynet_2018.pbtxt",
}
ROW = "conf/experiment/ava21_lfb_nl_slowonly_r50_4x16.yaml"
# Beside the row's own values: what makes it run in seconds.
SMALL = {
    "frames": {"short_side": 64},
    "backbone": {"width": WIDTH, "input": {"short_side": 64}},
    "baseline": {"augmentation": {"short_side": [64, 64], "crop": 64}},
    "head_train": {
        "global_batch": 8,
        "bn_batch": 8,
        "auto_scale_lr": True,
        "schedule": {"epochs": 1, "warmup_epochs": 0},
        "validation": {"interval": 0},
    },
}


def make_tree(project: Project) -> None:
    """`../mmaction2` with data/ava, banks, Kinetics weights and a result; makes the LFB row of the project small."""
    root, source = project.folder.parent / "mmaction2", project.folder / "data/playground_mini/source"
    ava = root / "data/ava"
    shutil.copytree(source / "videos", ava / "videos_15min")
    (ava / "annotations").mkdir()
    for ours, theirs in AVA.items():
        shutil.copyfile(source / "annotations" / ours, ava / "annotations" / theirs)
    for split in ("train", "val"):
        name = f"ava_dense_proposals_{split}.FAIR.recall_93.9.pkl"
        shutil.copyfile(source / f"proposals/proposals_{split}.pkl", ava / "annotations" / name)
        _write_bank(ava / f"lfb/lfb_{split}.pkl", ava / "annotations" / name)
    # What else lies there: of the films without annotations, and the label map of all classes.
    proposals = pickle.loads((ava / "annotations/ava_dense_proposals_val.FAIR.recall_93.9.pkl").read_bytes())
    test = {f"test_{key}": boxes for key, boxes in proposals.items()}
    (ava / "annotations/ava_dense_proposals_test.FAIR.recall_93.9.pkl").write_bytes(pickle.dumps(test))
    (ava / "annotations/ava_test_excluded_timestamps_v2.1.csv").write_text("test_val_000,0903\n")
    shutil.copyfile(ava / "annotations" / AVA["labelmap.pbtxt"], ava / "annotations/ava_action_list_v2.1.pbtxt")
    _write_classifier(root / "slowonly_k400.pth")
    lines = (source / "annotations/val.csv").read_text().splitlines()
    rows = [cells for cells in (line.split(",") for line in lines) if len(cells) == 8]
    (root / "result.csv").write_text(
        "".join(
            ",".join([*cells[:6], cells[6] if place % 3 else "2", f"{1 - place % 7 / 10:.4f}\n"])
            for place, cells in enumerate(rows)
        )
    )
    _shrink(project)
    project.commit("a small row")


def _write_bank(path: Path, proposals: Path) -> None:
    """As `LFBInferHead` writes it: a list of half-precision vectors for each second with a box of 0.9 and more."""
    found = pickle.loads(proposals.read_bytes())
    bank: dict[str, dict[int, list[torch.Tensor]]] = {}
    for key, boxes in sorted(found.items()):
        video, second = key.split(",")
        generator = torch.Generator().manual_seed(int(second))
        rows = torch.randn(int((boxes[:, 4] >= 0.9).sum()), 2048, generator=generator)
        bank.setdefault(video, {})[int(second)] = list(rows.half())
    path.parent.mkdir(exist_ok=True)
    torch.save(bank, path)


def _write_classifier(path: Path) -> None:
    model = small_detector("slowonly_r50", "linear")
    state = export_mmaction2(model.state_dict(), checkpoint_of(model, "slowonly_r50", "linear", False))[0]["state_dict"]
    backbone = {key: value for key, value in state.items() if key.startswith("backbone.")}
    classifier = {"cls_head.fc_cls.weight": torch.zeros(400, 32 * WIDTH), "cls_head.fc_cls.bias": torch.zeros(400)}
    torch.save({"meta": {}, "state_dict": {**backbone, **classifier}}, path)


def _shrink(project: Project) -> None:
    path = project.folder / ROW
    values = yaml.safe_load(path.read_text())
    for block, changes in SMALL.items():
        for key, change in changes.items():  # type: ignore[attr-defined]
            old = values.setdefault(block, {}).get(key)
            values[block][key] = {**old, **change} if isinstance(old, dict) and isinstance(change, dict) else change
    path.write_text("# @package _global_\n" + yaml.safe_dump(values, sort_keys=False))

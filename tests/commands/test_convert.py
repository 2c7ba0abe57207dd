"""`actionbank convert` and `actionbank export`, called in this process and, for messages, as users call them."""

import json
import os
import sys
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from pipeline.base.command import new_app
from pipeline.base.errors import InputError
from pipeline.checkpoint.build_baseline import build_baseline
from pipeline.checkpoint.build_scope import build_scope_detector, build_scope_head
from pipeline.checkpoint.sidecars import Checkpoint
from pipeline.checkpoint.specs import HeadSpec
from pipeline.checkpoint.weights import load_checkpoint, load_into, save_checkpoint
from pipeline.commands import convert as command
from pipeline.commands.convert import convert, export
from pipeline.interop.export import export_mmaction2
from pipeline.interop.fixtures import rule_weight
from pipeline.tables.label_map import Label, write_labels
from tests.checkpoint.sidecars import LINEAR
from tests.commands.ending import ended
from tests.interop.plain_trn import whole_shapes
from tests.interop.small_models import (
    acar_detector,
    acar_state,
    alphaction_state,
    caffe2_blobs,
    checkpoint_of,
    interacting,
    logits,
    pyslowfast_state,
    small_detector,
    write_pickle,
)

APP = new_app()
APP.command()(convert)
APP.command()(export)
ROOT = Path(__file__).parents[2]


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(APP, [str(word) for word in words])


def lines(*words: str | Path) -> list[str]:
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def refusal(*words: str | Path) -> str:
    result = invoke(*words)
    assert isinstance(result.exception, InputError), result.output
    return str(result.exception)


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def upstream(path: Path, backbone: str, head: str = "linear", **changes: Any) -> Any:
    model = small_detector(backbone, head, **changes)
    torch.save(export_mmaction2(model.state_dict(), checkpoint_of(model, backbone, head, False))[0], path)
    return model


def test_a_detector_is_converted_with_a_report(tmp_path: Path) -> None:
    model = upstream(tmp_path / "upstream.pth", "slowfast_r50_8x8")
    target, report = tmp_path / "x.safetensors", tmp_path / "report.json"
    found = lines("convert", tmp_path / "upstream.pth", "--to", target, "--report", report)
    tensors, checkpoint = load_checkpoint(target)
    sidecar = checkpoint.to_json()
    assert found == [
        "upstream.pth: MMAction2 detector",
        "head linear, backbone slowfast_r50_8x8 of width 8",
        "  spatial strides and dilations are taken as those of slowfast_r50_8x8",
        "  alpha 4 and slow frames by stride, likewise",
        "  4 classes, multi-label; row 0 of the classifier, the background, is dropped",
        "  RoIAlign 8x8, aligned True, temporal mean, context none",
        "642 loaded, 0 missing, 0 unexpected, 2 reshaped, 0 dropped, 0 made",
        "  reshaped: roi_head.bbox_head.fc_cls.weight: (5, 288) without its background row to (4, 288)",
        "  reshaped: roi_head.bbox_head.fc_cls.bias: (5,) without its background row to (4,)",
        f"{target}: 642 tensors, sha256 {sidecar['sha256'][:12]}",
    ]
    detector = build_baseline(checkpoint.detector())
    load_into(detector, tensors, "x")
    assert torch.equal(logits(detector.eval()), logits(model))
    assert checkpoint.detector().input.frames == 32
    assert sidecar["source"]["file"] == "upstream.pth"
    assert sidecar["source"]["keys"]["loaded"] == 642
    assert "/" not in json.dumps(sidecar)
    written = json.loads(report.read_text())
    assert len(written["loaded"]) == 642
    assert written["missing"] == []


def test_a_recipe_tells_what_the_weights_do_not(tmp_path: Path) -> None:
    model = upstream(tmp_path / "u.pth", "slowonly_r50", "lfb_nl")
    target = tmp_path / "x.safetensors"
    recipe = "ava21_lfb_nl_slowonly_r50_4x16"
    words = ["convert", str(tmp_path / "u.pth"), "--to", str(target), "--recipe", recipe]
    found = lines(*words, "--set", "dataset.classes=4")
    assert "  window 60 s, 5 rows per second of score 0.9, mask none" in found
    tensors, checkpoint = load_checkpoint(target)
    assert isinstance(checkpoint.spec, HeadSpec)
    detector = build_scope_detector(checkpoint.spec)
    load_into(detector, tensors, "x")
    torch.testing.assert_close(logits(detector.eval()), logits(model))
    assert checkpoint.spec.clip.offset_frames == 1
    assert checkpoint.record["source"]["recipe"] == recipe
    assert refusal(*words) == (
        f"{tmp_path / 'u.pth'}: the classifier has 5 rows, so 4 classes, expected 80; see --background and "
        "--set labels.background"
    )
    assert refusal(*words[:-1], "ava22_slowfast_r50_8x8").startswith(
        f"{tmp_path / 'u.pth'}: the weights are not those of the backbone slowfast_r50_8x8: "
    )
    assert "ava99" in refusal(*words[:-1], "ava99")


def test_pyslowfasts_regions_are_those_of_its_kind_of_file(tmp_path: Path) -> None:
    model = small_detector("pyslowfast_slow_r50", "linear", output_size=7)
    torch.save({"model_state": pyslowfast_state(model)}, tmp_path / "u.pyth")
    target = tmp_path / "x.safetensors"
    found = lines("convert", tmp_path / "u.pyth", "--to", target, "--as", "detector")
    assert "  RoIAlign 7x7, aligned True, temporal mean, context none" in found
    tensors, checkpoint = load_checkpoint(target)
    detector = build_baseline(checkpoint.detector())
    load_into(detector, tensors, "x")
    assert torch.equal(logits(detector.eval()), logits(model))
    assert checkpoint.detector().input.mean == (114.75,) * 3
    found = lines("convert", tmp_path / "u.pyth", "--to", target)
    assert "  its head has 4 rows, so it is taken as a classifier's; --as says otherwise" in found
    assert found[1] == "backbone pyslowfast_slow_r50 of width 8"


@pytest.mark.parametrize("told", [[], ["--set", "backbone=pyslowfast_slow_r50"]])
def test_regions_of_caffe2_are_not_shifted_whether_or_not_the_backbone_is_told(tmp_path: Path, told: list[str]) -> None:
    blobs = caffe2_blobs(pyslowfast_state(small_detector("pyslowfast_slow_r50", "linear")))
    write_pickle(tmp_path / "u.pkl", blobs)
    words = ["convert", str(tmp_path / "u.pkl"), "--to", str(tmp_path / "x.safetensors"), "--as", "detector", *told]
    assert "  RoIAlign 7x7, aligned False, temporal mean, context none" in lines(*words)
    assert "  RoIAlign 7x7, aligned True, temporal mean, context none" in lines(*words, "--set", "roi.aligned=true")


def test_export_and_convert_give_the_same_bytes(tmp_path: Path) -> None:
    upstream(tmp_path / "u.pth", "slowonly_r50_nl", "acrn")
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    lines("convert", tmp_path / "u.pth", "--to", first)
    assert lines("export", first, "--to", tmp_path / "back.pth") == [
        f"{tmp_path / 'back.pth'}: {len(load_checkpoint(first)[0])} tensors in the layout of mmaction2"
    ]
    lines("convert", tmp_path / "back.pth", "--to", second)
    assert first.read_bytes() == second.read_bytes()
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    original = torch.load(tmp_path / "u.pth", weights_only=True)
    assert {key: value.shape for key, value in back["state_dict"].items()} == {
        key: value.shape for key, value in original["state_dict"].items()
    }
    assert all(torch.equal(back["state_dict"][key], value) for key, value in original["state_dict"].items())


def test_our_own_detector_without_its_head_is_a_backbone(tmp_path: Path) -> None:
    upstream(tmp_path / "u.pth", "slowonly_r50")
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    lines("convert", tmp_path / "u.pth", "--to", first)
    found = lines("convert", first, "--to", second, "--drop-head", "head.")
    assert found[1] == "backbone slowonly_r50 of width 8"
    assert load_checkpoint(second)[1].kind == "backbone"
    again = tmp_path / "c.safetensors"
    lines("convert", first, "--to", again)
    lines("convert", first, "--to", again)  # what it wrote, it may replace
    assert again.read_bytes() == first.read_bytes()
    assert load_checkpoint(again)[1].spec == load_checkpoint(first)[1].spec


def test_a_url_is_downloaded_once_and_its_digest_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    calls = []

    def download(url: str, target: str, hash_prefix: str | None) -> None:
        calls.append((url, hash_prefix))
        Path(target).write_text(url)

    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    url = "https://example.org/a/slowonly_20220901-e7b65fad.pth"
    for _ in range(2):
        assert command.fetch(url).read_text() == url
    assert command.fetch(url).name == "slowonly_20220901-e7b65fad.pth"
    assert command.fetch(url).is_relative_to(tmp_path / ".work/downloads")
    assert calls == [(url, "e7b65fad")]
    for other in ("https://example.org/x.pkl", "https://example.org/b/x.pkl"):  # one name, two files
        assert command.fetch(other).read_text() == other
    assert calls[1:] == [("https://example.org/x.pkl", None), ("https://example.org/b/x.pkl", None)]


def test_without_network_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))

    def download(url: str, target: str, hash_prefix: str | None) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    url = "https://example.org/x.pth"
    assert refusal("convert", url, "--to", tmp_path / "x.safetensors") == (
        f"{url}: cannot be downloaded: no route; without network, bring the file and give its path"
    )
    for wrong in (
        "http://example.org/x.pth",
        "https://example.org/",
        "https://example.org/a%2F.pth",
        "https://example.org/..",
    ):
        assert refusal("convert", wrong, "--to", tmp_path / "x.safetensors") == (
            f"{wrong}: expected a file, or an https URL that ends with a file's name"
        )


def test_what_a_user_gets_wrong_is_one_line(tmp_path: Path) -> None:
    target = tmp_path / "x.safetensors"
    assert refusal("convert", "nowhere.pth", "--to", target) == "nowhere.pth: no such file"
    assert refusal("convert", "nowhere.pth", "--to", "x.pth") == "--to x.pth: expected a .safetensors file"
    assert refusal("export", "nowhere.safetensors", "--to", "x.pth") == "nowhere.safetensors: no such file"
    upstream(tmp_path / "u.pth", "slowonly_r50")
    assert refusal("convert", tmp_path / "u.pth", "--to", target, "--drop-head", "cls") == (
        f"{tmp_path / 'u.pth'}: --drop-head cls: no key of the checkpoint begins so"
    )
    assert not target.exists()


class Calls:
    def __reduce__(self) -> Any:
        return os.system, (f"touch {Path(__file__).parent / 'ran'}",)


def test_a_hostile_file_runs_nothing_and_is_refused_in_one_line(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "meta": Calls()}, tmp_path / "x.pth")
    words = ["convert", str(tmp_path / "x.pth"), "--to", str(tmp_path / "x.safetensors")]
    status, _, complained = ended(APP, *words)
    assert status == 1
    assert complained == (
        f"error: {tmp_path / 'x.pth'}: refused: the pickle names {os.system.__module__}.system; only tensors, arrays "
        "and plain containers are read, and there is no unsafe fallback: save the state dict alone, without other "
        "objects\n"
    )
    assert not (Path(__file__).parent / "ran").exists()


def test_a_trained_checkpoint_and_other_files_are_not_replaced(tmp_path: Path) -> None:
    upstream(tmp_path / "u.pth", "slowonly_r50")
    first = tmp_path / "a.safetensors"
    lines("convert", tmp_path / "u.pth", "--to", first)
    target = tmp_path / "x.safetensors"
    advice = "is there and not what this command writes, so it is not replaced; choose another name"
    target.with_suffix(".json").write_text('{"mine": 1}')
    assert refusal("convert", first, "--to", target) == f"{target.with_suffix('.json')}: {advice}"
    target.with_suffix(".json").unlink()
    target.write_bytes(b"mine")
    assert refusal("convert", first, "--to", target) == f"{target}: {advice}"
    assert target.read_bytes() == b"mine"
    assert (
        refusal("export", first, "--to", tmp_path / "u.pth") == f"{tmp_path / 'u.pth'}: is there; --force replaces it"
    )
    lines("export", first, "--to", tmp_path / "u.pth", "--force")


def test_a_head_becomes_an_onnx_model_with_the_names_of_its_classes(tmp_path: Path) -> None:
    checkpoint = Checkpoint.from_json(LINEAR, "h.json")
    assert isinstance(checkpoint.spec, HeadSpec)
    source, to = tmp_path / "head.safetensors", tmp_path / "out" / "h.onnx"
    to.parent.mkdir()
    save_checkpoint(source, build_scope_head(checkpoint.spec).state_dict(), checkpoint)
    said = [
        "  input persons float32 [boxes, 160]",
        "  output scores float32 [boxes, 5]",
        "  output logits float32 [boxes, 6]",
        "  the classes have numbers and no names: --labels FILE names them",
        f"{to}: head with head linear, opset 20",
    ]
    assert lines("export", source, "--onnx", to) == said
    assert json.loads(to.with_suffix(".json").read_text())["labels"] is None
    assert refusal("export", source, "--onnx", to) == f"{to}: is there; --force replaces it"
    to.unlink()
    assert refusal("export", source, "--onnx", to) == f"{to.with_suffix('.json')}: is there; --force replaces it"
    (tmp_path / "own.txt").write_text("1: walk\n2: run\n")
    assert lines("export", source, "--onnx", to, "--force", "--labels", tmp_path / "own.txt") == said[:3] + said[4:]
    named = [label["name"] for label in json.loads(to.with_suffix(".json").read_text())["labels"]]
    assert named == ["walk", "run"]
    write_labels(tmp_path / "labels.json", [Label(9, "fly", "PERSON_MOVEMENT")])  # as in the folder of a packed model
    assert refusal("export", source, "--onnx", to, "--force") == (
        f"{source}: has 5 classes, and the label map names id 9"
    )


def test_what_export_is_told_must_make_sense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = "export writes one thing: give --to FILE.pth or --onnx FILE.onnx"
    assert refusal("export", "x.safetensors") == one
    assert refusal("export", "x.safetensors", "--to", "x.pth", "--onnx", "x.onnx") == one
    assert refusal("export", "x.safetensors", "--onnx", "x.pt") == "--onnx x.pt: expected a .onnx file"
    assert refusal("export", "x.safetensors", "--to", tmp_path / "x.pth", "--labels", "l.txt") == (
        "--labels: a state dict holds no names of classes; it goes with --onnx"
    )
    assert refusal("export", "nowhere.safetensors", "--onnx", tmp_path / "x.onnx") == "nowhere.json: no such file"
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert refusal("export", "x.safetensors", "--onnx", tmp_path / "x.onnx") == (
        "--onnx needs the package onnxscript; `./run uv pip install -e '.[onnx]'` installs it"
    )


def test_a_file_of_alphaction_becomes_a_detector_with_its_groups_of_classes(tmp_path: Path) -> None:
    model = interacting("aia_serial", classes=80)
    torch.save({"model": alphaction_state(model), "iteration": 3, "person_pool": {}}, tmp_path / "ia.pth")
    found = lines("convert", tmp_path / "ia.pth", "--to", tmp_path / "ia.safetensors")
    assert found[:2] == [
        "ia.pth: AlphAction detector, with interaction",
        "head aia_serial, backbone alphaction_slowfast_r50_4x16 of width 8",
    ]
    assert "  80 classes, grouped-label" in found
    assert "  iteration, person_pool are left out: they belong to a training" in found
    assert "  dropped: person_pool" in found
    tensors, known = load_checkpoint(tmp_path / "ia.safetensors")
    spec = known.spec
    assert isinstance(spec, HeadSpec)
    assert [(each.classes, each.kind, each.weight) for each in spec.labels.groups] == [
        (14, "softmax", 1.2), (49, "sigmoid", 49.0), (17, "sigmoid", 17.0),
    ]  # fmt: skip
    assert spec.dropout == 0.2
    assert spec.roi is not None
    assert (spec.roi.extend_x, spec.roi.extend_y, spec.roi.aligned) == (0.1, 0.05, False)
    assert spec.input is not None
    assert (spec.input.frames, spec.input.interval, spec.input.mean[0]) == (64, 1, 122.7717)
    detector = build_scope_detector(spec)
    load_into(detector, tensors, "ia")
    inputs = {"frames": 16, "slots": 305, "bank_channels": model.roi_channels}
    torch.testing.assert_close(logits(detector.eval(), **inputs), logits(model, **inputs), rtol=1e-5, atol=1e-5)
    small = interacting("aia_serial", classes=7)
    torch.save(alphaction_state(small), tmp_path / "seven.pth")
    assert "  7 classes, multi-label" in lines(
        "convert", tmp_path / "seven.pth", "--to", tmp_path / "seven.safetensors"
    )


@pytest.mark.parametrize(
    ("backbone", "options"),
    [("pyslowfast_slowfast_r50_8x8", {"depth": 2}), ("acar_slowfast_r101_8x8", {"depth": 1, "kernel": 1})],
)
def test_a_file_of_acar_becomes_a_detector_with_its_loss_and_its_roi(
    backbone: str, options: dict[str, Any], tmp_path: Path
) -> None:
    model = acar_detector(backbone, **options)
    whole = {"epoch": 5, "state_dict": acar_state(model), "optimizer": {"state": {}}, "scheduler": {"last_iter": 9}}
    torch.save(whole, tmp_path / "acar.pth.tar")
    to = tmp_path / "acar.safetensors"
    found = lines("convert", tmp_path / "acar.pth.tar", "--to", to)
    assert found[:2] == ["acar.pth.tar: ACAR-Net detector", f"head acar, backbone {backbone} of width 8"]
    assert "  epoch, optimizer, scheduler are left out: they belong to a training" in found
    assert "  relations are taken as halved (downsample max2x2), which leaves no trace in the weights" in found
    assert (
        "  its columns are AVA's 60 evaluated classes in order of id, which dataset.class_map chooses (--recipe "
        "ava22_acar_r50 has it)"
    ) in found
    tensors, known = load_checkpoint(to)
    spec = known.detector()
    assert spec.head.options == {"kernel": 3, "reduced": 12, "hidden": 8, "bias": False, **options}
    assert (spec.dropout, spec.roi.output_size, spec.roi.aligned, spec.roi.scale) == (0.0, 7, False, "map")
    assert [(each.classes, each.kind, each.loss) for each in spec.labels.groups] == [
        (13, "softmax", "binary"), (47, "sigmoid", "cross_entropy"),
    ]  # fmt: skip
    detector = build_baseline(spec)
    load_into(detector, tensors, "acar")
    mine, theirs = detector.state_dict(), model.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    state = acar_state(model)
    alone = {key.removeprefix("module.backbone."): value for key, value in state.items() if "head" not in key}
    torch.save({"state_dict": alone}, tmp_path / "back.pth")
    found = lines("convert", tmp_path / "back.pth", "--to", tmp_path / "b.safetensors")
    assert found[:2] == ["back.pth: ACAR-Net backbone", f"backbone {backbone} of width 8"]


def test_acars_annotations_and_a_head_that_is_not_whole_are_refused(tmp_path: Path) -> None:
    torch.save(([{"video": "a", "time": "0902", "labels": []}], {0: {"id": 1}}), tmp_path / "train.pkl")
    assert refusal("convert", tmp_path / "train.pkl", "--to", tmp_path / "x.safetensors") == (
        f"{tmp_path / 'train.pkl'}: holds annotations of ACAR-Net (1 keyframes, 1 classes), which are made of AVA's "
        "own files, as conf/dataset/ava22.yaml names them, expected a checkpoint's dictionary"
    )
    state = acar_state(acar_detector("pyslowfast_slowfast_r50_8x8", classes=7, depth=1))
    torch.save({"state_dict": state}, tmp_path / "seven.pth")
    assert "  7 classes, multi-label" in lines("convert", tmp_path / "seven.pth", "--to", tmp_path / "7.safetensors")
    del state["module.head.module.conv2.weight"]
    torch.save({"state_dict": state}, tmp_path / "part.pth")
    assert refusal("convert", tmp_path / "part.pth", "--to", tmp_path / "x.safetensors") == (
        f"{tmp_path / 'part.pth'}: the weights of the relations of acar are not whole"
    )


def test_networks_for_single_frames_stay_so(tmp_path: Path) -> None:
    state = {key: rule_weight(key, shape) for key, shape in whole_shapes("TRNMultiScale", 3).items()}
    torch.save({"state_dict": state}, tmp_path / "trn.pth")
    names, to = tmp_path / "names.txt", tmp_path / "trn.safetensors"
    names.write_text("e\nd\nc\n\nb\na\n")
    assert lines("convert", tmp_path / "trn.pth", "--to", to, "--sorted-classes", names)[:-1] == [
        "trn.pth: MMAction2 recognizer",
        "head trn_multiscale, backbone resnet50 of width 8",
        "  5 classes, 3 segments",
        "  frames of short side 256, crops of 224, dropout 0.8",
        "  in testing the 3 relations of each scale are fixed, not drawn anew as published (head.test_relations)",
        "  4 classes get the ids of the given list, as the source numbers its names in their order",
        f"{len(state)} loaded, 0 missing, 0 unexpected, 0 reshaped, 0 dropped, 0 made",
    ]
    tensors, described = load_checkpoint(to)
    assert described.recognizer().segments == 3
    upstream = state["cls_head.consensus.fc_fusion_scales.1.3.bias"]
    assert torch.equal(tensors["head.scales.2.classifier.bias"], upstream.flip(0))
    back = tmp_path / "back.pth"
    lines("export", to, "--to", back)
    assert torch.load(back)["state_dict"].keys() == state.keys()
    # A backbone for clips, if it is named, takes the kernels inflated.
    told = ["--set", "backbone=slowonly_r50", "--set", "backbone.width=8"]
    found = lines("convert", tmp_path / "trn.pth", "--to", tmp_path / "slow.safetensors", *told)
    assert "backbone slowonly_r50 of width 8" in found
    names.write_text("\n")
    told_names: list[str | Path] = ["convert", tmp_path / "trn.pth", "--to", to, "--sorted-classes", names]
    assert refusal(*told_names) == f"--sorted-classes {names}: has no names, expected one a line"
    names.write_bytes(b"\xff")
    assert refusal(*told_names) == f"--sorted-classes {names}: cannot be read: it is no text"
    names.unlink()
    assert refusal(*told_names) == f"--sorted-classes {names}: cannot be read: No such file or directory"
    torch.save({"state_dict": {"backbone.x": torch.zeros(1)}}, tmp_path / "other.pth")
    assert refusal("convert", tmp_path / "other.pth", "--to", to, "--sorted-classes", names) == (
        "--sorted-classes: only the classes of a recognizer are renumbered"
    )


def test_groups_of_a_label_map_are_not_known_to_a_file(tmp_path: Path) -> None:
    torch.save(alphaction_state(interacting("aia_serial", classes=7)), tmp_path / "x.pth")
    named = "labels={kind: grouped, groups: [{classes: poses, kind: softmax}, {classes: others, kind: sigmoid}]}"
    result = invoke("convert", tmp_path / "x.pth", "--to", tmp_path / "x.safetensors", "--set", named)
    assert isinstance(result.exception, InputError)
    assert str(result.exception).endswith(
        "labels.groups are poses, others, which a data set's label map counts; expected numbers of classes "
        "(--set labels.groups=[...])"
    )

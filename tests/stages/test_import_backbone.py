"""A frozen network of the library, through the stages: imported, its rows banked, a head trained, a film predicted."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.bank.reader import open_bank
from pipeline.base.checksums import read_sealed_json
from pipeline.base.errors import InputError
from pipeline.base.files import digest_file
from pipeline.checkpoint.build_baseline import feature_detector
from pipeline.checkpoint.frozen_network import NETWORK
from pipeline.checkpoint.weights import BASELINE, load_checkpoint, load_tensors, save_tensors
from pipeline.interop.export import export_mmaction2
from pipeline.interop.onnx_export import export_onnx
from pipeline.models.build import build_backbone
from pipeline.params import load_params
from pipeline.predict.load_model import load_model
from pipeline.predict.model_files import find_model, pack_model
from pipeline.project.compose import compose_params
from pipeline.video.clip_indices import clip_indices
from pipeline.video.store import FrameStore
from stages import import_backbone, infer_bank, train_baseline
from tests.checkpoint.networks import make_folder
from tests.recipes import CONF
from tests.stages.test_infer_memory import stages_of
from tests.stages.zoo import DATA, make_data, new_zoo

CHOICES = ("dataset=playground_mini", "backbone=transformers", "backbone.folder=made", "head=lfb_nl")
FILES = {str(NETWORK), str(NETWORK.with_suffix(".json"))}
SMALL = (
    *("backbone.width=null", "backbone.input.frames=4", "backbone.input.short_side=32", "baseline.schedule.epochs=0"),
    *("baseline.augmentation.crop=none", "baseline.augmentation.short_side=[32,32]"),
    *("head.options.latent=8", "head.window.seconds=5", "head.window.per_second=2"),
)


def test_dvc_imports_the_folder_and_every_stage_that_makes_features_depends_on_it(tmp_path: Path) -> None:
    plain = stages_of(tmp_path / "plain", "dataset=playground_mini", "head=lfb_nl")
    assert not any(name.startswith("import_backbone") for name in plain)
    assert {"conf/none/network", "conf/none/network_sidecar"} < plain["train_baseline@baseline"]
    stages = stages_of(tmp_path / "bank", *CHOICES, "frames.allow_smaller=true")
    assert stages["import_backbone@transformers"] == {"made", ".code/import_backbone.json", "params.yaml"}
    for name in ("train_baseline@baseline", "infer_bank@train", "infer_bank@val"):
        assert stages[name] > FILES
    for name in ("train_head", "evaluate"):
        assert not stages[name] & FILES
    linear = stages_of(tmp_path / "linear", *CHOICES, "frames.allow_smaller=true", "head=linear")
    assert linear["train_head"] > FILES
    assert linear["evaluate"] > FILES


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (CHOICES[:2], "backbone.folder must be given, with -S or to compose: backbone.folder=..."),
        (
            [*CHOICES, "scope=all"],
            "backbone=transformers is frozen, and scope=all trains it; scope=head trains the head",
        ),
        (
            [*CHOICES, "baseline.init=k.safetensors"],
            "baseline.init is k.safetensors, and backbone=transformers takes its weights from backbone.folder; "
            "expected none",
        ),
        (
            [*CHOICES[1:3], "roi.pool=attentive"],
            "roi.pool is attentive, which the baseline learns, and baseline.schedule.epochs is 0; expected 1 or more",
        ),
        (
            ["baseline.freeze=backbone"],
            "baseline.freeze is backbone, and baseline.init is none: the backbone would stay as it was drawn; expected "
            "a file of weights",
        ),
    ],
)
def test_what_cannot_be_is_told(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError) as error:
        compose_params(["frames.allow_smaller=true", *overrides], CONF)
    assert str(error.value).endswith(message)


@pytest.mark.slow
def test_a_head_is_trained_on_rows_of_a_frozen_network(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    data = tmp_path_factory.mktemp("data")
    make_data(data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("ACTIONBANK_PARAMS", raising=False)
    network = make_folder(tmp_path / "made", "videomae")
    project = new_zoo(data, *CHOICES, *SMALL)
    import_backbone.import_backbone()
    train_baseline.train_baseline(workers=1, device="cpu")
    tensors, _ = load_checkpoint(BASELINE)
    assert set(tensors) == {"backbone.digest", "head.classifier.weight", "head.classifier.bias"}
    frozen = read_sealed_json(BASELINE.with_suffix(".json"))["frozen"]
    assert (frozen["model_type"], frozen["folder"], frozen["channels"]) == ("videomae", "made", 24)
    assert frozen["sha256"] == digest_file(tmp_path / "made/model.safetensors")
    project.infer_banks()
    check_rows(network)
    project.train_head()
    project.evaluate()
    # A packed model holds the network; without it the model says what is missing.
    digest = pack_model(tmp_path / "packed", find_model(tmp_path))
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "packed", moved)
    assert find_model(moved).digest == digest
    frames = np.random.default_rng(0).integers(0, 255, (4, 48, 64, 3), np.uint8)
    persons = load_model(moved, device="cpu", workers=1).predict_clip(frames, np.array([[0.1, 0.1, 0.6, 0.9]]))
    assert len(persons[0].scores) == 20
    (moved / "backbone.safetensors").unlink()
    with pytest.raises(InputError, match=r"not a whole model: backbone\.safetensors is missing"):
        find_model(moved)
    # The pooling and the head are trained where the baseline has epochs, on the same network.
    project.compose(
        *CHOICES, *SMALL, "baseline.schedule.epochs=1", "roi.pool=attentive", "baseline.validation.interval=1"
    )
    train_baseline.train_baseline(workers=1, device="cpu")
    learned, described = load_checkpoint(BASELINE)
    assert learned["pool.query"].abs().max() > 0
    assert torch.equal(learned["backbone.digest"], tensors["backbone.digest"])
    assert described.detector().roi.pool == "attentive"
    infer_bank.infer_bank("val", workers=1, device="cpu")
    attended = open_bank(DATA / "bank/val.zarr")
    assert attended.provenance["pooling"] == "mean over time, then cells by learned attention"
    with pytest.raises(InputError, match=r"features are those of a frozen videomae, which it does not hold$"):
        export_mmaction2(learned, described)
    with pytest.raises(
        InputError, match=r"^its features are those of transformers .*'s videomae, which is not exported"
    ):
        export_onnx(tmp_path / "x.onnx", learned, described, None)
    # Another network makes another baseline, although nothing that is trained differs.
    other = load_tensors(NETWORK)
    make_folder(tmp_path / "made", "videomae", layer_norm_eps=1e-3)
    import_backbone.import_backbone()
    assert all(torch.equal(value, other[name]) for name, value in load_tensors(NETWORK).items())
    with pytest.raises(InputError, match=r"^models/backbone\.safetensors: is FrozenSpec"):
        infer_bank.infer_bank("train", workers=1, device="cpu")


@pytest.mark.slow
def test_a_backbone_of_ours_is_frozen_and_its_pool_is_exported(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    data = tmp_path_factory.mktemp("data")
    make_data(data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("ACTIONBANK_PARAMS", raising=False)
    start = build_backbone("slowonly_tiny", width=8)
    save_tensors(Path("start.safetensors"), start.state_dict())
    tiny = ("backbone=slowonly_tiny", "backbone.width=8", "head=lfb_avg", "roi.pool=attentive")
    new_zoo(data, *tiny, "baseline.freeze=backbone", "baseline.init=start.safetensors")
    train_baseline.train_baseline(workers=1, device="cpu")
    tensors, checkpoint = load_checkpoint(BASELINE)
    assert all(torch.equal(tensors[f"backbone.{name}"], value) for name, value in start.state_dict().items())
    assert tensors["pool.query"].abs().max() > 0
    export_onnx(tmp_path / "model.onnx", tensors, checkpoint, None)
    detector = feature_detector(checkpoint.detector(), tensors, str(BASELINE)).eval()
    clips, index = torch.randn(3, 3, checkpoint.detector().input.frames, 48, 64), torch.tensor([0, 1, 2, 2])
    boxes = torch.tensor([[4.0, 4, 30, 44], [20, 10, 60, 40], [0, 0, 64, 48], [5, 5, 20, 40]])
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    given = {"clips": clips.numpy(), "boxes": boxes.numpy(), "clip_index": index.numpy()}
    (features,) = session.run(["features"], given)
    with torch.no_grad():
        np.testing.assert_allclose(features, detector.features(clips, boxes, index).numpy(), atol=1e-4)
    with pytest.raises(InputError, match=r"^roi\.pool is attentive, and MMAction2 takes the maximum over"):
        export_mmaction2(tensors, checkpoint)


def check_rows(network: torch.nn.Module) -> None:
    """Rows of the val bank, computed once more with the library's tokens and torchvision's RoIAlign."""
    # Imported here and not above: it takes a second, and each worker reads all files of tests.
    from torchvision.ops import roi_align

    params, store, bank = load_params(), FrameStore(DATA / "frames"), open_bank(DATA / "bank/val.zarr")
    clip = params.backbone.input
    (video,) = bank.videos
    rows = bank.rows(video, "detections")
    for number in (0, len(rows.timestamp) - 1):
        time = float(rows.timestamp[number]) - 899.5  # the playground calls its first half second 900
        indices = clip_indices(time, fps=store.fps, frames=4, interval=clip.interval, total=store.grid_frames(video))
        frames = torch.from_numpy(store.read_clip(video, indices)).permute(0, 3, 1, 2)
        pixels = torch.nn.functional.interpolate(frames, (32, 32), mode="bilinear", align_corners=False).float()
        pixels = (pixels - torch.tensor(clip.mean)[:, None, None]) / torch.tensor(clip.std)[:, None, None]
        with torch.no_grad():
            tokens = network(pixels[None]).last_hidden_state[0]
        cells = tokens.view(2, 4, 4, 24).mean(dim=0).permute(2, 0, 1)
        box = torch.from_numpy(rows.boxes_xyxy[number]).float() * 32
        cut = roi_align(cells[None], [box[None]], 8, spatial_scale=1 / 8, sampling_ratio=0, aligned=True)
        expected = cut[0].flatten(1).max(dim=1).values
        np.testing.assert_allclose(rows.features[number], expected.numpy(), rtol=2e-3, atol=2e-3)  # fp16

"""What a Hugging Face folder must be; with the library itself in tests/checkpoint/test_frozen_network.py."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import InputError
from pipeline.checkpoint.import_network import check_normalisation, read_config
from pipeline.video.clip_input import ClipInput

CLIP = ClipInput(
    frames=4, interval=1, short_side=32, shape="square", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
)
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def again(folder: Path) -> str:
    return (
        f"python -c \"from transformers import VideoMAEModel as M; M.from_pretrained('{folder}').save_pretrained("
        "'NEW', max_shard_size='100GB')\""
    )


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        read_config(folder)
    return str(error.value)


def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "no"
    assert refusal(missing) == (
        f"backbone.folder: {missing}: no such folder; expected one with config.json and model.safetensors"
    )
    assert refusal(tmp_path) == (
        f"backbone.folder: {tmp_path}: has no config.json; expected a model's folder with model.safetensors"
    )
    write(tmp_path / "config.json", {"model_type": "clip"})
    assert refusal(tmp_path) == (
        f"{tmp_path}/config.json: model_type is 'clip', expected one of videomae, vjepa2, timesformer"
    )
    write(tmp_path / "config.json", {"model_type": "videomae"})
    assert refusal(tmp_path) == f"backbone.folder: {tmp_path}: has no model.safetensors"
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    assert refusal(tmp_path) == (
        f"{tmp_path}/pytorch_model.bin: is a pickle, which may run code as it is read, and is not read here; expected "
        f"model.safetensors; if you trust it, {again(tmp_path)} writes a folder with one"
    )
    write(tmp_path / "model.safetensors.index.json", {})
    assert refusal(tmp_path) == (
        f"{tmp_path}/model.safetensors.index.json: the weights are in parts, expected one model.safetensors; "
        f"{again(tmp_path)} writes it"
    )


def test_a_configuration_keeps_what_computes_and_runs_no_code_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    code = {
        "auto_map": {"AutoModel": "evil.Model"},
        "id2label": {"0": "run"},
        "_name_or_path": "/a",
        "dtype": "float16",
    }
    write(tmp_path / "config.json", {"model_type": "videomae", "hidden_size": 24, **code})
    assert read_config(tmp_path) == {"model_type": "videomae", "hidden_size": 24}


def test_mean_and_deviation_are_those_of_the_folder(tmp_path: Path) -> None:
    assert check_normalisation(tmp_path, CLIP) == (
        "; it has no preprocessor_config.json, so nothing says whether backbone.input.mean and std are its own"
    )
    path = tmp_path / "preprocessor_config.json"
    write(path, {"image_mean": MEAN, "image_std": STD})
    assert check_normalisation(tmp_path, CLIP) == ""
    write(path, {"image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    with pytest.raises(InputError) as error:
        check_normalisation(tmp_path, CLIP)
    assert str(error.value) == (
        f"backbone.input.mean is [123.675, 116.28, 103.53], {path} says [127.5, 127.5, 127.5] (of values 0 to 255); "
        "-S 'backbone.input.mean=[127.5, 127.5, 127.5]' takes it"
    )
    write(path, {"image_mean": [each * 255 for each in MEAN], "image_std": [1.0] * 3, "do_rescale": False})
    with pytest.raises(InputError, match=r"^backbone\.input\.std is .* says \[1\.0, 1\.0, 1\.0\]"):
        check_normalisation(tmp_path, CLIP)
    write(tmp_path / "video_preprocessor_config.json", {"do_normalize": False})  # the newer name goes first
    with pytest.raises(InputError, match=r"^backbone\.input\.mean is .* says \[0\.0, 0\.0, 0\.0\]"):
        check_normalisation(tmp_path, CLIP)

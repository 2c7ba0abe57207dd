"""A bank goes to a remote, and a colleague trains a head with it: no videos, no frames, no weights."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project.harness import Project

BANK = "data/playground_mini/bank"
NEEDED = [f"{BANK}/train.zarr", f"{BANK}/val.zarr", "data/playground_mini/annotations", "models/baseline.json"]
MODULE = "moto.server"


def train_from_the_remote(project: Project, folder: Path, environment: dict[str, str] | None = None) -> None:
    """Push everything, clone, pull only the bank and the annotations, and train another head."""
    project.commit("a remote")
    project.run("dvc", "push", environment=environment)
    colleague = project.clone(folder)
    colleague.run("dvc", "pull", *NEEDED, environment=environment)
    assert not (colleague.folder / "data/playground_mini/frames").exists()
    assert not (colleague.folder / "data/playground_mini/source/videos").exists()
    verified = colleague.run("actionbank", "bank", "verify", "data/playground_mini/bank/train.zarr")
    assert "whole" in verified or "no finding" in verified.lower()
    output = colleague.run(
        "dvc", "exp", "run", "--allow-missing", "-S", "head=lfb_nl", "train_head", "evaluate", environment=environment
    )
    assert "Running stage 'train_head'" in output
    assert "Running stage 'extract_frames'" not in output
    assert colleague.metrics()["head"] == "lfb_nl"
    assert not (colleague.folder / "models/baseline.safetensors").exists()


def test_a_bank_is_shared_through_a_folder(project: Project, tmp_path: Path) -> None:
    project.dvc("remote", "add", "-d", "shared", str(tmp_path / "remote"))
    train_from_the_remote(project, tmp_path / "colleague")


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[str]:
    """An S3 endpoint on loopback, with a bucket."""
    log = (tmp_path / "moto.log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", MODULE, "-H", "127.0.0.1", "-p", "0"], stdout=log, stderr=log
    )
    try:
        port = ""
        while not port:
            assert server.poll() is None, (tmp_path / "moto.log").read_text()
            for line in (tmp_path / "moto.log").read_text().splitlines():
                if "Running on http://127.0.0.1:" in line:
                    port = line.rsplit(":", 1)[1].strip()
        url = f"http://127.0.0.1:{port}"
        urllib.request.urlopen(urllib.request.Request(f"{url}/banks", method="PUT"), timeout=30)
        yield url
    finally:
        server.kill()
        server.wait()
        log.close()


def test_a_bank_is_shared_through_s3(project: Project, tmp_path: Path, s3: str) -> None:
    project.dvc("remote", "add", "-d", "shared", "s3://banks/project")
    project.dvc("remote", "modify", "shared", "endpointurl", s3)
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    assert "http_proxy" not in os.environ or "127.0.0.1" in os.environ.get("no_proxy", "127.0.0.1")
    train_from_the_remote(project, tmp_path / "colleague", credentials)


def test_a_bank_says_where_it_comes_from(finished: Project) -> None:
    info = json.loads(finished.run("actionbank", "bank", "info", "data/playground_mini/bank/val.zarr", "--json"))
    sidecar = json.loads((finished.folder / "models/baseline.json").read_text())
    assert sidecar["sha256"] in json.dumps(info)

"""A Ray cluster of two nodes on this machine: the bytes of one process, whatever is killed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import ClusterError
from pipeline.base.files import digest_tree
from pipeline.base.ray_cluster import PATIENCE
from pipeline.base.work import list_rests, remove_rests
from tests.end_to_end.harness import REPOSITORY, Project
from tests.kills import TOKEN, ours_running
from tests.ray_work import LOG, STAGE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 5}
NAMES = [f"item-{number:02}" for number in range(12)]


@contextmanager
def two_nodes() -> Iterator[Any]:
    """A cluster of two nodes; yields it with `second`, the node that may be killed."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault(*PATIENCE)
    os.environ.setdefault("RAY_worker_niceness", "0")  # 15 by default: nearly nothing on a machine with other work
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "_system_config": QUICK})
    try:
        cluster.second = cluster.add_node(**NODE)
        yield cluster
    finally:
        cluster.shutdown()


@pytest.fixture(scope="module")
def nodes() -> Iterator[dict[str, str]]:
    """What a stage's environment says of a cluster that no test kills."""
    with two_nodes() as cluster:
        yield on(cluster)


def on(cluster: Any) -> dict[str, str]:
    return {"ACTIONBANK_EXECUTOR": "ray", "RAY_ADDRESS": cluster.address}


def start(root: Path, words: list[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
    root.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.ray_work", *words], cwd=REPOSITORY, text=True,
        env={**os.environ, "DVC_ROOT": str(root), **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(root: Path, words: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
    process = start(root, words, environment)
    printed, complained = process.communicate(timeout=600)
    return process.returncode, printed, complained


def log(root: Path, word: str) -> Counter[str]:
    """How often each item was begun or finished."""
    lines = [line.split() for line in (root / LOG).read_text().splitlines()] if (root / LOG).exists() else []
    return Counter(name for kind, name in lines if kind == word)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def items(root: Path) -> str:
    return digest_tree(root / ".work" / STAGE)


@pytest.mark.parametrize("kind", ["tasks", "actors"])
def test_items_are_those_of_one_process_and_those_that_fail_are_named(
    nodes: dict[str, str], tmp_path: Path, kind: str
) -> None:
    """A process that the system kills once, as without memory, is no loss; one that ends each time is that item's."""
    good = [*NAMES[:4], "dies-once"]
    assert run(tmp_path / "one", ["tasks", "0", *NAMES[:4], "item-x"], {})[0] == 0
    status, _, told = run(tmp_path / "ray", [kind, "0.1", *good, "dies", "refused"], nodes)
    assert status == 1
    assert told.splitlines()[-1] == (
        "error: 2 of 7 items failed, the others are kept in .work; dies: its worker was lost 4 times; its process "
        "ended, the last time, when no other item of this run was made; dmesg and Ray's logs on the nodes say why: no "
        "memory is the usual cause; nothing is stored for it"
    )
    assert log(tmp_path / "ray", "begun") == {**dict.fromkeys(good, 1), "dies-once": 2, "dies": 4, "refused": 1}
    assert log(tmp_path / "ray", "finished") == dict.fromkeys(good, 1)
    for name in NAMES[:4]:
        folders = [tmp_path / root / ".work" / STAGE / f"key-{name}" for root in ("one", "ray")]
        assert digest_tree(folders[0]) == digest_tree(folders[1])
    assert not list((tmp_path / "ray/.work").glob("probes*"))
    left = {path.name.split(".")[1] for path in (tmp_path / "ray/.work").rglob(".*.partial")}
    assert left <= {"key-dies"}, "what was made after a kill leaves nothing, and `work gc` takes the rest"
    # What is there is made no second time, and reaches no cluster.
    status, printed, _ = run(tmp_path / "ray", [kind, "0", *good], {**nodes, "RAY_ADDRESS": "127.0.0.1:1"})
    assert (status, printed) == (0, "5\n")


@pytest.mark.parametrize("kind", ["tasks", "actors"])
def test_what_the_system_refuses_ends_the_work_and_leaves_no_partial_file(
    nodes: dict[str, str], tmp_path: Path, kind: str
) -> None:
    """A limit on the size of files stands for a full disk: the write fails in the middle of an item."""
    status, _, told = run(tmp_path, [kind, "0.1", NAMES[0], "large", *NAMES[1:]], nodes)
    assert status == 1
    assert re.fullmatch(
        r"error: large: failed 4 times, last on Ray node \S+ \(\S+\): \S+/key-large: File too large; "
        r"the limit on the size of files is too small: raise it .*",
        told.splitlines()[-1],
    )
    assert log(tmp_path, "begun")["large"] == 4
    stored = {path.name for path in (tmp_path / ".work" / STAGE).glob("key-*")}
    assert f"key-{NAMES[0]}" in stored
    assert "key-large" not in stored
    left = [path for path in (tmp_path / ".work").rglob(".*.partial") if "large" in path.name]
    assert left == []


def test_items_travel_where_no_folder_is_shared(nodes: dict[str, str], tmp_path: Path) -> None:
    assert run(tmp_path / "one", ["tasks", "0", *NAMES], {})[0] == 0
    alone = {**nodes, "ACTIONBANK_SHARED": "no"}
    assert run(tmp_path / "ray", ["tasks", "0", *NAMES], alone)[:2] == (0, "12\n")
    assert items(tmp_path / "ray") == items(tmp_path / "one")
    assert run(tmp_path / "ray", ["tasks", "0", *NAMES], alone)[:2] == (0, "12\n")
    assert log(tmp_path / "ray", "begun") == dict.fromkeys(NAMES, 1)


def test_a_driver_that_is_killed_goes_on_where_it_was(nodes: dict[str, str], tmp_path: Path) -> None:
    root = tmp_path / "ray"
    assert run(tmp_path / "one", ["tasks", "0", *NAMES], {})[0] == 0
    process = start(root, ["actors", "0.3", *NAMES], nodes)
    wait_until(lambda: len(log(root, "finished")) >= 3)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: log(root, "begun").total() - log(root, "finished").total() <= 2)
    made = {path.name for path in (root / ".work" / STAGE).glob("key-*")}
    assert 0 < len(made) < 12
    before = log(root, "begun")
    assert run(root, ["actors", "0", *NAMES], nodes)[:2] == (0, "12\n")
    again = {f"key-{name}" for name in (log(root, "begun") - before)}
    assert not again & made
    assert items(root) == items(tmp_path / "one")


@pytest.mark.parametrize("kind", ["tasks", "actors"])
def test_a_node_that_is_killed_costs_its_items_only(tmp_path: Path, kind: str) -> None:
    assert run(tmp_path / "one", ["tasks", "0", *NAMES], {})[0] == 0
    root = tmp_path / "ray"
    with two_nodes() as cluster:
        process = start(root, [kind, "1", *NAMES], on(cluster))
        wait_until(lambda: len(log(root, "finished")) >= 3 and len(log(root, "loaded")) == 2)
        cluster.remove_node(cluster.second, allow_graceful=False)
        printed, told = process.communicate(timeout=600)
    assert (process.returncode, printed) == (0, "12\n"), told
    assert items(root) == items(tmp_path / "one")
    finished = log(root, "finished")
    assert set(finished) == set(NAMES)
    assert finished.total() <= 13, "only what the node was about to store is made again"


def test_a_head_that_is_killed_costs_its_cluster_only(tmp_path: Path) -> None:
    """Ray ends the driver, which runs beside the head here; the next cluster goes on with what is finished."""
    root = tmp_path / "ray"
    assert run(tmp_path / "one", ["tasks", "0", *NAMES], {})[0] == 0
    with two_nodes() as cluster:
        process = start(root, ["actors", "1", *NAMES], {**on(cluster), "RAY_gcs_rpc_server_reconnect_timeout_s": "3"})
        wait_until(lambda: len(log(root, "finished")) >= 3)
        cluster.head_node.kill_gcs_server(check_alive=False)
        _, told = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "Failed to connect to GCS within 3 seconds" in told
    made = {path.name for path in (root / ".work" / STAGE).glob("key-*")}
    assert 0 < len(made) < 12
    before = log(root, "begun")
    with two_nodes() as cluster:
        assert run(root, ["actors", "0", *NAMES], on(cluster))[:2] == (0, "12\n")
    assert not {f"key-{name}" for name in (log(root, "begun") - before)} & made
    assert items(root) == items(tmp_path / "one")


def test_stages_write_the_bytes_that_threads_write(project: Project, nodes: dict[str, str]) -> None:
    before = {name: project.tree(name) for name in ("data/playground_mini/frames", "data/playground_mini/bank")}
    for name in ("extract_frames", "bank_parts"):
        shutil.rmtree(project.folder / ".work" / name)
    project.run("python", "-m", "stages.extract_frames", environment=nodes)
    for split in ("train", "val"):
        project.run("python", "-m", "stages.infer_bank", split, environment=nodes)
    assert {name: project.tree(name) for name in before} == before
    for environment in ({}, nodes):
        project.run("python", "-m", "stages.detect_boxes", "motion", environment=environment)
        found = project.tree("data/playground_mini/detected_boxes")
        assert found == before.setdefault("boxes", found)
        shutil.rmtree(project.folder / ".work/detected_boxes")
    films = str(project.folder / "data/playground_mini/source")
    for out, environment in (("one", {}), ("ray", nodes)):
        words = ["--detector", "motion", "--out", out, "--keep-bank", f"{out}.zarr"]
        project.run("actionbank", "predict", films, *words, environment=environment)
    assert project.tree("ray") == project.tree("one")
    assert project.tree("ray.zarr") == project.tree("one.zarr")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project in this process's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("ACTIONBANK_PARAMS", raising=False)
    return tmp_path


def check_on_ray(
    make: Callable[[], None],
    outs: list[Path],
    stage: str,
    environment: dict[str, str],
    shared: tuple[str, ...] = ("yes", "no"),
) -> None:
    """A stage whose items of `.work` are gone makes the same outs on Ray, with a shared folder and without."""
    items, before = Path(".work", stage), [digest_tree(out) for out in outs]
    names = sorted(path.name for path in items.iterdir())
    assert names
    for word in shared:
        shutil.rmtree(items)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**environment, "ACTIONBANK_SHARED": word}.items():
                patch.setenv(name, value)
            make()
        assert sorted(path.name for path in items.iterdir()) == names
        assert [digest_tree(out) for out in outs] == before


def test_packs_and_rows_of_a_frozen_network(zoo_data: Path, here: Path, nodes: dict[str, str]) -> None:
    pytest.importorskip("transformers")
    from stages import extract_frames, import_backbone, train_baseline
    from tests.checkpoint.networks import make_folder
    from tests.stages import test_import_backbone as frozen
    from tests.stages.zoo import DATA, Zoo

    make_folder(here / "made", "videomae")
    shutil.copytree(zoo_data / DATA, DATA)
    shutil.copytree(zoo_data / "several", DATA / "annotations")
    project = Zoo({})
    project.compose(*frozen.CHOICES, *frozen.SMALL, "dataset.pack=2")
    extract_frames.extract_frames(workers=1)
    check_on_ray(partial(extract_frames.extract_frames, workers=2), [DATA / "frames"], "extract_frames", nodes)
    assert {path.stem[-5:] for path in (DATA / "frames").glob("*.arrow")} == {"-of-2"}
    import_backbone.import_backbone()
    train_baseline.train_baseline(workers=1, device="cpu")
    project.infer_banks()
    banks = [DATA / f"bank/{split}.zarr" for split in ("train", "val")]
    check_on_ray(project.infer_banks, banks, "bank_parts", nodes)
    # A file that only the processes on the nodes read: its damage is told once, and is no error of a film.
    shutil.rmtree(".work/bank_parts")
    network = Path("models/backbone.safetensors")
    network.write_bytes(network.read_bytes()[:-1])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in nodes.items():
            patch.setenv(name, value)
        with pytest.raises(ClusterError, match=r"^Ray node \S+ \(\S+\): models/backbone\.safetensors: "):
            project.infer_banks()


def test_boxes_of_faster_rcnn(here: Path, nodes: dict[str, str]) -> None:
    import torch
    from torchvision.models.detection import fasterrcnn_resnet50_fpn

    from stages.detect_boxes import detect_boxes
    from tests.stages import test_detect_boxes as small

    films = {"a": 1.0, "b": 1.0}
    small.write_tables(films)
    small.write_frames_of(dict.fromkeys(films, small.picture))
    torch.manual_seed(0)
    torch.save(fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict(), "local.pth")
    small.configure(here, weights="local.pth", detector="fasterrcnn", min_score=0.01)
    make = partial(detect_boxes, "fasterrcnn", workers=1, device="cpu")
    make()
    assert len((small.OUT / "objects/objects.csv").read_text().splitlines()) > 100
    # Each run takes half a minute of CPU time.
    check_on_ray(make, [small.OUT], "detected_boxes", nodes, shared=("no",))


def test_a_memory_of_the_trained_detector(zoo_data: Path, here: Path, nodes: dict[str, str]) -> None:
    from stages import infer_memory, train_head
    from tests.stages import test_infer_memory as memory
    from tests.stages.zoo import new_zoo

    new_zoo(zoo_data, *memory.CHOICES, "head_train.schedule.epochs=1")
    train_head.train_head(workers=1, device="cpu")
    make = partial(infer_memory.infer_memory, "val", workers=1, device="cpu")
    make()
    check_on_ray(make, [memory.MEMORY], "bank_parts", nodes)


def test_a_cluster_of_one_machine_ends_with_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    root, token = tmp_path / "ray", "ray-driver"
    own = {"ACTIONBANK_EXECUTOR": "ray", "RAY_ADDRESS": "", "HOME": str(tmp_path), TOKEN: token}
    process = start(root, ["tasks", "0.3", *NAMES], own)
    wait_until(lambda: len(log(root, "finished")) >= 2)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: ours_running(token) == [])
    assert run(root, ["tasks", "0", *NAMES], own)[:2] == (0, "12\n")
    assert ours_running(token) == []
    monkeypatch.setenv("DVC_ROOT", str(root))
    remove_rests(list_rests())
    assert list((root / ".work").rglob(".*")) == []

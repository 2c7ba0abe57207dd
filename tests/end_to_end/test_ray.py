"""A Ray cluster of two nodes on this machine: the bytes of one process, whatever is killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.files import digest_tree
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
        "ended, the last time; no memory is the usual cause: give the nodes fewer CPUs (ray start --num-cpus); nothing "
        "is stored for it"
    )
    assert log(tmp_path / "ray", "begun") == {**dict.fromkeys(good, 1), "dies-once": 2, "dies": 4, "refused": 1}
    assert log(tmp_path / "ray", "finished") == dict.fromkeys(good, 1)
    for name in NAMES[:4]:
        folders = [tmp_path / root / ".work" / STAGE / f"key-{name}" for root in ("one", "ray")]
        assert digest_tree(folders[0]) == digest_tree(folders[1])
    assert not list((tmp_path / "ray/.work").glob("probes*"))
    # What is there is made no second time, and reaches no cluster.
    status, printed, _ = run(tmp_path / "ray", [kind, "0", *good], {**nodes, "RAY_ADDRESS": "127.0.0.1:1"})
    assert (status, printed) == (0, "5\n")


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

import os
import platform
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.base.errors import ClusterError
from pipeline.base.make_items import Job, Needs, make_items
from pipeline.base.ray_cluster import ADDRESS, SHARED, RayCluster, connect, shares_folder
from pipeline.base.ray_executor import RayExecutor
from pipeline.base.ray_jobs import Actors, Tasks
from tests.base.stand_in_ray import StandIn, put_in_place

NEEDS = Needs(module="pipeline.base.packing")
HERE = platform.node()


@pytest.fixture
def ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    found = StandIn(CPU=2.0, GPU=1.0)
    put_in_place(monkeypatch, found)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in (ADDRESS, SHARED, "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.delenv(name, raising=False)
    return found


def name_of(job: Job) -> str:
    return job.name


def test_a_cluster_of_this_machine_is_started_and_nothing_is_left(ray: StandIn, tmp_path: Path) -> None:
    cluster = RayCluster(3, NEEDS, name_of)
    assert ray.started[0]["num_cpus"] == 3
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert cluster.node_name("n1") == "host-n1 (n1)"
    assert len(list((tmp_path / ".work/probes").iterdir())) == 1
    assert isinstance(cluster.jobs, Tasks)
    cluster.close()
    assert ray.ended == ["all"]
    assert list((tmp_path / ".work").iterdir()) == []


def test_a_model_takes_a_gpu_where_there_is_one(ray: StandIn) -> None:
    wanted = Needs(module=NEEDS.module, keeps_model=True, may_use_gpu=True)
    for needs, device in ((wanted, "cuda"), (Needs(module=NEEDS.module, keeps_model=True), "cpu")):
        cluster = RayCluster(1, needs, name_of)
        assert isinstance(cluster.jobs, Actors)
        assert cluster.jobs.words[1][0][0].device == device
        cluster.close()


def test_a_cluster_that_others_use_is_told(ray: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    RayCluster(1, NEEDS, name_of).close()
    assert capsys.readouterr().err == ""
    ray.busy = {"CPU"}
    RayCluster(1, NEEDS, name_of).close()
    assert capsys.readouterr().err == "waiting: no CPU of the Ray cluster is free now\n"


def test_a_node_that_does_not_see_the_folder_is_named(
    ray: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.base.ray_worker.fault_of_node", lambda place, answer: "has no folder /x")
    with pytest.raises(ClusterError, match=r"^Ray node host-n1 \(n1\): has no folder /x$"):
        RayCluster(1, NEEDS, name_of)
    assert ray.ended == ["all"]
    monkeypatch.setattr("pipeline.base.ray_worker.fault_of_node", lambda place, answer: "")  # and writes nothing
    with pytest.raises(ClusterError) as error:
        RayCluster(1, NEEDS, name_of)
    assert str(error.value) == (
        f"Ray node host-n1 (n1): what it writes in {tmp_path}/.work is not here on {HERE}; share the project's folder "
        "with it, or set ACTIONBANK_SHARED=no"
    )
    monkeypatch.setenv(SHARED, "no")
    cluster = RayCluster(1, NEEDS, name_of)
    assert cluster.probe is None
    cluster.close()


def test_a_node_without_the_code_or_an_answer_is_named(ray: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(reference: int) -> str:
        raise ray.exceptions.RayError("gone")

    with monkeypatch.context() as patch:
        patch.delattr("pipeline.base.ray_worker.fault_of_node")
        with pytest.raises(
            ClusterError, match=r"cannot import the project's code \(ImportError: .*expected it in Ray's"
        ):
            RayCluster(1, NEEDS, name_of)
    with monkeypatch.context() as patch:
        patch.setattr(ray, "get", absent)
        with pytest.raises(ClusterError, match=r"^Ray node host-n1 \(n1\): cannot be checked: gone$"):
            RayCluster(1, NEEDS, name_of)
    monkeypatch.setattr(ray, "wait", lambda references, num_returns, timeout: ([], references))
    with pytest.raises(ClusterError, match=r"^Ray node host-n1 \(n1\): does not answer within 120 s$"):
        RayCluster(1, NEEDS, name_of)


def test_a_cluster_that_cannot_be_reached(ray: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: object) -> None:
        assert "num_cpus" not in options
        raise ConnectionError("no Ray\n at this address")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setattr("socket.create_connection", lambda place, seconds: SimpleNamespace(close=lambda: None))
    monkeypatch.setenv(ADDRESS, "10.0.0.1:6379")
    told = "RAY_ADDRESS=10.0.0.1:6379: cannot use this Ray cluster: no Ray at this address"
    for mode, more in (("", "; if it asks for a token, set RAY_AUTH_MODE=token (docs/cluster.md)"), ("token", "")):
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
        with RayExecutor(1, NEEDS) as executor, pytest.raises(ClusterError) as error:
            make_items(name_of, [Job("a")], count=1, executor=executor, what="make", unit="item")
        assert str(error.value) == f"{told}{more}"
    monkeypatch.setenv(ADDRESS, "ray://10.0.0.1:10001")
    with pytest.raises(ClusterError) as error:
        connect(1)
    assert str(error.value) == (
        "RAY_ADDRESS=ray://10.0.0.1:10001: Ray's client cannot be used; run this on a node of the cluster, with "
        "RAY_ADDRESS=auto"
    )


@pytest.mark.parametrize("address", ["127.0.0.1:1", "auto"])
def test_an_address_at_which_nothing_listens_is_told_at_once(
    address: str, ray: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray would try for many minutes; `auto` may stand for a cluster that is gone."""
    services = SimpleNamespace(find_bootstrap_address=lambda folder: "127.0.0.1:1")
    monkeypatch.setattr(StandIn._private, "services", services, raising=False)
    monkeypatch.setenv(ADDRESS, address)
    with pytest.raises(ClusterError) as error:
        connect(1)
    assert str(error.value) == (
        f"RAY_ADDRESS={address}: no Ray cluster answers{' at 127.0.0.1:1' if address == 'auto' else ''} (Connection "
        "refused); start one (ray start --head), or correct the address"
    )
    assert ray.started == []


def test_an_address_that_only_ray_understands_is_left_to_it(ray: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.create_connection", lambda *words: 1 / 0)
    for address in ("auto", "somewhere"):
        monkeypatch.setenv(ADDRESS, address)
        connect(1)
    assert [each["address"] for each in ray.started] == ["auto", "somewhere"]


def test_without_ray_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch, None)
    message = r"^ACTIONBANK_EXECUTOR=ray: Ray is not installed; `./run uv pip install -e '\.\[ray\]'` installs it$"
    with pytest.raises(ClusterError, match=message):
        connect(1)


def test_a_word_for_the_folder_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARED, "maybe")
    with pytest.raises(ClusterError, match=r"^ACTIONBANK_SHARED=maybe: expected yes or no$"):
        shares_folder()

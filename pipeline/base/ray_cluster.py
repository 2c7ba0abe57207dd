"""A Ray cluster as the executor sees it: reach it, check its nodes, start jobs, wait for them.

Its address is Ray's own RAY_ADDRESS; without one, a cluster of this machine is started, and ended with the work. Ray's
usage statistics are off in what is started here.
"""

import os
import platform
import socket
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.base.errors import ClusterError, how_to_install
from pipeline.base.files import owner_name
from pipeline.base.make_items import Job, Needs
from pipeline.base.ray_jobs import Actors, Jobs, Tasks
from pipeline.base.ray_worker import Place, code_of, probe_answer
from pipeline.base.work import PROBES, is_finished, list_items, work_root

ADDRESS = "RAY_ADDRESS"
AUTH = "RAY_AUTH_MODE"
SHARED = "ACTIONBANK_SHARED"
LARGEST = 2**30
"Bytes of an item that go from node to driver where no folder is shared."
PATIENCE = ("RAY_agent_register_timeout_ms", "120000")
"Ray ends a cluster whose agent takes 15 s to start, as it does on a machine with much other work."
CONNECT_SECONDS = 20.0
PROBE_SECONDS = 120.0
"A node must answer within this time; it may have to start a process and import the code."


class RayCluster:
    """A cluster whose nodes were checked, and that makes the jobs of one function."""

    def __init__(self, threads: int, needs: Needs, make: Callable[[Job], Any]) -> None:
        """Reach the cluster and check its nodes.

        Raises:
            ClusterError: Ray is not installed, there is no cluster, or a node of it cannot make items.
        """
        self.ray = connect(threads)
        self.probe: Path | None = None
        try:
            gpus = needs.may_use_gpu and self.ray.cluster_resources().get("GPU", 0) >= 1
            place = self._place(needs.module, gpus=gpus)
            self.nodes: dict[str, str] = {}
            check_nodes(self.ray, place)
            _tell_if_busy(self.ray, "GPU" if gpus else "CPU")
            box = [self.ray.put((place, make))]
            words = self.ray, place.token, box
            self.jobs: Jobs = Actors(*words, gpus=int(gpus)) if needs.keeps_model else Tasks(*words)
        except BaseException:
            self.close()
            raise

    def _place(self, module: str, *, gpus: bool) -> Place:
        token, root = uuid.uuid4().hex, work_root()
        if shares_folder():
            self.probe = root / PROBES / f".{token[:8]}.{owner_name()}.partial"
            self.probe.parent.mkdir(parents=True, exist_ok=True)
            self.probe.write_text(token)
        return Place(
            token=token,
            project=str(Path.cwd()),
            root=str(root.parent.absolute()),
            module=module,
            code=code_of(module),
            device="cuda" if gpus else "cpu",
            probe=None if self.probe is None else str(self.probe.absolute()),
            largest=LARGEST,
            finished=() if self.probe else [each[:2] for each in list_items() if is_finished(*each[:2])],
            environment={name: value for name, value in os.environ.items() if name.startswith("ACTIONBANK_")},
        )

    def node_name(self, node: str) -> str:
        """Return the name of a node for a message: its machine, and the name or address that Ray has for it."""
        if node not in self.nodes:
            self.nodes = {each["NodeID"]: name_of(each) for each in self.ray.nodes()}
        return self.nodes.get(node, node)

    def close(self) -> None:
        """End the jobs that still run, and leave the cluster."""
        with suppress(Exception):
            if hasattr(self, "jobs"):
                self.jobs.close()
        self.ray.shutdown()
        if self.probe is not None:
            self.probe.unlink(missing_ok=True)
            with suppress(OSError):  # another run has its own there
                self.probe.parent.rmdir()


def shares_folder() -> bool:
    """Return whether the nodes share the project's folder (ACTIONBANK_SHARED, by default yes).

    Raises:
        ClusterError: it is neither yes nor no.
    """
    word = os.environ.get(SHARED) or "yes"
    if word not in ("yes", "no"):
        raise ClusterError(f"{SHARED}={word}: expected yes or no")
    return word == "yes"


def connect(threads: int) -> Any:
    """Reach the cluster at RAY_ADDRESS, or start one of this machine with so many CPUs; return the library.

    Raises:
        ClusterError: Ray is not installed, or there is no cluster of the same versions at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise ClusterError(f"ACTIONBANK_EXECUTOR=ray: Ray is not installed; {how_to_install('ray')}") from None
    address = os.environ.get(ADDRESS) or "local"
    if address.startswith("ray://"):
        raise ClusterError(
            f"{ADDRESS}={address}: Ray's client cannot be used; run this on a node of the cluster, with {ADDRESS}=auto"
        )
    if address == "local":
        os.environ.setdefault(*PATIENCE)
    else:
        _check_port(ray, address)
    local: dict[str, Any] = {"num_cpus": threads, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **local)
    except Exception as error:
        cause = " ".join(str(error).split())[:500]
        more = "" if os.environ.get(AUTH) else f"; if it asks for a token, set {AUTH}=token (docs/cluster.md)"
        raise ClusterError(f"{ADDRESS}={address}: cannot use this Ray cluster: {cause}{more}") from None
    with suppress(AttributeError):
        # Else Ray prints the last lines of a lost node's log on standard output, whatever `log_to_driver` says.
        ray._private.worker._worker_logs_enabled = False
    return ray


def _check_port(ray: Any, address: str) -> None:
    """Refuse an address at which nothing listens: Ray itself would try again for many minutes, without a word.

    What is no HOST:PORT is left to Ray.
    """
    found, asked = address, ""
    if address == "auto":
        with suppress(Exception):  # no public function tells which cluster Ray would take
            found = ray._private.services.find_bootstrap_address(None) or address
        asked = f" at {found}"
    host, _, port = found.rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise ClusterError(
            f"{ADDRESS}={address}: no Ray cluster answers{asked} ({error.strerror or error}); start one (ray start "
            "--head), or correct the address"
        ) from None


def _tell_if_busy(ray: Any, resource: str) -> None:
    """Say so where this run must wait: Ray itself would say nothing, and a task that waits looks like one that runs."""
    if ray.available_resources().get(resource, 0) < 1:
        print(f"waiting: no {resource} of the Ray cluster is free now", file=sys.stderr)


def name_of(node: dict[str, Any]) -> str:
    """Return the name of a node of `ray.nodes()` for a message."""
    return f"{node['NodeManagerHostname']} ({node['NodeName']})"


def check_nodes(ray: Any, place: Place) -> None:
    """Let every node say whether it can make items, and see what it writes in the shared folder.

    Raises:
        ClusterError: names the first node that cannot, by name.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def probe(words: dict[str, Any]) -> str:
        # This function goes to the node as it stands: the project's code may not be there.
        try:
            from pipeline.base.ray_worker import Place, fault_of_node
        except Exception as error:
            return f"cannot import the project's code ({type(error).__name__}: {error}); expected it in Ray's Python"
        return fault_of_node(Place(**words), answer=True)

    nodes = sorted((each for each in ray.nodes() if each["Alive"]), key=name_of)
    words, task = asdict(place), ray.remote(num_cpus=0, max_retries=1)(probe)
    answers = {}
    for node in nodes:
        here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        answers[task.options(scheduling_strategy=here).remote(words)] = node
    done, _ = ray.wait(list(answers), num_returns=len(answers), timeout=PROBE_SECONDS)
    for answer, node in answers.items():
        fault = _fault(ray, answer, is_done=answer in done)
        if not fault and place.probe is not None:
            fault = _fault_of_answer(probe_answer(Path(place.probe), node["NodeID"]), place.token)
        if fault:
            raise ClusterError(f"Ray node {name_of(node)}: {fault}")


def _fault(ray: Any, answer: Any, *, is_done: bool) -> str:
    if not is_done:
        return f"does not answer within {PROBE_SECONDS:g} s"
    try:
        return str(ray.get(answer))
    except ray.exceptions.RayError as error:
        return f"cannot be checked: {' '.join(str(error).split())[:300]}"


def _fault_of_answer(path: Path, token: str) -> str:
    try:
        if path.read_text() == token:
            return ""
    except FileNotFoundError:
        pass
    finally:
        path.unlink(missing_ok=True)
    return (
        f"what it writes in {path.parent.parent} is not here on {platform.node()}; share the project's folder with it, "
        f"or set {SHARED}=no"
    )

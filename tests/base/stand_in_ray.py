"""A stand-in for the library Ray: calls run when somebody waits for them, on nodes that are only named."""

import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest


class RayError(Exception): ...


class RayTaskError(RayError): ...


class OutOfMemoryError(RayError): ...


class Remote:
    """A function or a class that runs elsewhere."""

    def __init__(self, ray: "StandIn", target: Callable[..., Any]) -> None:
        self.ray, self.target = ray, target

    def options(self, **options: Any) -> "Remote":
        self.ray.options.append(options)
        return self

    def remote(self, *arguments: Any) -> Any:
        if isinstance(self.target, type):
            actor = self.target(*arguments)
            self.ray.actors.append(actor)
            methods = {name: Remote(self.ray, getattr(actor, name)) for name in ("ready", "run")}
            return SimpleNamespace(actor=actor, **methods)
        self.ray.calls.append((self.target, arguments))
        return len(self.ray.calls) - 1


class StandIn:
    """What the project uses of `ray`."""

    _private = SimpleNamespace(worker=SimpleNamespace())
    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, **resources: float) -> None:
        self.resources = resources
        self.options: list[dict[str, Any]] = []
        self.actors: list[Any] = []
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.ended: list[Any] = []
        self.started: list[dict[str, Any]] = []
        self.node_ids = ["n1"]
        self.busy: set[str] = set()

    def init(self, **options: Any) -> None:
        self.started.append(options)

    def shutdown(self) -> None:
        self.ended.append("all")

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def available_resources(self) -> dict[str, float]:
        return {name: size for name, size in self.resources.items() if name not in self.busy}

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": each, "Alive": True, "NodeManagerHostname": f"host-{each}", "NodeName": each}
            for each in self.node_ids
        ]

    def remote(self, **options: Any) -> Callable[[Callable[..., Any]], Remote]:
        self.options.append(options)
        return lambda target: Remote(self, target)

    def put(self, value: Any) -> Any:
        return value

    def wait(self, references: Sequence[int], *, num_returns: int, timeout: float) -> tuple[list[int], list[int]]:
        return list(references[:num_returns]), list(references[num_returns:])

    def get(self, reference: int) -> Any:
        target, arguments = self.calls[reference]
        return target(*arguments)

    def cancel(self, reference: int, *, force: bool) -> None:
        self.ended.append(reference)

    def kill(self, actor: Any) -> None:
        self.ended.append(actor.actor)

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: self.node_ids[0])


def put_in_place(monkeypatch: pytest.MonkeyPatch, ray: Any) -> None:
    """Let `import ray` give the stand-in; None: Ray is not installed."""
    strategies = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node, soft: node)
    monkeypatch.setitem(sys.modules, "ray", ray)
    for name, module in (("util", SimpleNamespace()), ("util.scheduling_strategies", strategies)):
        monkeypatch.setitem(sys.modules, f"ray.{name}", module)

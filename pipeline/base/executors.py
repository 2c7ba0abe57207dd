"""Choose where items are made: in threads of this process, or on a Ray cluster (docs/cluster.md).

The choice is of the hardware: no key holds it, and the bytes of an item are the same.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from pipeline.base.errors import InputError
from pipeline.base.make_items import ItemExecutor, Needs
from pipeline.base.ray_executor import RayExecutor

EXECUTOR = "ACTIONBANK_EXECUTOR"
KINDS = ("threads", "ray")


def uses_ray() -> bool:
    """Return whether items are made on a Ray cluster.

    Raises:
        InputError: ACTIONBANK_EXECUTOR is none of KINDS.
    """
    kind = os.environ.get(EXECUTOR) or KINDS[0]
    if kind not in KINDS:
        raise InputError(f"{EXECUTOR}={kind}: expected {' or '.join(KINDS)}")
    return kind == "ray"


@contextmanager
def item_executor(
    threads: int, needs: Needs, *, initializer: Callable[[], None] | None = None
) -> Iterator[ItemExecutor]:
    """Yield what makes items: a thread pool, or a `RayExecutor`, which reaches the cluster with its first job.

    Args:
        threads: items at a time on this machine; the CPUs of a cluster that is started here.
        needs: see `Needs`.
        initializer: called in each thread of the pool.

    Raises:
        InputError: see `uses_ray`.
    """
    if uses_ray():
        with RayExecutor(threads, needs) as cluster:
            yield cluster
    else:
        with ThreadPoolExecutor(threads, initializer=initializer) as pool:
            yield pool

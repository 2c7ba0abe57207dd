"""Ray's own memory monitor ends processes: who is made again, who is blamed, and that the bytes are the same.

The cluster lives in a memory cgroup of its own that hides that of the machine, as in a container. So the monitor sees
what the cluster takes and nothing of other processes, and can take no more than the cgroup may have.
"""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.base.files import digest_tree
from tests.end_to_end.harness import REPOSITORY
from tests.ray_work import LOG, STAGE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
LIMIT = 2500 * 2**20
MONITOR = {"RAY_memory_monitor_refresh_ms": "100", "RAY_memory_usage_threshold": "0.6"}
CGROUPS = Path("/sys/fs/cgroup")


@pytest.fixture
def memory() -> Iterator[Path]:
    """A memory cgroup that may have LIMIT."""
    pytest.importorskip("ray")
    first, most = (CGROUPS / "memory", "memory.limit_in_bytes")
    if not first.is_dir():
        first, most = CGROUPS, "memory.max"
    group = first / f"actionbank-{os.getpid()}"
    try:
        group.mkdir()
        (group / most).write_text(str(LIMIT))
    except OSError as error:
        pytest.skip(f"needs a memory cgroup of its own: {error}")
    yield group
    for _ in range(200):  # Ray's last process may take a moment to end
        if not (group / "cgroup.procs").read_text():
            break
        time.sleep(0.1)
    group.rmdir()


def run(group: Path, root: Path, words: list[str]) -> tuple[int, str]:
    """Make items on a cluster of this machine in the cgroup; returns the status and the last line of complaints."""
    inside = f'echo $$ > {group}/cgroup.procs && mount --bind {group} {group.parent} && exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", inside, "sh", sys.executable, "-m", "tests.ray_work", *words]
    own = {"ACTIONBANK_EXECUTOR": "ray", "RAY_ADDRESS": "", "HOME": str(root), "DVC_ROOT": str(root), **MONITOR}
    done = subprocess.run(
        words, cwd=REPOSITORY, env={**os.environ, **own}, text=True, capture_output=True, timeout=900, check=False
    )
    return done.returncode, done.stderr.splitlines()[-1] if done.stderr else ""


def log(root: Path, word: str) -> Counter[str]:
    return Counter(line.split()[1] for line in (root / LOG).read_text().splitlines() if line.startswith(f"{word} "))


@pytest.mark.parametrize("kind", ["tasks", "actors"])
def test_what_ran_out_of_memory_is_made_again_and_what_always_does_is_named(
    memory: Path, tmp_path: Path, kind: str
) -> None:
    """Ray ends the process that began last, be it the hungry one or not: none that needs little is blamed."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    root, good = tmp_path, [f"item-{number}" for number in range(8)]
    names = [*good[:3], "hungry", "hungry-once", *good[3:]]
    status, told = run(memory, root, [kind, "0.3", *names])
    assert (status, told.partition("its node ")[0]) == (
        1, "error: 1 of 10 items failed, the others are kept in .work; hungry: its worker was lost 4 times; "
    )  # fmt: skip
    assert told.partition(" has no more ")[2] == (
        "memory, the last time, when no other item of this run was made; it needs a node with more memory; nothing is "
        "stored for it"
    )
    made = [*good, "hungry-once"]
    begun = log(root, "begun")
    assert begun["hungry"] == 4, "Ray itself retries nothing"
    assert 2 <= begun["hungry-once"] <= 4
    assert log(root, "finished") == dict.fromkeys(made, 1)
    assert {path.name for path in (root / ".work" / STAGE).glob("key-*")} == {f"key-{name}" for name in made}
    for name in made:
        alone = root / "expected" / name
        (alone / "part").mkdir(parents=True)
        (alone / "part/data.bin").write_bytes(name.encode() * 1000)
        stored = root / ".work" / STAGE / f"key-{name}"
        assert digest_tree(stored / "part") == digest_tree(alone / "part")

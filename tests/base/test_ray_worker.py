import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.base import ray_worker, work
from pipeline.base.errors import ClusterError, InputError
from pipeline.base.make_items import Job
from pipeline.base.ray_worker import (
    Answer,
    Keeper,
    Place,
    code_of,
    fault_of_node,
    folder_bytes,
    probe_answer,
    ray_device,
    run_job,
    write_folder,
)
from pipeline.base.work import make_item

MODULE = "pipeline.base.packing"
REMEDY = "share the project's folder with it, or set ACTIONBANK_SHARED=no"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    probe = tmp_path / ".work/probes/.abc.1-2.partial"
    probe.parent.mkdir(parents=True)
    probe.write_text("abcdef")
    return Place(
        token="abcdef", project=str(tmp_path), root=str(tmp_path), module=MODULE, code=code_of(MODULE), device="cpu",
        probe=str(probe), largest=2**20, environment={"ACTIONBANK_BATCH": "3"},
    )  # fmt: skip


@pytest.fixture(autouse=True)
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of Ray, on the node `n1`, that has not begun."""
    context = SimpleNamespace(get_node_id=lambda: "n1")
    ray = SimpleNamespace(get=lambda given: given, get_runtime_context=lambda: context)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "ACTIONBANK_BATCH", "TORCHELASTIC_RUN_ID"):
        monkeypatch.setenv(name, "before")
    for name in ("place", "make"):
        monkeypatch.setattr(ray_worker._Here, name, None)
    monkeypatch.setattr(work, "ELSEWHERE", set())
    monkeypatch.setattr(ray_worker, "PATIENCE_SECONDS", 0.0)


def test_a_node_with_the_folder_and_the_code_is_fit(place: Place) -> None:
    assert fault_of_node(Place(**asdict(place)), answer=True) == ""
    assert place.probe is not None
    assert probe_answer(Path(place.probe), "n1").read_text() == "abcdef"


def test_a_node_without_the_folder_is_told(place: Place, tmp_path: Path) -> None:
    there, folder = str(tmp_path / "absent"), tmp_path / ".work"
    expected = f"has no folder {there}; expected the project there, as on the driver"
    assert fault_of_node(replace(place, project=there)) == expected
    assert (
        fault_of_node(replace(place, token="other")) == f"sees another file than the driver at {place.probe}; {REMEDY}"
    )
    assert place.probe is not None
    Path(place.probe).unlink()
    assert fault_of_node(place) == f"does not see what the driver wrote in {folder}; {REMEDY}"
    Path(place.probe).mkdir()
    assert fault_of_node(place).startswith(f"cannot use {folder}: {place.probe}: Is a directory; ")
    assert fault_of_node(replace(place, probe=None)) == ""


def test_other_code_is_named(place: Place) -> None:
    name, mine = "pipeline/base/packing.py", place.code["pipeline/base/packing.py"][:12]
    others = {**place.code, name: "0" * 64, "zarr": "3.0"}
    assert fault_of_node(replace(place, code=others)) == (
        f"has {name} of digest {mine}, the driver {name} of digest 000000000000, and 1 more differ; expected the same "
        "code"
    )
    others = {**place.code, "Python": "3.99"}
    python = place.code["Python"]
    assert (
        fault_of_node(replace(place, code=others))
        == f"has Python {python}, the driver Python 3.99; expected the same code"
    )
    others = {**place.code, "zarr": "3.0"}
    assert fault_of_node(replace(place, code=others)) == "has no zarr, the driver zarr 3.0; expected the same code"


def answer_of(place: Place, make: Any, name: str = "a") -> Answer:
    return Keeper().run(place.token, [(place, make)], Job(name, 1))


def test_a_process_begins_once_and_does_one_job_after_the_other(place: Place, tmp_path: Path) -> None:
    import os

    assert ray_device() is None
    begun = [answer_of(place, lambda job: (job, os.environ["ACTIONBANK_BATCH"], work.work_root()))]
    begun.append(run_job(place.token, [], Job("b")))
    assert [each.value for each in begun] == [
        (Job(name, given), "3", tmp_path / ".work") for name, given in (("a", 1), ("b", None))
    ]
    assert {(each.kind, each.node) for each in begun} == {("made", "n1")}
    assert ray_device() == "cpu"
    assert "TORCHELASTIC_RUN_ID" not in os.environ


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (InputError("a.mp4: bad"), "refused", "a.mp4: bad"),
        (ClusterError("no"), "unfit", "no"),
        (OSError(28, "No space left on device", "/x"), "fault", "/x: No space left on device; free"),
        (KeyError("x"), "bug", "Traceback (most recent call last)"),
    ],
)
def test_how_a_job_ends_is_told(place: Place, error: Exception, kind: str, told: str) -> None:
    def make(job: Job) -> None:
        raise error

    answer = answer_of(place, make)
    assert answer.kind == kind
    assert answer.value.startswith(told)


def test_a_process_of_an_unfit_node_says_so(place: Place) -> None:
    answer = answer_of(replace(place, project="/absent"), print)
    assert answer == Answer("unfit", "has no folder /absent; expected the project there, as on the driver", "n1")


def test_items_go_back_as_bytes_where_no_folder_is_shared(place: Place, tmp_path: Path) -> None:
    alone = replace(place, probe=None, finished=(("stage", "made"),), root="/absent")

    def make(job: Job) -> str:
        for key in (job.name, "made"):
            make_item("stage", key, lambda folder: write_folder(folder, {"x/y": b"12", "z": b"3" * len(job.name)}))
        return str(work.work_root())

    def make_big(job: Job) -> None:
        make_item("stage", job.name, lambda folder: write_folder(folder, {"x": bytes(2**21)}))

    answer = answer_of(alone, make)
    assert answer.items == [("stage", "a", {"x/y": b"12", "z": b"3"})]
    assert not Path(answer.value).exists()
    assert Path(answer.value).parent != tmp_path
    big = run_job(alone.token, [], Job("b" * 2**20))
    assert big.kind == "fault"  # no such name of a folder
    alone = replace(alone, token="new", largest=9)
    assert not Path(answer.value).parent.exists()
    assert answer_of(alone, make, "c").value.startswith(
        "c: its item has 0 MiB, more than the 0 MiB that go from node to"
    )


def test_files_of_a_folder_are_the_same_after_a_journey(tmp_path: Path) -> None:
    (tmp_path / "from/x").mkdir(parents=True)
    (tmp_path / "to").mkdir()
    (tmp_path / "from/x/item.json").write_bytes(b"\0")
    (tmp_path / "from/item.json").write_bytes(b"{}")
    write_folder(tmp_path / "to", folder_bytes(tmp_path / "from"))
    assert [path.relative_to(tmp_path / "to").as_posix() for path in sorted((tmp_path / "to").rglob("*"))] == [
        "x", "x/item.json",
    ]  # fmt: skip

import errno
import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.base.errors import InputError
from pipeline.base.faults import REMEDIES, about, message_of, shown_path
from pipeline.base.files import replace_folder, write_bytes, write_json

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("code", sorted(REMEDIES))
def test_every_cause_has_a_file_and_a_remedy_in_one_line(code: int) -> None:
    message = message_of(OSError(code, os.strerror(code), "data/x/boxes.parquet"))
    assert message == f"data/x/boxes.parquet: {os.strerror(code)}; {REMEDIES[code]}"
    assert "\n" not in message


@pytest.mark.parametrize(
    ("error", "begins", "code"),
    [
        (MemoryError(), "out of memory", errno.ENOMEM),
        (pa.ArrowMemoryError("malloc of size 5 failed"), "out of memory: malloc of size 5 failed", errno.ENOMEM),
        (BrokenProcessPool("terminated\nabruptly"), "a worker process was killed", errno.ENOMEM),
        (RuntimeError("can't start new thread"), "can't start new thread", errno.EAGAIN),
        (RuntimeError("unable to write: No space left on\ndevice"), None, None),
        (RuntimeError("write failed: No space left on device (28)"), "write failed: No space", errno.ENOSPC),
        (ImportError("libx.so: failed to map segment from shared object"), "libx.so: failed", errno.ENOMEM),
        (ImportError("libx.so: cannot open: Too many open files"), "libx.so: cannot open", errno.EMFILE),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: ..."), "[enforce", errno.ENOMEM),
        (RuntimeError("shapes do not fit"), None, None),
        (KeyError("x"), None, None),
        (ValueError("No space left on device"), None, None),
    ],
)
def test_errors_of_libraries_are_told_by_their_words_and_bugs_are_not(
    error: Exception, begins: str | None, code: int | None
) -> None:
    message = message_of(error)
    if begins is None or code is None:
        assert message is None
    else:
        assert message is not None
        assert message.startswith(begins)
        assert message.endswith(REMEDIES[code])
        assert "\n" not in message


def test_what_the_user_caused_stays_as_it_is_and_an_oserror_without_a_number_is_its_text() -> None:
    assert message_of(InputError("a: b")) == "a: b"
    assert message_of(OSError("Corrupt snappy\ncompressed data.")) == "Corrupt snappy compressed data."


def test_of_two_files_the_one_that_was_to_be_written_is_named() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "from", None, "to")
    assert str(message_of(error)).startswith("to: No space")


def test_a_name_that_is_no_text_is_escaped() -> None:
    assert shown_path(b"film\xff\n.mp4") == "film\\udcff\\n.mp4"
    assert shown_path("für.mp4") == "für.mp4"


def refuse(path: Path, code: int = errno.ENOSPC, *, named: bool = False) -> None:
    raise OSError(code, os.strerror(code), *([str(path)] if named else []))


@pytest.mark.parametrize("named", [False, True])
def test_a_fault_while_a_folder_is_made_names_it_and_no_temporary_one(tmp_path: Path, named: bool) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("kept")
    with pytest.raises(OSError, match="No space left") as error, replace_folder(tmp_path / "out") as folder:
        refuse(folder / "new", named=named)
    assert error.value.filename == str(tmp_path / "out" / "new" if named else tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


def test_a_fault_that_names_another_file_keeps_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as error, about(tmp_path / "a"):
        refuse(tmp_path / "b", named=True)
    assert error.value.filename == str(tmp_path / "b")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_keeps_the_old_file_whole(small_disk: Path) -> None:
    path = small_disk / "metrics.json"
    write_json(path, {"map": 0.5})
    with pytest.raises(OSError, match="No space left") as error:
        write_bytes(path, bytes(200_000))
    assert message_of(error.value) == f"{path}: No space left on device; {REMEDIES[errno.ENOSPC]}"
    assert [each.name for each in small_disk.iterdir()] == ["metrics.json"]
    assert '"map": 0.5' in path.read_text()


def run(code: str, limit: Callable[[], None] | None = None, **keywords: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", textwrap.dedent(code)], text=True, preexec_fn=limit, check=False,
        cwd=REPOSITORY, **{"timeout": 60, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **keywords},
    )  # fmt: skip


APP = """
    from pathlib import Path
    from pipeline.base import command
    app = command.new_app()
    @app.command()
    def work() -> None:
        {work}
    command.run(app)
"""


def test_a_limit_on_the_size_of_files_is_one_line_and_status_1(tmp_path: Path) -> None:
    path = tmp_path / "x"
    work = f"from pipeline.base.files import write_bytes; write_bytes(Path({str(path)!r}), bytes(99999))"
    found = run(APP.format(work=work), lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
    assert (found.returncode, found.stderr) == (1, f"error: {path}: File too large; {REMEDIES[errno.EFBIG]}\n")
    assert not list(tmp_path.iterdir())


def test_a_limit_on_open_files_is_one_line_and_status_1(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    work = f"keep = [Path({str(tmp_path / 'x')!r}).open() for _ in range(99)]"
    found = run(APP.format(work=work), lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32)))
    expected = f"error: {tmp_path / 'x'}: Too many open files; {REMEDIES[errno.EMFILE]}\n"
    assert (found.returncode, found.stderr) == (1, expected)


@pytest.mark.parametrize("letters", [10, 100_000])
def test_a_full_disk_behind_standard_output_is_one_line_and_status_1(small_disk: Path, letters: int) -> None:
    with (small_disk / "out.txt").open("w") as out, (small_disk / "rest").open("wb", buffering=0) as rest:
        with pytest.raises(OSError, match="No space"):
            while rest.write(bytes(4096)):
                pass
        found = run(APP.format(work=f"print('x' * {letters})"), stdout=out)
    expected = f"error: standard output: No space left on device; {REMEDIES[errno.ENOSPC]}\n"
    assert (found.returncode, found.stderr) == (1, expected)


def test_a_bug_is_still_a_traceback() -> None:
    found = run(APP.format(work="raise KeyError('x')"))
    assert found.returncode == 1
    assert "KeyError" in found.stderr


def test_a_stage_that_cannot_be_imported_for_want_of_files_says_it_in_one_line() -> None:
    code = """
        import stages, sys
        raise ImportError("libtorch.so: cannot open shared object file: Too many open files")
    """
    found = run(code)
    assert found.returncode == 1
    assert found.stderr.startswith("error: libtorch.so: cannot open shared object file: Too many open files; raise")
    assert found.stderr.count("\n") == 1

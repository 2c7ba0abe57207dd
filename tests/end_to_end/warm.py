"""Run programs in processes forked from one that has imported what takes long: DVC and PyTorch, seconds at every start.

Linux only. `WarmServer` starts the process; `python`, its first name in PATH, is a small program that hands its
arguments, environment, folder and standard streams over a socket and ends as the forked process does. What is imported
beforehand are libraries, never `pipeline` or `stages`, which a project has as its own copies. A test about starting,
killing or counting processes runs the real programs: `Project.run(..., warm=False)`, `Project.environment`.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

# pygit2 is not among them: at its start it asks for the home folder, which is each project's own.
LIBRARIES = (
    "dvc.cli.parser", "dvc.repo.reproduce", "dvc.repo.experiments.run", "dvc.repo.experiments.show", "dvc.testing",
    "dvc.repo.artifacts", "dvc.repo.datasets", "dvc.repo.graph", "dvc.repo.index", "dvc.repo.open_repo",
    "dvc.repo.plots", "dvc.repo.stage", "dvc.repo.trie", "dvc.utils.hydra", "dvc.utils.strictyaml", "dvc._debug",
    "dvc.analytics", "dvc.api", "dvc.cachemgr", "dvc.data_cloud", "dvc_data.hashfile.build",
    "dvc_data.hashfile.db.local", "dvc_data.hashfile.status", "dvc.repo.experiments.queue.celery",
    "dvc.repo.experiments.queue.workspace", "dvc.repo.experiments.executor.local", "dulwich.porcelain",
    "dvc_render.vega", "dvc_studio_client.post_live_metrics", "hydra.compose", "networkx", "av", "torch", "pandas",
    "pyarrow.parquet", "pyarrow.compute", "pyarrow.pandas_compat", "zarr", "pydantic.main", "pydantic.types",
    "pydantic.type_adapter", "pydantic.functional_validators", "scipy.ndimage", "scipy.optimize", "typer.testing",
    "safetensors.torch", "simplejpeg", "yaml", "filelock", "tqdm",
)  # fmt: skip
SOCKET = "ACTIONBANK_TESTS_WARM"
MOST_BYTES = 1 << 17
PROGRAM = f"""#!{sys.executable} -SE
import json, os, socket, sys
if os.path.basename(sys.argv[0]) == "python" and sys.argv[1:2] != ["-m"]:
    os.execv({sys.executable!r}, [{sys.executable!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect(os.environ[{SOCKET!r}])
    call = json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [call], [0, 1, 2])
    status = int(server.recv(16) or 1)
os._exit(status)
"""


class WarmServer:
    """The process with its libraries, and the folder of programs that ask it to fork."""

    def __init__(self, folder: Path) -> None:
        self.programs, self.socket = folder / "programs", folder / "socket"
        self.programs.mkdir()
        for name in ("python", "dvc", "actionbank"):
            path = self.programs / name
            path.write_text(PROGRAM)
            path.chmod(0o755)
        # Its standard input is a pipe that ends with this process.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.end_to_end.warm", str(self.socket)],
            cwd=Path(__file__).resolve().parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def environment(self, path: str) -> dict[str, str]:
        """What calls the process: its programs before those of `path`, and the socket."""
        return {"PATH": f"{self.programs}:{path}", SOCKET: str(self.socket)}

    def close(self) -> None:
        """Let the process end, and wait for it: the time of all that it ran is counted as this process's children's."""
        self.process.communicate()
        shutil.rmtree(self.programs.parent, ignore_errors=True)


@functools.cache
def warm_server() -> WarmServer:
    """The server of this process, which is started by the first call."""
    server = WarmServer(Path(tempfile.mkdtemp(prefix="actionbank-warm-")))
    atexit.register(server.close)
    return server


def serve(place: str) -> None:
    """Fork for every call until standard input ends."""
    for name in LIBRARIES:
        importlib.import_module(name)
    sys.path.remove(str(Path.cwd()))
    gc.freeze()  # the forks share what is imported; a collection would write to all of it
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(place)
        listener.listen()
        print("ready", flush=True)
        os.close(1)
        os.open(os.devnull, os.O_WRONLY)
        while True:
            found, _, _ = select.select([listener, sys.stdin], [], [], 1.0)
            _reap()
            if sys.stdin in found:
                break
            if listener in found:
                caller, _ = listener.accept()
                if os.fork() == 0:
                    listener.close()
                    _answer(caller)
                caller.close()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _answer(caller: socket.socket) -> NoReturn:
    """Fork the process that runs the call, and send its status to the caller."""
    message, streams, _, _ = socket.recv_fds(caller, MOST_BYTES, 3)
    child = os.fork()
    if child == 0:
        caller.close()
        _run(*json.loads(message), streams=streams)
    for each in streams:
        os.close(each)
    _, ended = os.waitpid(child, 0)
    status = os.waitstatus_to_exitcode(ended)
    with contextlib.suppress(BrokenPipeError):  # the caller was killed
        caller.send(str(status if status >= 0 else 128 - status).encode())
    os._exit(0)


def _run(words: list[str], folder: str, environment: dict[str, str], *, streams: list[int]) -> NoReturn:
    """Become the program that was called."""
    for number, each in enumerate(streams):
        os.dup2(each, number)
    os.closerange(3, 256)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode) for number, mode in ((0, "r"), (1, "w"), (2, "w")))  # noqa: SIM115,PTH123
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    status = 1
    try:
        _start(Path(words[0]).name, words[1:], folder)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _start(program: str, words: list[str], folder: str) -> None:
    if program == "python":
        sys.path.insert(0, folder)
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        return
    sys.path.insert(0, str(Path(sys.executable).parent))
    sys.argv = [str(Path(sys.executable).with_name(program)), *words]
    sys.exit(importlib.import_module({"dvc": "dvc.cli", "actionbank": "pipeline.cli"}[program]).main())


if __name__ == "__main__":
    serve(sys.argv[1])

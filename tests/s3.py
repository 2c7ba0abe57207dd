"""Start an S3 service on loopback."""

import contextlib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
MODULE = "moto.server"


@contextlib.contextmanager
def s3_service(folder: Path) -> Iterator[str]:
    """The endpoint of a service with an empty bucket `banks`; `folder` takes its log, which lists each request."""
    path = folder / "moto.log"
    with path.open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-u", "-m", MODULE, "-H", "127.0.0.1", "-p", "0"], stdout=log, stderr=log
        )
        try:
            port = ""
            while not port:
                assert server.poll() is None, path.read_text()
                for line in path.read_text().splitlines():
                    if "Running on http://127.0.0.1:" in line:
                        port = line.rsplit(":", 1)[1].strip()
            url = f"http://127.0.0.1:{port}"
            urllib.request.urlopen(urllib.request.Request(f"{url}/banks", method="PUT"), timeout=30)
            yield url
        finally:
            server.kill()
            server.wait()

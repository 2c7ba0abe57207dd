"""A web server for one page that shows a camera with what is predicted, as it comes.

`/` is the page, `/frames` the latest frames (multipart JPEG), `/events` the scored times (server-sent events, one line
of JSON each). No file is served, so no path leads to one. Without a token only this machine can reach it.
"""

import contextlib
import hmac
import threading
import time
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pipeline.base.errors import InputError
from pipeline.predict.typed_results import Second, json_line
from pipeline.video.store import Row

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LEAST_TOKEN = 16
MOST_VIEWERS = 16
"Streams at a time; more are refused."
KEPT_EVENTS = 120
"A page that is opened gets the latest of these."
FRAME_SECONDS = 0.1
"Frames are not sent more often."
IDLE_SECONDS = 5.0
"After this long without an event, a comment is sent, so that a closed page is noticed."
WRITE_SECONDS = 10.0
"A viewer that takes nothing for this long is dropped."
GOODBYE_SECONDS = 1.0
BOUNDARY = "frame"
POLICY = "default-src 'none'; img-src 'self' data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; " \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"  # fmt: skip


def check_address(host: str, token: str) -> None:
    """Check that a server may listen.

    Raises:
        InputError: others could reach it, and there is no token; or the token can be guessed.
    """
    if token and len(token) < LEAST_TOKEN:
        raise InputError(f"--token: has {len(token)} characters, expected at least {LEAST_TOKEN}")
    if not token and host not in LOOPBACK:
        raise InputError(f"--host {host}: others could watch the camera: set a token (ACTIONBANK_LIVE_TOKEN)")


class Hub:
    """The latest frame and events, for any number of viewers; memory does not grow."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame = b""
        self._frames = 0
        self._events: deque[str] = deque(maxlen=KEPT_EVENTS)
        self._count = 0
        self._ended = ""

    def put_frame(self, row: Row) -> None:
        """Show a frame."""
        with self._changed:
            self._frame, self._frames = row.jpeg, self._frames + 1
            self._changed.notify_all()

    def put_second(self, second: Second) -> None:
        """Send a scored time."""
        with self._changed:
            self._events.append(json_line(second).strip())
            self._count += 1
            self._changed.notify_all()

    def end(self, outcome: str) -> None:
        """Say how it ended; viewers get that as their last event."""
        with self._changed:
            self._ended = outcome
            self._changed.notify_all()

    def frames(self) -> Iterator[bytes]:
        """Yield the latest JPEG each time there is a new one, until the end; empty where none came for a while."""
        seen = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._frames > seen or bool(self._ended), IDLE_SECONDS)  # noqa: B023
                new, seen = self._frames > seen, self._frames
                jpeg, ended = self._frame, self._ended
            if new:
                yield jpeg
            elif ended:
                return
            else:
                yield b""

    def events(self) -> Iterator[tuple[str, str]]:
        """Yield (kind, text) of each event: the kept ones, then new ones, `end` last; `idle` after a while."""
        with self._changed:
            seen = self._count - len(self._events)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._count > seen or bool(self._ended), IDLE_SECONDS)  # noqa: B023
                kept = list(self._events)[len(self._events) - min(self._count - seen, len(self._events)) :]
                seen, ended = self._count, self._ended
            yield from (("second", text) for text in kept)
            if not kept:
                yield ("end", ended) if ended else ("idle", "")
                if ended:
                    return


class LiveServer:
    """Serves a page and a hub's frames and events until it is closed.

    Args:
        hub: what is shown.
        page: the HTML of the page.
        host: the address to listen at.
        port: its port; 0 takes a free one.
        token: what every request must give, as `?token=` or as a bearer; empty for none.

    Raises:
        InputError: see `check_address`; or the port is taken.
    """

    def __init__(self, hub: Hub, page: str, *, host: str = "127.0.0.1", port: int = 0, token: str = "") -> None:
        check_address(host, token)
        self._hub, self._page, self.host, self.token = hub, page.encode(), host, token
        self._viewers = threading.BoundedSemaphore(MOST_VIEWERS)
        try:
            self._server = _Server((host, port), _Handler)
        except OSError as error:
            raise InputError(f"--host {host} --port {port}: cannot listen there: {error.strerror}") from None
        self._server.owner = self
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the page is, without the token."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/"

    def close(self) -> None:
        """Stop listening. Where the hub has ended, viewers get their last event first, unless they are slow."""
        last = time.monotonic() + GOODBYE_SECONDS
        for _ in range(MOST_VIEWERS):
            self._viewers.acquire(timeout=max(0.0, last - time.monotonic()))
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def is_allowed(self, handler: BaseHTTPRequestHandler) -> bool:
        """Return whether a request gives the token; without one, whether it names this machine as its host.

        Else a foreign page could have its own name point here, and read the answers.
        """
        if self.token:
            given = parse_qs(urlsplit(handler.path).query).get("token", [""])[-1]
            given = given or handler.headers.get("Authorization", "").removeprefix("Bearer ")
            return hmac.compare_digest(given.encode(), self.token.encode())
        name = urlsplit(f"//{handler.headers.get('Host', '')}").hostname
        return name in LOOPBACK

    def answer(self, handler: "_Handler") -> None:
        """Answer a GET request."""
        path = urlsplit(handler.path).path
        if not self.is_allowed(handler):
            handler.send_text(403, "the token is missing or wrong\n" if self.token else "only this machine may ask\n")
        elif path == "/":
            handler.send_page(self._page)
        elif path not in ("/frames", "/events"):
            handler.send_text(404, "there is nothing here\n")
        elif not self._viewers.acquire(blocking=False):
            handler.send_text(503, "too many viewers\n")
        else:
            try:
                handler.stream_frames(self._hub) if path == "/frames" else handler.stream_events(self._hub)
            finally:
                self._viewers.release()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: LiveServer

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        if ":" in address[0]:
            import socket

            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a viewer that goes away is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = WRITE_SECONDS
    server_version, sys_version = "actionbank", ""

    def do_GET(self) -> None:
        """Answer a request."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            self.server.owner.answer(self)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the request line holds the token."""

    def send_text(self, status: int, text: str) -> None:
        """Send a line of text."""
        self._begin(status, "text/plain; charset=utf-8", len(text))
        self.wfile.write(text.encode())

    def send_page(self, page: bytes) -> None:
        """Send the page."""
        self._begin(200, "text/html; charset=utf-8", len(page))
        self.wfile.write(page)

    def stream_frames(self, hub: Hub) -> None:
        """Send the latest frames as they come, each once; a slow viewer misses some."""
        self._begin(200, f"multipart/x-mixed-replace; boundary={BOUNDARY}", None)
        self.wfile.write(f"--{BOUNDARY}\r\n".encode())
        pause = threading.Event()
        for jpeg in hub.frames():
            if jpeg:
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                # The boundary follows at once: browsers show a picture when they have seen where it ends.
                self.wfile.write(head.encode() + jpeg + f"\r\n--{BOUNDARY}\r\n".encode())
                pause.wait(FRAME_SECONDS)

    def stream_events(self, hub: Hub) -> None:
        """Send the scored times as they come."""
        self._begin(200, "text/event-stream; charset=utf-8", None)
        for kind, text in hub.events():
            self.wfile.write((": idle\n\n" if kind == "idle" else f"event: {kind}\ndata: {text}\n\n").encode())
            self.wfile.flush()

    def _begin(self, status: int, kind: str, length: int | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.close_connection = True
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")  # the address may hold the token
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()

"""The page of a camera, in a real browser, with a server that pushes two seconds."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import simplejpeg

from pipeline.predict.page.html_page import LIVE_SECONDS, render_live_page
from tests.browser import Browser, browser  # noqa: F401

EVIL = "<img src=x onerror=alert(1)>"
TOKEN = "?token=a%20b"


def second(time: float, *persons: tuple[int | None, str, float]) -> dict[str, object]:
    box = {"x1": 0.25, "y1": 0.25, "x2": 0.75, "y2": 0.75, "score": 0.9}
    shown = [
        {**box, "track_id": track, "actions": [{"id": 1, "name": name, "score": score}]}
        for track, name, score in persons
    ]
    return {"video_id": "camera", "timestamp": time, "time_seconds": time, "persons": shown}


EVENTS = [
    second(1.0, (7, "long ago", 0.9)),
    second(LIVE_SECONDS + 1.5, (3, EVIL, 0.8), (None, "wave", 0.4)),
    second(LIVE_SECONDS + 2.5, (3, EVIL, 0.7)),
]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        jpeg = simplejpeg.encode_jpeg(np.full((48, 64, 3), 90, np.uint8))
        events = "".join(f"event: second\ndata: {json.dumps(each)}\n\n" for each in EVENTS) + "event: end\ndata: {}\n\n"
        events = events.replace("event: end\ndata: {}", f"event: end\ndata: gone {EVIL}")
        kind, body = {
            f"/{TOKEN}": ("text/html", render_live_page().encode()),
            f"/frames{TOKEN}": ("image/jpeg", jpeg),
            f"/events{TOKEN}": ("text/event-stream", events.encode()),
        }.get(self.path, ("", b""))
        self.send_response(200 if kind else 404)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_frames_and_events_are_shown_as_they_come(address: str, browser: Browser) -> None:  # noqa: F811
    browser.open(address + TOKEN)
    browser.wait("document.getElementById('state').className === 'over'")
    assert browser.run("$('state').textContent") == f"gone {EVIL}"
    browser.wait("picture.naturalWidth === 64")
    assert browser.run("canvas.dataset.drawn") == "1"
    log = browser.run("[...document.querySelectorAll('#log li')].map((each) => each.textContent)")
    assert log == [
        f"62.5 s  person 3  {EVIL}", "61.5 s  no track  wave", f"61.5 s  person 3  {EVIL}", "1.0 s  person 7  long ago",
    ]  # fmt: skip
    lines = (
        "[...document.querySelectorAll('#lines .track')]"
        ".map((each) => [each.firstChild.textContent, each.querySelectorAll('i').length])"
    )
    assert browser.run(lines) == [["no track: wave", 1], [f"person 3: {EVIL}", 2]]  # the first is over a minute old
    browser.run("$('threshold').value = 0.75; $('threshold').dispatchEvent(new Event('input'))")
    assert browser.run(lines) == [[f"person 3: {EVIL}", 1]]
    browser.run("$('threshold').value = 0; $('threshold').dispatchEvent(new Event('input'))")
    browser.click("#classes label:nth-child(2) input")
    assert browser.run(lines) == [["no track: wave", 1]]
    assert browser.run("document.querySelectorAll('img').length") == 1
    assert browser.faults == []
    asked = [url for url in browser.requests if not url.startswith("data:")]
    assert {url.partition("?")[0].removeprefix(address) for url in asked} == {"", "frames", "events"}
    assert all(url.endswith(TOKEN) for url in asked)

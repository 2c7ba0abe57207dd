"""The page of a camera, in a real browser, with the server that pushes frames and seconds."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
import simplejpeg

from pipeline.predict.live_server import Hub, LiveServer
from pipeline.predict.page.html_page import LIVE_SECONDS, render_live_page
from pipeline.predict.typed_results import Action, Person, Second
from pipeline.video.store import Row
from tests.browser import Browser, browser  # noqa: F401

EVIL = "<img src=x onerror=alert(1)>"
TOKEN = "0123456789abcdef"
LINES = (
    "[...document.querySelectorAll('#lines .track')]"
    ".map((each) => [each.firstChild.textContent, each.querySelectorAll('i').length])"
)
LOG = "[...document.querySelectorAll('#log li')].map((each) => each.textContent)"


def second(time: float, *persons: tuple[int | None, str, float]) -> Second:
    nothing = np.zeros(0, np.float32)
    found = [
        Person((0.25, 0.25, 0.75, 0.75), 0.9, track, (Action(1, name, score),), nothing)
        for track, name, score in persons
    ]
    return Second("camera", time, time, tuple(found))


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def server(hub: Hub) -> Iterator[LiveServer]:
    made = LiveServer(hub, render_live_page(), token=TOKEN)
    yield made
    hub.end("")
    made.close()


def test_frames_and_events_are_shown_as_they_come(hub: Hub, server: LiveServer, browser: Browser) -> None:  # noqa: F811
    browser.open(f"{server.url}?token={TOKEN}")
    assert browser.run("$('state').textContent") == "waiting for the first scored time"
    jpeg = simplejpeg.encode_jpeg(np.full((48, 64, 3), 90, np.uint8))
    for number in range(2):  # Chromium shows a picture when the next one begins
        hub.put_frame(Row(jpeg, 0.1 * number, number))
        time.sleep(0.3)
    browser.wait("picture.naturalWidth === 64")
    hub.put_second(second(1.0, (7, "long ago", 0.9)))
    browser.wait("canvas.dataset.drawn === '1'")
    assert browser.run(LINES) == [["person 7: long ago", 1]]
    hub.put_second(second(LIVE_SECONDS + 1.5, (3, EVIL, 0.8), (None, "wave", 0.4)))
    hub.put_second(second(LIVE_SECONDS + 2.5, (3, EVIL, 0.7)))
    browser.wait("document.querySelectorAll('#log li').length === 4")
    assert browser.run(LOG) == [
        f"62.5 s  person 3  {EVIL}", "61.5 s  no track  wave", f"61.5 s  person 3  {EVIL}", "1.0 s  person 7  long ago",
    ]  # fmt: skip
    assert browser.run(LINES) == [["no track: wave", 1], [f"person 3: {EVIL}", 2]]  # the first is over a minute old
    browser.run("$('threshold').value = 0.75; $('threshold').dispatchEvent(new Event('input'))")
    assert browser.run(LINES) == [[f"person 3: {EVIL}", 1]]
    browser.run("$('threshold').value = 0; $('threshold').dispatchEvent(new Event('input'))")
    browser.click("#classes label:nth-child(2) input")
    assert browser.run(LINES) == [["no track: wave", 1]]
    hub.end(f"gone {EVIL}")
    browser.wait("document.getElementById('state').className === 'over'")
    assert browser.run("$('state').textContent") == f"gone {EVIL}"
    assert browser.run("document.querySelectorAll('img').length") == 1
    assert browser.faults == []
    asked = [url for url in browser.requests if not url.startswith("data:")]
    assert {url.partition("?")[0].removeprefix(server.url) for url in asked} == {"", "frames", "events"}
    assert all(url.endswith(f"?token={TOKEN}") for url in asked)

import http.client
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from pipeline.base.errors import InputError
from pipeline.predict.live_server import KEPT_EVENTS, MOST_VIEWERS, Hub, LiveServer, check_address
from pipeline.predict.typed_results import Second
from pipeline.video.store import Row

TOKEN = "0123456789abcdef"


def second(at: float) -> Second:
    return Second("camera_0", at, at, ())


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.end("ended")


@pytest.fixture
def server(hub: Hub) -> Iterator[LiveServer]:
    server = LiveServer(hub, "<p>page</p>")
    yield server
    hub.end("ended")
    server.close()


@pytest.fixture
def guarded(hub: Hub) -> Iterator[LiveServer]:
    server = LiveServer(hub, "<p>page</p>", token=TOKEN)
    yield server
    hub.end("ended")
    server.close()


def ask(server: LiveServer, path: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_page_is_served_and_nothing_else_is(server: LiveServer) -> None:
    assert ask(server, "/") == (200, b"<p>page</p>")
    assert server.url == f"http://127.0.0.1:{server.port}/"
    for path in ("/x", "/../etc/passwd", "/..%2f..%2fetc/passwd", "//etc/passwd", "/frames/../../etc/passwd", "/%00"):
        assert ask(server, path) == (404, b"there is nothing here\n")


def test_what_the_headers_say(server: LiveServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/")
    headers = dict(connection.getresponse().headers)
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; img-src 'self' data: blob:;")
    assert headers["Server"].strip() == "actionbank"
    connection.request("POST", "/")
    assert connection.getresponse().status == 501


def test_a_page_of_another_name_reads_nothing(server: LiveServer) -> None:
    assert ask(server, "/", Host="evil.example:80") == (403, b"only this machine may ask\n")
    assert ask(server, "/events", Host="evil.example") == (403, b"only this machine may ask\n")
    assert ask(server, "/", Host="localhost:99")[0] == 200
    assert ask(server, "/", Host="[::1]:99")[0] == 200


@pytest.mark.parametrize("path", ["/", "/frames", "/events", "/x"])
@pytest.mark.parametrize(
    "given", ["", "?token=", "?token=0123456789abcdeF", "?token=0123456789abcde", "?t=%00", "?token=%C3%A9"]
)
def test_every_request_needs_the_token(guarded: LiveServer, path: str, given: str) -> None:
    assert ask(guarded, path + given) == (403, b"the token is missing or wrong\n")


def test_a_token_may_stand_in_the_address_or_a_header(guarded: LiveServer) -> None:
    assert ask(guarded, f"/?token={TOKEN}", Host="camera.example") == (200, b"<p>page</p>")
    assert ask(guarded, "/", Authorization=f"Bearer {TOKEN}") == (200, b"<p>page</p>")
    assert ask(guarded, "/", Authorization="Bearer x")[0] == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "camera.example", ""])
def test_nobody_else_is_served_without_a_token(host: str) -> None:
    message = rf"^--host {host}: others could watch the camera: set a token \(ACTIONBANK_LIVE_TOKEN\)$"
    with pytest.raises(InputError, match=message):
        LiveServer(Hub(), "", host=host)
    check_address(host, TOKEN)


def test_a_token_that_can_be_guessed_and_a_port_that_is_taken_are_refused(server: LiveServer) -> None:
    with pytest.raises(InputError, match=r"^--token: has 3 characters, expected at least 16$"):
        check_address("127.0.0.1", "abc")
    message = rf"^--host 127\.0\.0\.1 --port {server.port}: cannot listen there: Address already in use$"
    with pytest.raises(InputError, match=message):
        LiveServer(Hub(), "", port=server.port)


def test_events_come_as_they_are_scored_and_say_the_end(server: LiveServer, hub: Hub) -> None:
    hub.put_second(second(0.0))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"

    def event() -> tuple[str, str]:
        kind, data, blank = (answer.readline().decode().rstrip("\n") for _ in range(3))
        assert blank == ""
        return kind.removeprefix("event: "), data.removeprefix("data: ")

    assert [json.loads(event()[1])["time_seconds"]] == [0.0], "a page that is opened gets what was kept"
    hub.put_second(second(1.0))
    kind, data = event()
    assert (kind, json.loads(data)["time_seconds"]) == ("second", 1.0)
    hub.end("camera:0: was lost after 1.0 s: No such device")
    assert event() == ("end", "camera:0: was lost after 1.0 s: No such device")
    assert answer.read() == b""


def test_viewers_get_the_end_before_the_server_closes(hub: Hub) -> None:
    server = LiveServer(hub, "")
    hub.put_second(second(0.0))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    answer.readline()
    hub.end("stopped")
    server.close()
    assert answer.read().endswith(b"event: end\ndata: stopped\n\n")


def test_frames_come_as_they_are_stored(server: LiveServer, hub: Hub) -> None:
    hub.put_frame(Row(b"first", 0.0, 0))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/frames")
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
    assert answer.readline() == b"--frame\r\n"
    expected = b"Content-Type: image/jpeg\r\nContent-Length: 5\r\n\r\nfirst\r\n--frame\r\n"
    assert answer.read(len(expected)) == expected
    hub.put_frame(Row(b"later", 0.1, 1))
    assert answer.read(len(expected)) == expected.replace(b"first", b"later")
    hub.end("ended")
    assert answer.read() == b""


def test_viewers_are_limited_and_their_places_free_again(server: LiveServer, hub: Hub) -> None:
    hub.put_second(second(0.0))
    open_ones = []
    for _ in range(MOST_VIEWERS):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", "/events")
        answer = connection.getresponse()
        answer.readline()
        open_ones.append((connection, answer))
    assert ask(server, "/frames") == (503, b"too many viewers\n")
    assert ask(server, "/")[0] == 200
    hub.end("ended")
    for _, answer in open_ones:
        answer.read()
    assert ask(server, "/events")[0] == 200


def test_a_viewer_that_goes_away_is_no_fault(server: LiveServer, hub: Hub, capfd) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"GET /frames HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for number in range(50):
        hub.put_frame(Row(b"x" * 100_000, number / 10, number))
    hub.end("ended")
    assert ask(server, "/")[0] == 200
    assert capfd.readouterr().err == ""


def test_what_is_kept_does_not_grow() -> None:
    hub = Hub()
    for at in range(3 * KEPT_EVENTS):
        hub.put_second(second(float(at)))
        hub.put_frame(Row(b"x", at / 10, at))
    hub.end("stopped")
    events = list(hub.events())
    assert [json.loads(text)["time_seconds"] for kind, text in events[:-1]] == list(
        range(2 * KEPT_EVENTS, 3 * KEPT_EVENTS)
    )
    assert events[-1] == ("end", "stopped")
    assert list(hub.frames()) == [b"x"]


def test_a_silent_camera_gives_idle_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.predict.live_server.IDLE_SECONDS", 0.02)
    hub = Hub()
    events = hub.events()
    assert next(events) == ("idle", "")
    assert next(hub.frames()) == b""
    threading.Timer(0.05, hub.end, ["ended"]).start()
    assert list(events)[-1] == ("end", "ended")

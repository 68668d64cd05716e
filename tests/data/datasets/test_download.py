"""Downloads from a server on this machine that misbehaves as it is told."""

from __future__ import annotations

import hashlib
import io
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import requests
from refusals import refused

from siwcc.config import VfdbSection, WfdbSection
from siwcc.data.datasets import download, vfdb, wfdb
from siwcc.data.datasets.download import fetch_files, read_checksums
from siwcc.io.errors import InputError

CONTENT = np.random.default_rng(1).integers(0, 256, 3_000_000, dtype=np.uint8).tobytes()
SUM = hashlib.sha256(CONTENT).hexdigest()
REMEDY = "give a local copy as datasets.made.path"

Response = Callable[["Handler"], None]


@dataclass
class Server:
    """What the server responds, one entry a request and the last one ever after; what it was asked."""

    url: str = ""
    responses: list[Response] = field(default_factory=list)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    body_bytes: int = 0

    @property
    def ranges(self) -> list[str | None]:
        return [asked for _, asked in self.requests]


class Handler(BaseHTTPRequestHandler):
    server_state: Server

    def do_GET(self) -> None:
        state = self.server_state
        state.requests.append((self.path, self.headers.get("Range")))
        assert self.headers.get("Accept-Encoding") == "identity"
        response = state.responses.pop(0) if len(state.responses) > 1 else state.responses[0]
        response(self)

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None, sent: int | None = None) -> None:
        """Announce the whole body and send its first `sent` bytes."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        part = body[: len(body) if sent is None else sent]
        self.server_state.body_bytes += len(part)
        self.wfile.write(part)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that hangs up is what some tests are about."""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    handler = type("BoundHandler", (Handler,), {"server_state": state})
    with QuietServer(("127.0.0.1", 0), handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{http_server.server_port}/set/"
        yield state
        http_server.shutdown()
        thread.join()


def whole(body: bytes = CONTENT, sent: int | None = None) -> Response:
    """The file, by a server that knows no Range."""
    return lambda handler: handler.reply(200, body, sent=sent)


def ranged(body: bytes = CONTENT, sent: int | None = None) -> Response:
    """The file from where it is asked for."""

    def response(handler: Handler) -> None:
        asked = handler.headers.get("Range")
        if asked is None:
            return handler.reply(200, body, sent=sent)
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(body):
            return handler.reply(416, b"")
        span = f"bytes {start}-{len(body) - 1}/{len(body)}"
        return handler.reply(206, body[start:], {"Content-Range": span}, sent=sent)

    return response


def status(code: int, body: bytes = b"<html>no</html>", **headers: str) -> Response:
    return lambda handler: handler.reply(code, body, {"Content-Type": "text/html", **headers})


def fetch(server: Server, folder: Path, **options: object) -> None:
    settings: dict[str, object] = {"max_bytes": 10_000_000, "backoff_s": 0.0, "timeout_s": 600.0}
    sha256 = options.pop("sha256", SUM)
    fetch_files(server.url, {"a.bin": sha256}, folder, REMEDY, **{**settings, **options})  # type: ignore[arg-type]


def refusal(server: Server, folder: Path, **options: object) -> str:
    """The one line that a failing download ends in."""
    with pytest.raises(InputError) as caught:
        fetch(server, folder, **options)
    line = str(caught.value)
    assert line.startswith(f"{server.url}a.bin: ")
    assert REMEDY in line
    assert "\n" not in line
    assert not (folder / "a.bin").exists()
    return line


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_arrives_whole_under_its_name(server: Server, tmp_path: Path) -> None:
    server.responses = [ranged()]
    fetch(server, tmp_path / "new" / "set")
    assert (tmp_path / "new" / "set" / "a.bin").read_bytes() == CONTENT
    assert names(tmp_path / "new" / "set") == {"a.bin"}
    assert server.requests == [("/set/a.bin", None)]


def test_nothing_is_asked_for_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT)
    before = path.stat()
    # Nobody listens at this port: any request would fail.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
        fetch_files(url, {"a.bin": SUM}, tmp_path, REMEDY, max_bytes=1, retries=0)
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert {path.name for path in tmp_path.iterdir()} == {"a.bin"}


def test_only_what_is_missing_or_wrong_is_fetched(server: Server, tmp_path: Path) -> None:
    server.responses = [whole()]
    (tmp_path / "right").write_bytes(CONTENT)
    (tmp_path / "wrong").write_bytes(CONTENT[:-1])
    files = dict.fromkeys(("right", "wrong", "with blank#?"), SUM)
    fetch_files(server.url, files, tmp_path, REMEDY, max_bytes=10_000_000)
    assert [path for path, _ in server.requests] == ["/set/wrong", "/set/with%20blank%23%3F"]
    assert all((tmp_path / name).read_bytes() == CONTENT for name in files)


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses_s: list[float] = []
    monkeypatch.setattr(download.time, "sleep", pauses_s.append)
    server.responses = [status(503), status(429), status(500), ranged()]
    fetch(server, tmp_path, backoff_s=0.5)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert pauses_s == [0.5, 1.0, 2.0]


def test_retries_come_to_an_end(server: Server, tmp_path: Path) -> None:
    server.responses = [status(503)]
    line = refusal(server, tmp_path, retries=2)
    assert "cannot be downloaded (the server responds with 503 Service Unavailable; tried 3 times)" in line
    assert len(server.requests) == 3


def test_a_broken_connection_is_resumed(server: Server, tmp_path: Path) -> None:
    server.responses = [ranged(sent=1_000_000), ranged(sent=700_000), ranged()]
    fetch(server, tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    starts = [0 if asked is None else int(asked.removeprefix("bytes=").rstrip("-")) for asked in server.ranges]
    assert starts[0] == 0
    # At most a block of 64 KiB of what was sent is asked for again.
    assert 1_000_000 - 65_536 <= starts[1] <= 1_000_000
    assert starts[1] + 700_000 - 65_536 <= starts[2] <= starts[1] + 700_000
    assert len(CONTENT) <= server.body_bytes <= len(CONTENT) + 2 * 65_536


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server: Server, tmp_path: Path) -> None:
    server.responses = [ranged(sent=2_000_000)]
    with refused(f"{server.url}a.bin"):
        fetch(server, tmp_path, retries=0)
    assert names(tmp_path) == {"a.bin.part"}
    kept = (tmp_path / "a.bin.part").stat().st_size
    server.responses, server.requests, server.body_bytes = [ranged()], [], 0
    fetch(server, tmp_path)
    assert server.ranges == [f"bytes={kept}-"]
    assert server.body_bytes == len(CONTENT) - kept
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_progress_renews_the_patience(server: Server, tmp_path: Path) -> None:
    server.responses = [ranged(sent=1_300_000), ranged(sent=1_300_000), ranged()]
    fetch(server, tmp_path, retries=1)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_that_knows_no_range_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.responses = [whole(sent=1_000_000), whole()]
    fetch(server, tmp_path)
    assert server.ranges[1] is not None
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_that_resumes_elsewhere_is_not_believed(server: Server, tmp_path: Path) -> None:
    def elsewhere(handler: Handler) -> None:
        handler.reply(206, CONTENT[5:], {"Content-Range": f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}"})

    server.responses = [ranged(sent=1_000_000), elsewhere, ranged()]
    fetch(server, tmp_path)
    assert server.ranges[2] is None
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_leftover_longer_than_the_file_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT + b"more")
    server.responses = [ranged()]
    fetch(server, tmp_path)
    assert server.ranges == [f"bytes={len(CONTENT) + 4}-", None]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_whole_leftover_needs_no_request(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    fetch(server, tmp_path)
    assert server.requests == []
    assert names(tmp_path) == {"a.bin"}


def test_without_a_sum_nothing_is_resumed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(b"of another day")
    server.responses = [ranged(sent=1_000_000), ranged()]
    fetch(server, tmp_path, sha256=None)
    assert server.ranges == [None, None]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_connection_refused_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        server = Server(url=f"http://127.0.0.1:{port}/")
        line = refusal(server, tmp_path, retries=1)
    assert line == f"{server.url}a.bin: cannot be downloaded (connection refused; tried 2 times); {REMEDY}"


def test_silence_is_a_broken_connection(server: Server, tmp_path: Path) -> None:
    released = threading.Event()
    server.responses = [lambda _: released.wait(600) and None]
    line = refusal(server, tmp_path, retries=0, timeout_s=0.2)
    released.set()
    assert "timed out" in line


def test_a_wrong_sum_is_tried_once_more(server: Server, tmp_path: Path) -> None:
    server.responses = [whole(CONTENT[:-1] + b"?"), whole()]
    fetch(server, tmp_path)
    assert len(server.requests) == 2
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_wrong_sum_twice_is_refused(server: Server, tmp_path: Path) -> None:
    server.responses = [whole(b"another file")]
    line = refusal(server, tmp_path)
    assert f"SHA-256 is {hashlib.sha256(b'another file').hexdigest()}, expected {SUM}" in line
    assert len(server.requests) == 2
    assert names(tmp_path) == set()


def test_a_spoilt_leftover_does_not_spoil_the_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(b"?" * 1000)
    server.responses = [ranged()]
    fetch(server, tmp_path)
    assert server.ranges == ["bytes=1000-", None]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_third_partys_sum_only_warns(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server.responses = [whole(b"another file")]
    fetch(server, tmp_path, on_mismatch="warn")
    assert (tmp_path / "a.bin").read_bytes() == b"another file"
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert SUM in warning
    assert "please report this" in warning
    fetch(server, tmp_path, on_mismatch="warn")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "response",
    [
        status(200),
        lambda handler: handler.reply(200, b"\n <!DOCTYPE html><html>log in first</html>"),
        lambda handler: handler.reply(200, b"\xef\xbb\xbf<HTML><body>blocked</body></HTML>"),
    ],
    ids=["content type", "doctype", "tag"],
)
@pytest.mark.parametrize("sha256", [SUM, None])
def test_an_html_page_is_recognised(server: Server, tmp_path: Path, response: Response, sha256: str | None) -> None:
    server.responses = [response]
    assert "the server sends an HTML page in place of the file" in refusal(server, tmp_path, sha256=sha256)
    assert len(server.requests) == 1
    assert names(tmp_path) == set()


def test_a_missing_file_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    server.responses = [status(404)]
    assert "the server responds with 404 Not Found" in refusal(server, tmp_path)
    assert len(server.requests) == 1


@pytest.mark.parametrize("announced", [True, False])
def test_too_large_a_file_is_refused(server: Server, tmp_path: Path, announced: bool) -> None:
    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(1000):
                handler.wfile.write(bytes(65_536))
        except OSError:
            pass
        handler.close_connection = True

    server.responses = [whole() if announced else endless]
    line = refusal(server, tmp_path, max_bytes=2_000_000)
    assert "is larger than the 2000000 bytes allowed" in line
    assert names(tmp_path) == set()


def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with refused(tmp_path / "file" / "set", "Not a directory"):
        fetch(server, tmp_path / "file" / "set")
    assert server.requests == []


@pytest.mark.parametrize(
    "url", ["http://example.org/", "ftp://example.org/", "file:///etc/", "example.org", "https://"]
)
def test_only_https_leaves_this_machine(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a request was made")

    monkeypatch.setattr(requests.Session, "send", never)
    with refused(url, remedy=REMEDY):
        fetch_files(url, {"a.bin": SUM}, tmp_path, REMEDY, max_bytes=1)


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
    ],
)
def test_loopback(host: str, is_here: bool) -> None:
    assert download._is_loopback(host) is is_here


def test_a_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    server.responses = [status(302, Location="/elsewhere/b.bin"), ranged()]
    fetch(server, tmp_path)
    assert [path for path, _ in server.requests] == ["/set/a.bin", "/elsewhere/b.bin"]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_redirect_to_plain_http_is_refused(server: Server, tmp_path: Path) -> None:
    server.responses = [status(301, Location="http://example.org/a.bin")]
    with refused("http://example.org/a.bin"):
        fetch(server, tmp_path)
    assert len(server.requests) == 1


def test_a_redirect_from_https_to_this_machine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def redirect(_: requests.Session, url: str, **__: object) -> requests.Response:
        response = requests.Response()
        response.status_code, response.url, response.raw = 302, url, io.BytesIO()
        response.headers["Location"] = "http://127.0.0.1:1/a.bin"
        return response

    monkeypatch.setattr(requests.Session, "get", redirect)
    with refused("https://example.org/a.bin", "http://127.0.0.1:1/"):
        fetch_files("https://example.org", {"a.bin": SUM}, tmp_path, REMEDY, max_bytes=1)


def test_redirects_in_a_circle_end(server: Server, tmp_path: Path) -> None:
    server.responses = [status(302, Location="/set/a.bin")]
    assert "redirects more than 5 times" in refusal(server, tmp_path)


@pytest.mark.parametrize("name", ["../a", "/a", "a/b", "..", "", "a\\b"])
def test_a_file_cannot_leave_its_folder(server: Server, tmp_path: Path, name: str) -> None:
    with refused(tmp_path / "set", repr(name)):
        fetch_files(server.url, {name: SUM}, tmp_path / "set", REMEDY, max_bytes=1)
    assert server.requests == []


def test_progress_is_told(server: Server, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    server.responses = [whole()]
    fetch(server, tmp_path, report=lambda *values: told.append(values))
    sizes = [done for _, done, _ in told]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == len(CONTENT)
    assert {(name, total) for name, _, total in told} == {("a.bin", len(CONTENT))}


def test_without_a_terminal_a_file_is_one_log_line(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.responses = [whole()]
    with caplog.at_level(logging.INFO, logger="siwcc"):
        fetch(server, tmp_path)
    assert [record.getMessage() for record in caplog.records] == ["a.bin: 3000000 bytes downloaded"]


def test_a_large_file_is_heard_of_every_few_seconds(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 6.0, 6.0, 7.0, 12.0, 12.0])
    monkeypatch.setattr(download.time, "monotonic", lambda: next(clock))
    tell = download._log_lines()
    with caplog.at_level(logging.INFO, logger="siwcc"):
        for done_bytes in (10, 20, 30, 40):
            tell("a.bin", done_bytes, 100)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["a.bin: 20 of 100 bytes so far", "a.bin: 40 of 100 bytes so far"]


def test_on_a_terminal_there_is_a_bar_on_stderr(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    server.responses = [whole()]
    fetch(server, tmp_path)
    shown = capsys.readouterr()
    assert "a.bin" in shown.err
    assert shown.out == ""


def test_sums_are_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "sums"
    path.write_text(f"{'a' * 64}  b\n{'B' * 64} *a name\n")
    assert list(read_checksums(path).items()) == [("b", "a" * 64), ("a name", "b" * 64)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "lists no file"), (f"{'a' * 64}  b\n{'a' * 63}  c\n", "line 2"), (f"{'a' * 64}  \n", "line 1")],
)
def test_a_damaged_list_of_sums(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "sums"
    path.write_text(text)
    with refused(path, problem):
        read_checksums(path)


def test_the_real_set_by_way_of_a_server(server: Server, tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "vfdb"
    server.responses = [lambda handler: handler.reply(200, (source / Path(handler.path).name).read_bytes())]
    vfdb.download(VfdbSection(format="vfdb", url=server.url), tmp_path / "vfdb")
    assert len(server.requests) == 66
    files = vfdb.raw_files(VfdbSection(format="vfdb"), tmp_path / "vfdb")
    assert len(files) == 66
    assert all(path.read_bytes() == (source / path.name).read_bytes() for path in files)


@pytest.mark.slow
def test_the_arrhythmia_database_by_way_of_a_server(server: Server, tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "mitdb"
    server.responses = [lambda handler: handler.reply(200, (source / Path(handler.path).name).read_bytes())]
    section = WfdbSection(format="wfdb", event_labels=("VT",), url=server.url, checksums="mitdb")
    wfdb.download(section, tmp_path / "mitdb")
    assert len(server.requests) == 144
    files = wfdb.raw_files(section, tmp_path / "mitdb")
    assert [path.name for path in files] == sorted(wfdb.published_sums(section))


def test_a_failed_set_names_the_file_and_the_way_out(server: Server, tmp_path: Path) -> None:
    server.responses = [status(404)]
    with pytest.raises(InputError) as caught:
        vfdb.download(VfdbSection(format="vfdb", url=server.url), tmp_path / "vfdb")
    remedy = "give a folder that holds a copy of the set as datasets.vfdb.path"
    assert str(caught.value) == f"{server.url}418.atr: the server responds with 404 Not Found; {remedy}"

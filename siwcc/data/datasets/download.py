"""Downloads that go on where they broke off, and are checked before they get their name.

A file grows under `<name>.part` in its folder and is renamed once its SHA-256 is right.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import quote, urljoin, urlsplit

import requests

from siwcc.io.console import progress_bar
from siwcc.io.errors import InputError
from siwcc.io.files import sha256_of

Report = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes that are there and the bytes there will be (None: not known)."""

_BLOCK_BYTES = 1 << 16
_PROGRESS_BYTES = 1 << 20
_LOG_EVERY_S = 5.0
_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETRIED = frozenset({408, 425, 429})
_SUM_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](\S.*)")

_logger = logging.getLogger(__name__)


class _TransientError(Exception):
    """A failure that may be gone at the next attempt."""


@dataclass(frozen=True)
class _Policy:
    remedy: str
    on_mismatch: Literal["error", "warn"]
    max_bytes: int
    retries: int
    timeout_s: float
    backoff_s: float


@dataclass(frozen=True)
class _Transfer:
    """One file on its way."""

    name: str
    url: str
    path: Path
    sha256: str | None
    policy: _Policy
    session: requests.Session
    report: Report

    @property
    def part(self) -> Path:
        return self.path.with_name(self.path.name + ".part")

    def error(self, problem: str) -> InputError:
        return InputError(self.url, problem, self.policy.remedy)


def read_checksums(path: Path) -> dict[str, str]:
    """Read a file in the format of `sha256sum`.

    Args:
        path: Lines of 64 hex digits, two blanks (or a blank and `*`), a file name.

    Returns:
        Names to sums, in the file's order.

    Raises:
        InputError: the file is missing, empty, or has a line of another form.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            path, f"cannot be read as a list of checksums ({error})", "take it from the repository"
        ) from error
    sums = {}
    for number, line in enumerate(lines, start=1):
        match = _SUM_LINE.fullmatch(line)
        if match is None:
            raise InputError(path, f"line {number} is not a SHA-256 and a file name", "take it from the repository")
        sums[match[2]] = match[1].lower()
    if not sums:
        raise InputError(path, "lists no file", "take it from the repository")
    return sums


def fetch_files(
    base_url: str,
    files: Mapping[str, str | None],
    folder: Path,
    remedy: str,
    *,
    max_bytes: int,
    on_mismatch: Literal["error", "warn"] = "error",
    retries: int = 5,
    timeout_s: float = 30.0,
    backoff_s: float = 1.0,
    report: Report | None = None,
) -> None:
    """Bring files into a folder, each whole and verified or not at all.

    Files that are there with the right sum are neither fetched nor touched. A broken transfer goes on
    where it stopped if the file has a sum to judge the result by and the server honours `Range`.
    The caller holds a lock on the folder.

    Args:
        base_url: What the names are relative to: https, or http on this machine itself.
        files: Names to SHA-256; None accepts any content.
        folder: Where the files go; made when missing.
        remedy: How to do without the download; ends the line of every failure.
        max_bytes: A larger file is refused.
        on_mismatch: `warn` keeps a file whose sum differs and asks for a report: for sums that
            do not come from the files' owner.
        retries: Further attempts at a file after a failure that may pass: no connection, a broken
            one, HTTP 408, 425, 429 or 5xx. Counted again whenever another MiB has arrived.
        timeout_s: Seconds without a response or a byte that count as a broken connection.
        backoff_s: Seconds before the first retry, doubled before each further one.
        report: Told about progress; by default a bar on a terminal, else log lines.

    Raises:
        InputError: one line with the file's address, what went wrong, and `remedy`.
    """
    _check_url(base_url, remedy)
    paths = {name: _checked_path(folder, name) for name in files}
    policy = _Policy(remedy, on_mismatch, max_bytes, retries, timeout_s, backoff_s)
    try:
        if all(_is_there(path, files[name], policy) for name, path in paths.items()):
            return
        folder.mkdir(parents=True, exist_ok=True)
        with _session(base_url) as session, _reporting(report) as tell:
            for name, path in paths.items():
                if not _is_there(path, files[name], policy):
                    url = urljoin(base_url.rstrip("/") + "/", quote(name))
                    _fetch(_Transfer(name, url, path, files[name], policy, session, tell))
    except OSError as error:
        problem = f"cannot be written ({error.strerror or error})"
        raise InputError(folder, problem, f"make room or choose another folder, or {remedy}") from error


def _checked_path(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    if len(parts) != 1 or parts[0] in ("..", "/") or "\\" in name or "\0" in name:
        raise InputError(folder, f"will not hold a download named {name!r}", "give plain file names")
    return folder / name


def _is_there(path: Path, sha256: str | None, policy: _Policy) -> bool:
    """Whether the file needs no download; a `warn` set's file was kept on purpose, whatever its sum."""
    if not path.is_file():
        return False
    return sha256 is None or policy.on_mismatch == "warn" or sha256_of(path) == sha256


def _check_url(url: str, remedy: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise InputError(url, f"is no web address ({error})", remedy) from error
    if not host or parts.scheme not in ("http", "https"):
        raise InputError(url, "is no https address", remedy)
    if parts.scheme == "http" and not _is_loopback(host):
        raise InputError(url, "is plain http, which anybody on the way can change", f"use https, or {remedy}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _session(base_url: str) -> requests.Session:
    session = requests.Session()
    # The sums and Content-Length are about the file's own bytes.
    session.headers["Accept-Encoding"] = "identity"
    # A proxy from the environment cannot reach this machine's own servers.
    session.trust_env = not _is_loopback(urlsplit(base_url).hostname or "")
    return session


@contextmanager
def _response(transfer: _Transfer, offset: int) -> Iterator[requests.Response]:
    """The response after redirects, none of which may leave https; its body is not read yet."""
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    url = transfer.url
    for _ in range(_MAX_REDIRECTS):
        _check_url(url, transfer.policy.remedy)
        with transfer.session.get(
            url, headers=headers, stream=True, timeout=transfer.policy.timeout_s, allow_redirects=False
        ) as response:
            if response.status_code not in _REDIRECTS:
                yield response
                return
            target = urljoin(url, response.headers.get("Location", ""))
        if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
            raise transfer.error(f"leads from https to {target}")
        url = target
    raise transfer.error(f"redirects more than {_MAX_REDIRECTS} times")


def _fetch(transfer: _Transfer) -> None:
    """Bring one file to its name."""
    # Without a sum nothing tells a whole leftover from a cut one.
    leftover_is_right = transfer.sha256 is not None and transfer.part.is_file() and _matches(transfer)
    if not leftover_is_right:
        resumed = _fetch_with_retries(transfer)
        if not _matches(transfer) and (resumed or transfer.policy.on_mismatch == "error"):
            transfer.part.unlink()
            _fetch_with_retries(transfer)
        if not _matches(transfer):
            _judge_mismatch(transfer)
    with transfer.part.open("rb") as handle:
        os.fsync(handle.fileno())
    transfer.part.replace(transfer.path)


def _matches(transfer: _Transfer) -> bool:
    return transfer.sha256 is None or sha256_of(transfer.part) == transfer.sha256


def _judge_mismatch(transfer: _Transfer) -> None:
    found = sha256_of(transfer.part)
    if transfer.policy.on_mismatch == "warn":
        _logger.warning(
            "%s: SHA-256 is %s, expected %s, a sum that is not from its owner; the file is kept, please report this",
            transfer.url,
            found,
            transfer.sha256,
        )
        return
    transfer.part.unlink()
    raise transfer.error(f"SHA-256 is {found}, expected {transfer.sha256}, at the second download too")


def _fetch_with_retries(transfer: _Transfer) -> bool:
    """Fill the `.part` file; True when it was put together from more than one transfer."""
    policy = transfer.policy
    failures, furthest_bytes = 0, 0
    while True:
        try:
            return _attempt(transfer, _resume_at(transfer))
        except (_TransientError, requests.RequestException) as error:
            reason = _root_cause(error)
        arrived_bytes = _resume_at(transfer)
        if arrived_bytes >= furthest_bytes + _PROGRESS_BYTES:
            failures, furthest_bytes = 0, arrived_bytes
        failures += 1
        if failures > policy.retries:
            raise transfer.error(f"cannot be downloaded ({reason}; tried {failures} times)")
        pause_s = policy.backoff_s * 2 ** (failures - 1)
        _logger.info("%s: %s; trying again in %g s", transfer.name, reason, pause_s)
        time.sleep(pause_s)


def _resume_at(transfer: _Transfer) -> int:
    """Bytes of an earlier transfer that may be kept."""
    if transfer.sha256 is None or not transfer.part.is_file():
        return 0
    return transfer.part.stat().st_size


def _attempt(transfer: _Transfer, offset: int) -> bool:
    """One request; True when its bytes were appended to earlier ones."""
    with _response(transfer, offset) as response:
        _check_status(transfer, response)
        if not _continues_at(transfer, response, offset):
            offset = 0
        total_bytes = _total_bytes(transfer, response, offset)
        arrived_bytes = _write_body(transfer, response, offset, total_bytes)
    if total_bytes is not None and arrived_bytes != total_bytes:
        raise _TransientError(f"the connection ended after {arrived_bytes} of {total_bytes} bytes")
    if total_bytes is None:
        transfer.report(transfer.name, arrived_bytes, arrived_bytes)
    return offset > 0


def _check_status(transfer: _Transfer, response: requests.Response) -> None:
    problem = f"the server responds with {response.status_code} {response.reason}".rstrip()
    if response.status_code == 416:
        transfer.part.unlink(missing_ok=True)
        raise _TransientError(f"{problem} to a resumed transfer")
    if response.status_code in _RETRIED or response.status_code >= 500:
        raise _TransientError(problem)
    if response.status_code not in (200, 206):
        raise transfer.error(problem)
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type in ("text/html", "application/xhtml+xml"):
        raise transfer.error("the server sends an HTML page in place of the file")


def _continues_at(transfer: _Transfer, response: requests.Response, offset: int) -> bool:
    """Whether the body starts at `offset`; False when it is the whole file."""
    if response.status_code == 200:
        return False
    if offset and response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
        return True
    transfer.part.unlink(missing_ok=True)
    raise _TransientError("the server resumed at another place")


def _total_bytes(transfer: _Transfer, response: requests.Response, offset: int) -> int | None:
    stated = response.headers.get("Content-Length", "")
    if not stated.isdecimal() or response.headers.get("Content-Encoding", "identity") != "identity":
        return None
    total_bytes = offset + int(stated)
    _check_size(transfer, total_bytes)
    return total_bytes


def _check_size(transfer: _Transfer, size_bytes: int) -> None:
    if size_bytes > transfer.policy.max_bytes:
        transfer.part.unlink(missing_ok=True)
        raise transfer.error(f"is larger than the {transfer.policy.max_bytes} bytes allowed")


def _write_body(transfer: _Transfer, response: requests.Response, offset: int, total_bytes: int | None) -> int:
    """Append the body to what is kept; the size of the `.part` file then."""
    arrived_bytes = offset
    with transfer.part.open("ab" if offset else "wb") as handle:
        for block in response.iter_content(_BLOCK_BYTES):
            if arrived_bytes == 0 and _is_html(block):
                transfer.part.unlink()
                raise transfer.error("the server sends an HTML page in place of the file")
            arrived_bytes += len(block)
            _check_size(transfer, arrived_bytes)
            handle.write(block)
            transfer.report(transfer.name, arrived_bytes, total_bytes)
    return arrived_bytes


def _is_html(start: bytes) -> bool:
    return start[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith((b"<!doctype html", b"<html"))


def _root_cause(error: BaseException) -> str:
    """The innermost of nested exceptions: the operating system's own words where it has some."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


@contextmanager
def _reporting(report: Report | None) -> Iterator[Report]:
    with progress_bar(report is None and sys.stderr.isatty(), "bytes") as bar:
        if bar is None:
            yield report or _log_lines()
            return
        task = bar.add_task("", total=None)

        def tell(name: str, done_bytes: int, total_bytes: int | None) -> None:
            bar.update(task, description=name, completed=done_bytes, total=total_bytes)

        yield tell


def _log_lines() -> Report:
    """One line a file, and one every few seconds of a large one."""
    last_s = time.monotonic()

    def tell(name: str, done_bytes: int, total_bytes: int | None) -> None:
        nonlocal last_s
        if done_bytes == total_bytes:
            _logger.info("%s: %d bytes downloaded", name, done_bytes)
        elif time.monotonic() - last_s < _LOG_EVERY_S:
            return
        else:
            of_total = "" if total_bytes is None else f" of {total_bytes}"
            _logger.info("%s: %d%s bytes so far", name, done_bytes, of_total)
        last_s = time.monotonic()

    return tell

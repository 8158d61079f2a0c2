"""A bundle from a file, a medium or a URL to the data partition: bounded, and from a URL resumable.

HTTP/1.1 with ranges (RFC 9110, 14): what was fetched before a connection broke or the power went is not fetched again,
when the server still has the same thing (`If-Range` with its strong ETag). What comes is checked afterwards, by its
signature, so it does not matter who serves it.
"""

import contextlib
import errno
import http.client
import os
import shutil
import ssl
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from appliance.errors import BundleError
from appliance.firmware.bundle import MAX_BYTES
from appliance.firmware.updatestatus import Reason
from uploader.errors import TargetError
from uploader.targets import tls
from uploader.targets.httpconnection import Proxy

CHUNK_BYTES = 1 << 20
MAX_URL_BYTES = 2000
RESERVE_BYTES = 256 << 20
"""What the data partition keeps free for recordings."""
TRIES = 20
"""Connections in which nothing came at all, one after the other, before it is given up."""
PAUSE_S = 15.0
TIMEOUT_S = 60.0
"""A connection on which nothing comes for so long is given up, and another one made."""
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES)
"""What a connection never fails with."""
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "rokubox"}


def is_allowed(url: str, sources: Iterable[str]) -> bool:
    """Whether a URL lies under one of the configured ones: same scheme, host and port, and below its path.

    A path with `..` or an encoded separator lies nowhere.
    """
    asked = urlsplit(url)
    if asked.scheme != "https" or asked.username or asked.fragment or asked.query:
        return False
    lowered = asked.path.lower()
    if ".." in lowered or "%2e" in lowered or "%2f" in lowered or "\\" in lowered or not url.isprintable():
        return False
    for source in sources:
        allowed = urlsplit(source)
        folder = allowed.path if allowed.path.endswith("/") else f"{allowed.path}/"
        if (allowed.scheme, allowed.netloc.lower()) == (asked.scheme, asked.netloc.lower()) and (
            asked.path.startswith(folder) or asked.path == allowed.path != ""
        ):
            return True
    return False


def copy(source: Path, target: Path) -> None:
    """Copy a file. Raises BundleError."""
    try:
        _check_room(source.stat().st_size, target.parent)
        target.unlink(missing_ok=True)
        with source.open("rb") as reading, target.open("wb") as writing:
            shutil.copyfileobj(reading, writing, CHUNK_BYTES)
            writing.flush()
            os.fsync(writing.fileno())
    except OSError as error:
        raise BundleError(Reason.NOT_FOUND, f"{source.name}: {error.strerror}") from error


def only_one(folder: Path) -> Path | None:
    """The bundle in a folder; None when there is none. Raises BundleError when there are several."""
    try:
        found = sorted(path for path in folder.glob("*.raucb") if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise BundleError(Reason.NOT_FOUND, f"the medium cannot be read: {error.strerror}") from error
    if len(found) > 1:
        raise BundleError(Reason.NOT_FOUND, f"{len(found)} bundles (*.raucb) on the medium, leave one")
    return found[0] if found else None


def requested(file: Path) -> str:
    """The URL that was asked for, taken away so that it is asked for once. Raises BundleError."""
    try:
        with file.open("rb") as asked:
            text = asked.read(MAX_URL_BYTES + 1)
        file.unlink()
        url = text.decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(Reason.NOT_FOUND, f"{file}: no request that can be read") from error
    if len(text) > MAX_URL_BYTES:
        raise BundleError(Reason.NOT_FOUND, f"{file}: no URL is so long")
    return url


def download(url: str, target: Path, *, proxy: str = "", ca_file: str = "", pause_s: float = PAUSE_S) -> None:
    """Fetch a URL, going on where an earlier try has ended. Raises BundleError."""
    tag = target.with_name(f".{target.name}.tag")
    try:
        trusted = tls.context(ca_file)
    except TargetError as error:
        raise BundleError(Reason.DOWNLOAD, str(error)) from error
    noted = tag.read_text("utf-8", "replace").split("\n") if tag.exists() else []
    if noted[:1] != [url]:
        target.unlink(missing_ok=True)
    empty = 0
    while True:
        before = _size(target)
        try:
            if _fetch(_connection(url, proxy, trusted), url, target, tag):
                tag.unlink(missing_ok=True)
                return
            told = "the connection broke"
        except (http.client.HTTPException, OSError) as error:
            if isinstance(error, OSError) and error.errno in _DISK:
                raise
            told = tls.distrust(error) or str(error) or type(error).__name__
        empty = 0 if _size(target) > before else empty + 1
        if empty >= TRIES:
            raise BundleError(Reason.DOWNLOAD, f"cannot be fetched: {told[:200]}")
        time.sleep(pause_s)


def _connection(url: str, proxy: str, trusted: ssl.SSLContext) -> http.client.HTTPSConnection:
    """A connection to the URL's server, through the proxy if there is one, not made yet. Raises BundleError."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or not url.isascii() or not url.isprintable():
        raise BundleError(Reason.DOWNLOAD, "not a URL that begins with https://")
    if not proxy:
        return http.client.HTTPSConnection(parts.hostname, parts.port or 443, timeout=TIMEOUT_S, context=trusted)
    try:
        through = Proxy.parse(proxy)
    except TargetError as error:
        raise BundleError(Reason.DOWNLOAD, str(error)) from error
    connection = http.client.HTTPSConnection(through.host, through.port, timeout=TIMEOUT_S, context=trusted)
    headers = {"Proxy-Authorization": through.authorization} if through.authorization else None
    connection.set_tunnel(parts.hostname, parts.port or 443, headers)
    return connection


def _fetch(connection: http.client.HTTPSConnection, url: str, target: Path, tag: Path) -> bool:
    """One connection; whether everything is there now. Raises BundleError, HTTPException, OSError."""
    have = _size(target)
    noted = tag.read_text("utf-8", "replace").split("\n") if tag.exists() else []
    validator = noted[1] if len(noted) > 1 else ""
    resumes = bool(have and validator)
    headers = {"Range": f"bytes={have}-", "If-Range": validator} if resumes else {}
    with contextlib.ExitStack() as stack:
        stack.callback(connection.close)
        connection.request("GET", urlsplit(url).path or "/", headers=_HEADERS | headers)
        response = stack.enter_context(connection.getresponse())
        if response.status == 206 and resumes:
            total = _total(response.getheader("Content-Range", ""), have)
        elif response.status == 200:
            have = 0
            told = response.getheader("Content-Length", "")
            total = int(told) if told.isascii() and told.isdigit() else 0
        elif response.status >= 500:
            return False
        else:
            raise BundleError(Reason.DOWNLOAD, f"cannot be fetched: HTTP {response.status}")
        if total <= 0:
            raise BundleError(Reason.DOWNLOAD, "cannot be fetched: the server does not say how long it is")
        _check_room(total, target.parent, have=have)
        etag = response.getheader("ETag", "")
        tag.write_text(f"{url}\n{etag if etag.startswith(chr(34)) else ''}", "utf-8")
        with target.open("r+b" if have else "wb") as file:
            file.seek(have)
            while have < total and (piece := response.read1(CHUNK_BYTES)):
                file.write(piece)
                have += len(piece)
            file.flush()
            os.fsync(file.fileno())
    return have == total


def _total(told: str, have: int) -> int:
    """Length of the whole by Content-Range; 0 when it does not begin where we are."""
    unit, _, rest = told.partition(" ")
    extent, _, total = rest.partition("/")
    if unit != "bytes" or extent.partition("-")[0] != str(have) or not total.isdigit():
        return 0
    return int(total)


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _check_room(size_bytes: int, folder: Path, have: int = 0) -> None:
    if size_bytes > MAX_BYTES:
        raise BundleError(Reason.NO_ROOM, f"larger than any update: {size_bytes >> 20} MiB")
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if free - (size_bytes - have) < RESERVE_BYTES:
        raise BundleError(Reason.NO_ROOM, f"no room for {size_bytes >> 20} MiB on the data partition")

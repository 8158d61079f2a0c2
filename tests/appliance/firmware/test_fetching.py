"""A bundle from a server: gone on with where it broke off, bounded, and from nowhere else than is allowed."""

import asyncio
import http.server
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from appliance.errors import BundleError
from appliance.firmware import fetching
from appliance.firmware.updatestatus import Reason
from tests.uploader.targets.lying import Proxy, running

CONTENT = bytes(range(256)) * 8192
SOURCES = ("https://updates.example.jp/rokubox/",)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://updates.example.jp/rokubox/rokubox-0.2.0.raucb", True),
        ("https://updates.example.jp/rokubox/a/b.raucb", True),
        ("https://updates.example.jp/other/rokubox.raucb", False),
        ("https://updates.example.jp/rokubox-evil/x.raucb", False),
        ("https://updates.example.jp/rokubox/../other/x.raucb", False),
        ("https://updates.example.jp/rokubox/%2e%2e/other/x.raucb", False),
        ("https://updates.example.jp/rokubox/x.raucb?y=1", False),
        ("https://updates.example.jp:8443/rokubox/x.raucb", False),
        ("https://updates.example.jp@evil.example/rokubox/x.raucb", False),
        ("https://user@updates.example.jp/rokubox/x.raucb", False),
        ("https://evil.example/rokubox/x.raucb", False),
        ("http://updates.example.jp/rokubox/x.raucb", False),
        ("file:///rokubox/x.raucb", False),
        ("/var/lib/rokubox/x.raucb", False),
        ("https://updates.example.jp/rokubox/x\n.raucb", False),
        ("", False),
    ],
)
def test_only_what_the_configuration_names(url: str, allowed: bool) -> None:
    assert fetching.is_allowed(url, SOURCES) == allowed


def test_without_sources_nothing_is_allowed() -> None:
    assert not fetching.is_allowed("https://updates.example.jp/rokubox/x.raucb", ())


class Server(http.server.ThreadingHTTPServer):
    """Sends some of the file, and hangs up."""

    daemon_threads = True
    breaks_after: int = 1 << 30
    etag: str = '"one"'
    status: int = 0
    afterwards: int = 0
    """Status of the answers after the first one."""
    asked: list[str]

    def handle_error(self, request: object, client_address: object) -> None:
        """Those who hang up are expected."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        begin = 0
        asked = self.headers.get("Range", "")
        self.server.asked.append(asked)
        if self.server.status:
            self.send_error(self.server.status)
            return
        if asked and self.headers.get("If-Range") == self.server.etag:
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - begin))
        self.send_header("ETag", self.server.etag)
        self.end_headers()
        self.wfile.write(CONTENT[begin : begin + self.server.breaks_after])
        self.wfile.flush()
        self.server.status = self.server.afterwards
        self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = Server(("127.0.0.1", 0), Handler)
    server.asked = []
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def download(server: Server, folder: Path, proxy: str = "") -> Path:
    target = folder / "bundle.raucb"
    url = f"https://localhost:{server.server_address[1]}/rokubox-0.2.0.raucb"
    fetching.download(url, target, proxy=proxy, ca_file=str(folder / "ca.pem"), pause_s=0)
    return target


def test_a_broken_connection_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    server.breaks_after = len(CONTENT) // 3 + 1
    assert download(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == ["", f"bytes={server.breaks_after}-", f"bytes={2 * server.breaks_after}-"]


def test_what_was_fetched_before_a_power_cut_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    breaks_off(server, tmp_path)
    assert download(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]


def breaks_off(server: Server, folder: Path) -> None:
    """Fetch 1000 bytes, then nothing any more."""
    server.breaks_after, server.afterwards = 1000, 404
    with pytest.raises(BundleError):
        download(server, folder)
    server.breaks_after, server.status, server.afterwards, server.asked = 1 << 30, 0, 0, []


def test_another_file_of_the_same_name_begins_anew(server: Server, tmp_path: Path) -> None:
    breaks_off(server, tmp_path)
    server.etag = '"two"'
    assert download(server, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [302, 403, 404])
def test_a_server_that_does_not_have_it(status: int, server: Server, tmp_path: Path) -> None:
    server.status = status
    with pytest.raises(BundleError, match=f"HTTP {status}") as caught:
        download(server, tmp_path)
    assert caught.value.reason == Reason.DOWNLOAD


def test_a_server_that_nobody_vouches_for(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "TRIES", 2)
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with pytest.raises(BundleError, match="certificate is not accepted"):
        download(server, tmp_path)


def test_through_a_proxy_that_asks_who_we_are(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "TRIES", 1)
    proxy = Proxy(authorization=f"Basic {b64encode(b'box:pass word').decode()}")
    with running(lambda: asyncio.start_server(proxy.serve, "127.0.0.1", 0)) as port:
        with pytest.raises(BundleError, match="407"):
            download(server, tmp_path, f"http://127.0.0.1:{port}")
        assert server.asked == []
        assert download(server, tmp_path, f"http://box:pass%20word@127.0.0.1:{port}").read_bytes() == CONTENT
    assert set(proxy.asked) == {f"localhost:{server.server_address[1]}"}
    with pytest.raises(BundleError, match="not of the form"):
        download(server, tmp_path, "127.0.0.1:3128")


@pytest.mark.parametrize(
    "url", ["http://localhost/x.raucb", "ftp://localhost/x", "https:///x.raucb", "https://a/\u3042"]
)
def test_only_https_is_spoken(url: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a URL that begins with"):
        fetching.download(url, tmp_path / "x", pause_s=0)


def test_what_is_larger_than_any_update_is_not_begun(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MAX_BYTES", 1000)
    with pytest.raises(BundleError, match="larger than any update") as caught:
        download(server, tmp_path)
    assert caught.value.reason == Reason.NO_ROOM
    assert not (tmp_path / "bundle.raucb").exists()


def test_one_bundle_on_a_medium(tmp_path: Path) -> None:
    assert fetching.only_one(tmp_path) is None
    (tmp_path / "a.raucb").touch()
    (tmp_path / "._a.raucb").touch()
    assert fetching.only_one(tmp_path) == tmp_path / "a.raucb"
    (tmp_path / "b.raucb").touch()
    with pytest.raises(BundleError, match="2 bundles"):
        fetching.only_one(tmp_path)


def test_a_request_is_taken_once(tmp_path: Path) -> None:
    request = tmp_path / "request"
    request.write_text("https://updates.example.jp/rokubox/x.raucb\n")
    assert fetching.requested(request) == "https://updates.example.jp/rokubox/x.raucb"
    with pytest.raises(BundleError):
        fetching.requested(request)

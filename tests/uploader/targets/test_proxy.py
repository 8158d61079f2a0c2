"""Delivery through an HTTP proxy: TLS goes through it to the target, whose name is what is verified."""

import asyncio
from base64 import b64encode
from pathlib import Path

import pytest

from tests.uploader.parcels import parcel, some_bytes
from tests.uploader.targets.lying import Proxy, Web, running, web
from uploader.errors import TargetError
from uploader.settings import TargetSettings
from uploader.targets import choice
from uploader.targets.contract import Patience

PATIENCE = Patience(connect_s=5, answer_s=5)
CONTENT = some_bytes(700_000)


def attempt(folder: Path, settings: TargetSettings, proxy: str) -> None:
    async def run() -> None:
        async with asyncio.timeout(20), choice.target(settings, PATIENCE, proxy).session() as session:
            with parcel(folder, CONTENT) as one:
                await session.deliver(one)

    asyncio.run(run())


def test_through_a_proxy_that_asks_who_we_are(tmp_path: Path) -> None:
    server, proxy = Web(), Proxy(authorization=f"Basic {b64encode(b'box:pass word').decode()}")
    with (
        web(tmp_path, server, "https") as settings,
        running(lambda: asyncio.start_server(proxy.serve, "127.0.0.1", 0)) as port,
    ):
        with pytest.raises(TargetError, match=r"the proxy refuses \(HTTP 407\)"):
            attempt(tmp_path, settings, f"http://127.0.0.1:{port}")
        assert server.files == {}
        attempt(tmp_path, settings, f"http://box:pass%20word@127.0.0.1:{port}")
    assert list(server.files.values()) == [CONTENT]
    assert set(proxy.asked) == {settings.parts.netloc}


def test_a_proxy_that_is_not_there(tmp_path: Path) -> None:
    with web(tmp_path, Web(), "https") as settings:
        with pytest.raises(TargetError, match="it cannot be reached"):
            attempt(tmp_path, settings, "http://127.0.0.1:1")
        for url in ("https://127.0.0.1:3128", "127.0.0.1:3128", "http://127.0.0.1:port"):
            with pytest.raises(TargetError, match="not of the form"):
                attempt(tmp_path, settings, url)

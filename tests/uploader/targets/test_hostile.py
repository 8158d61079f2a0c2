"""Hostile and broken servers: no recording is lost to them, none is believed, none holds us up for ever."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.uploader.parcels import parcel, some_bytes
from tests.uploader.targets.lying import Sftp, Web, sftp, web
from uploader.errors import ParcelError, TargetError, UploaderError
from uploader.proof import Proof, ProofKind
from uploader.settings import TargetSettings
from uploader.targets import choice
from uploader.targets.contract import Patience

SCHEMES = ("https", pytest.param("davs", marks=pytest.mark.thorough), pytest.param("s3", marks=pytest.mark.thorough))
PATIENCE = Patience(connect_s=2, answer_s=0.5, slowest_bytes_s=100_000)
CONTENT = some_bytes(300_000)


def flipped(content: bytes) -> bytes:
    return content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]


def attempt(folder: Path, settings: TargetSettings, *, read_back: bool = False) -> Proof:
    """One delivery, as a courier makes it."""

    async def run() -> Proof:
        async with asyncio.timeout(10), choice.target(settings, PATIENCE).session() as session:
            with parcel(folder, CONTENT, read_back=read_back) as one:
                return await session.deliver(one)

    return asyncio.run(run())


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    "lie",
    [
        lambda _content: None,
        lambda content: content[: len(content) // 2],
        lambda content: content + b"more",
        flipped,
        lambda _content: b"",
    ],
    ids=["forgets", "truncates", "adds", "flips a bit", "empties"],
)
def test_what_is_stored_otherwise_is_found_out(scheme: str, tmp_path: Path, lie: Callable) -> None:
    server = Web(store=lie)
    with web(tmp_path, server, scheme) as settings:
        for _ in range(2):  # the next attempt is no better off for it
            with pytest.raises(UploaderError):
                attempt(tmp_path, settings)
        server.store = lambda content: content
        assert attempt(tmp_path, settings).size_bytes == len(CONTENT)


def test_a_checksum_that_is_an_echo_is_no_proof_for_erasing(tmp_path: Path, scheme: str) -> None:
    server = Web(store=flipped, echo=True)
    with web(tmp_path, server, scheme) as settings:
        with pytest.raises(ParcelError):
            attempt(tmp_path, settings, read_back=True)
        if scheme != "davs":  # which takes no server's word
            assert attempt(tmp_path, settings).kind is ProofKind.CHECKSUM


def test_a_store_that_names_a_sha256_is_asked_nothing_more(tmp_path: Path) -> None:
    server = Web(echo=True)
    with web(tmp_path, server, "s3") as settings:
        for _ in range(2):
            server.files.clear()
            assert attempt(tmp_path, settings).kind is ProofKind.CHECKSUM
    assert server.requests == ["HEAD", "PUT"] * 2


def test_an_answer_that_was_lost(tmp_path: Path, scheme: str) -> None:
    server = Web(answer=False)
    with web(tmp_path, server, scheme) as settings:
        with pytest.raises(TargetError):
            attempt(tmp_path, settings)
        server.answer = True
        attempt(tmp_path, settings)
        assert server.requests.count("PUT") == (1 if scheme != "davs" else 2)  # a draft is written anew
    assert list(server.files.values()) == [CONTENT]


@pytest.mark.parametrize("cut_after", [0, 1, 150_000])
def test_a_connection_that_is_cut_leaves_a_beginning_that_is_in_nobodys_way(
    tmp_path: Path, scheme: str, cut_after: int
) -> None:
    server = Web(cut_after=cut_after)
    with web(tmp_path, server, scheme) as settings:
        with pytest.raises(TargetError):
            attempt(tmp_path, settings)
        server.cut_after = None
        if scheme == "s3":
            server.files.clear()  # no S3 store keeps half an object
        attempt(tmp_path, settings)
    assert list(server.files.values()) == [CONTENT]


def test_an_answer_that_comes_before_all_was_sent_is_heard(tmp_path: Path, scheme: str) -> None:
    with web(tmp_path, Web(hasty=True), scheme) as settings, pytest.raises(UploaderError, match=r"413|lost"):
        attempt(tmp_path, settings)


@pytest.mark.parametrize(
    ("refusal", "kind", "asked_s"),
    [
        ((500, {}), TargetError, None),
        ((503, {"Retry-After": "7"}), TargetError, 7),
        ((429, {"Retry-After": "120"}), TargetError, 120),
        (
            (503, {"Date": "Fri, 02 Jan 2026 03:04:05 GMT", "Retry-After": "Fri, 02 Jan 2026 03:05:05 GMT"}),
            TargetError,
            60,
        ),
        ((503, {"Retry-After": "soon"}), TargetError, None),
        ((507, {}), TargetError, None),
        ((401, {}), TargetError, None),
        ((413, {}), ParcelError, None),
        ((302, {"Location": "https://127.0.0.1:1/elsewhere"}), TargetError, None),
    ],
)
def test_refusals_are_understood(tmp_path: Path, scheme: str, refusal, kind: type, asked_s: float | None) -> None:
    server = Web(refuse=refusal)
    with web(tmp_path, server, scheme) as settings, pytest.raises(kind) as refused:
        attempt(tmp_path, settings)
    assert getattr(refused.value, "retry_after_s", None) == asked_s
    assert len(server.hosts) == 1  # nobody is sent on to another server


@pytest.mark.parametrize("trouble", ["stall", "garbage", "endless"])
def test_nobody_is_waited_for_without_end(tmp_path: Path, scheme: str, trouble: str) -> None:
    server = Web()
    setattr(server, trouble, True)
    with web(tmp_path, server, scheme) as settings, pytest.raises(UploaderError):
        attempt(tmp_path, settings)


def test_a_slow_link_is_slow_and_no_more(tmp_path: Path, scheme: str) -> None:
    """As long as data go through, whoever is slow is waited for."""
    server = Web(slow_bytes_s=400_000)
    with web(tmp_path, server, scheme) as settings:
        attempt(tmp_path, settings)
    assert list(server.files.values()) == [CONTENT]


def test_a_certificate_that_has_expired(tmp_path: Path, scheme: str) -> None:
    server = Web(expired=True)
    with web(tmp_path, server, scheme) as settings, pytest.raises(TargetError, match="expired"):
        attempt(tmp_path, settings)
    assert server.requests == []


def test_files_that_are_missing_are_told(tmp_path: Path, scheme: str) -> None:
    nowhere = str(tmp_path / "nowhere")
    with web(tmp_path, Web(), scheme) as settings:
        for without in (replace(settings, password_file=nowhere), replace(settings, ca_file=nowhere)):
            with pytest.raises(TargetError, match=r"cannot be (read|used)"):
                attempt(tmp_path, without)


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [(flipped, ParcelError), (lambda data: data[:100], ParcelError), (lambda data: bytes(len(data)), ParcelError)],
    ids=["flips a bit", "truncates", "zeros"],
)
def test_an_sftp_server_that_stores_something_else(tmp_path: Path, spoil: Callable, kind: type) -> None:
    class Spoiling(Sftp):
        pass

    Spoiling.spoil = staticmethod(spoil)
    with sftp(tmp_path, Spoiling) as settings:
        with pytest.raises(kind):
            attempt(tmp_path, settings)
        assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []
        Spoiling.spoil = staticmethod(lambda data: data)
        attempt(tmp_path, settings)


@pytest.mark.thorough
def test_an_sftp_server_whose_disk_is_full(tmp_path: Path) -> None:
    class Full(Sftp):
        full_after = 100_000

    with sftp(tmp_path, Full) as settings:
        with pytest.raises(TargetError, match="full"):
            attempt(tmp_path, settings)
        Full.full_after = 1 << 60
        attempt(tmp_path, settings)


@pytest.mark.thorough
def test_an_sftp_server_that_hangs(tmp_path: Path) -> None:
    class Hanging(Sftp):
        stall = True

    async def run(settings: TargetSettings) -> None:
        async with choice.target(settings, PATIENCE).session() as session:
            with parcel(tmp_path, CONTENT) as one:
                async with asyncio.timeout(1):
                    await session.deliver(one)

    with sftp(tmp_path, Hanging) as settings:
        with pytest.raises(TimeoutError):
            asyncio.run(run(settings))
        Hanging.stall = False


def test_a_transfer_has_an_end_at_any_limit() -> None:
    """A limit of ours is no slowness of the target's."""
    assert Patience().transfer_s(8_000_000, 0, 2) < 2_300 + 300
    assert Patience().transfer_s(8_000_000, 4_000, 2) >= 2 * 8_000_000 / 1_000

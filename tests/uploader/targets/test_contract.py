"""The contract of `uploader.targets.contract`, held against every target on a real server."""

import asyncio
import os
import random
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from tests.uploader.parcels import NAME, BrokenOff, breaking, counting, parcel, some_bytes
from tests.uploader.targets.httpserved import PutServed, WebdavServed
from tests.uploader.targets.s3served import S3Served
from tests.uploader.targets.served import DirectoryServed, Served
from tests.uploader.targets.smbserved import SmbServed
from tests.uploader.targets.sshserved import SftpServed
from uploader.errors import ParcelError, TargetError
from uploader.parcel import Parcel
from uploader.proof import Proof, ProofKind
from uploader.settings import TargetSettings
from uploader.targets import choice
from uploader.targets.contract import Patience, Session
from uploader.throttle import Throttle

T = TypeVar("T")
KINDS: dict[str, type[Served]] = {
    "directory": DirectoryServed,
    "sftp": SftpServed,
    "https": PutServed,
    "davs": WebdavServed,
    "s3": S3Served,
    "smb": SmbServed,
}
PATIENCE = Patience(connect_s=15, answer_s=15)


MOST = [pytest.param(kind, marks=[] if kind == "directory" else pytest.mark.thorough) for kind in KINDS]


@pytest.fixture(params=MOST)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    with KINDS[request.param](tmp_path) as running:
        yield running


def with_session(settings: TargetSettings, use: Callable[[Session], Awaitable[T]]) -> T:
    async def run() -> T:
        async with asyncio.timeout(60), choice.target(settings, PATIENCE).session() as session:
            return await use(session)

    return asyncio.run(run())


def deliver(served: Served, one: Parcel, settings: TargetSettings | None = None) -> Proof:
    return with_session(settings or served.settings, lambda session: session.deliver(one))


@pytest.mark.parametrize("kind", KINDS)
def test_the_contract_in_short(kind: str, tmp_path: Path) -> None:
    """Delivered, found again, never overwritten, and nothing told to an impostor: for every kind of target."""
    content = some_bytes(300_000)
    with KINDS[kind](tmp_path) as served, parcel(tmp_path, content) as one:
        if (impostor := served.impostor()) is not None:
            with pytest.raises(TargetError):
                deliver(served, one, impostor)
        again = counting(one)

        async def twice(session: Session) -> None:
            await session.deliver(one)
            await session.deliver(again)

        with_session(served.settings, twice)
        assert (served.read(NAME), served.names(), again.counted) == (content, {NAME}, [])
        served.plant(NAME, content[::-1])
        with pytest.raises(ParcelError, match="not overwritten"):
            deliver(served, one)
        assert served.read(NAME) == content[::-1]


@pytest.mark.parametrize("size", [0, 1, 70_000, 3 << 20])
def test_what_arrives_is_what_was_sent(served: Served, tmp_path: Path, size: int) -> None:
    content = some_bytes(size)
    with parcel(tmp_path, content) as one:
        proof = deliver(served, one)
    assert (proof.sha256, proof.size_bytes) == (one.sha256, size)
    assert served.read(NAME) == content
    assert served.names() == {NAME}


def test_reading_back_when_it_is_asked_for(served: Served, tmp_path: Path) -> None:
    with parcel(tmp_path, some_bytes(70_000), read_back=True) as one:
        assert deliver(served, one).kind is ProofKind.READ_BACK


def test_what_is_there_is_not_sent_again(served: Served, tmp_path: Path) -> None:
    """The answer was lost: the next attempt finds the proof."""
    with parcel(tmp_path, some_bytes(70_000)) as one:
        deliver(served, one)
        again = counting(one)
        assert deliver(served, again).sha256 == one.sha256
    assert again.counted == []
    assert served.names() == {NAME}


@pytest.mark.parametrize("same_size", [True, False])
def test_another_file_under_the_name_is_never_overwritten(served: Served, tmp_path: Path, same_size: bool) -> None:
    other = some_bytes(70_000 if same_size else 10, seed=1)
    served.plant(NAME, other)
    with parcel(tmp_path, some_bytes(70_000)) as one, pytest.raises(ParcelError, match="not overwritten"):
        deliver(served, one)
    assert served.read(NAME) == other
    assert served.names() == {NAME}


@pytest.mark.parametrize("seed", range(3))
def test_a_transfer_that_breaks_off_is_gone_on_with(served: Served, tmp_path: Path, seed: int) -> None:
    size = 3 << 20
    after = random.Random(seed).randrange(1, size)
    with parcel(tmp_path, some_bytes(size)) as one:
        with suppress(BrokenOff, TargetError):
            deliver(served, breaking(one, after))
        assert served.read(NAME) is None
        rest = counting(one)
        deliver(served, rest)
    assert served.read(NAME) == some_bytes(size)
    assert served.names() == {NAME}
    if served.resumes:
        assert sum(rest.counted) < size - after + (2 << 20)


def test_a_draft_that_is_not_ours_is_found_out(served: Served, tmp_path: Path) -> None:
    if not (served.resumes and served.hides_drafts):
        pytest.skip("there is no draft to go on with")
    with parcel(tmp_path, some_bytes(70_000)) as one:
        served.plant(one.draft, some_bytes(50_000, seed=1))
        with pytest.raises(ParcelError, match="does not hold"):
            deliver(served, one)
        assert served.read(NAME) is None
        deliver(served, one)
        assert served.read(NAME) == some_bytes(70_000)
        (served.below / NAME).unlink()
        served.plant(one.draft, some_bytes(90_000, seed=1))  # longer than the file
        deliver(served, one)
    assert served.names() == {NAME}


def test_a_server_that_goes_away_and_comes_back(served: Served, tmp_path: Path) -> None:
    with parcel(tmp_path, some_bytes(70_000)) as one:
        served.stop()
        with pytest.raises((TargetError, OSError)):
            deliver(served, one)
        served.start()
        deliver(served, one)
    assert served.read(NAME) == some_bytes(70_000)


def test_a_server_that_dies_in_the_middle(served: Served, tmp_path: Path) -> None:
    class Killing(Parcel):
        async def chunks(self, first=0, end=None, at_once=1 << 18):
            async for chunk in Parcel.chunks(self, first, end, at_once):
                yield chunk
                await asyncio.sleep(0)
                served.stop()

    with parcel(tmp_path, some_bytes(3 << 20)) as one:
        with pytest.raises((TargetError, ParcelError, OSError)):
            deliver(served, Killing(**{name: getattr(one, name) for name in one.__dataclass_fields__}))
        served.start()
        deliver(served, one)
    assert served.read(NAME) == some_bytes(3 << 20)
    assert served.names() == {NAME}


def test_many_at_once(served: Served, tmp_path: Path) -> None:
    contents = {NAME.replace("p01", f"p{number:02d}"): some_bytes(50_000 + number, number) for number in range(12)}
    with ExitStack() as stack:
        parcels = [stack.enter_context(parcel(tmp_path, content, path)) for path, content in contents.items()]

        async def all_of_them(session: Session) -> list[Proof]:
            return await asyncio.gather(*(session.deliver(one) for one in parcels))

        assert len(with_session(served.settings, all_of_them)) == 12
    assert {path: served.read(path) for path in contents} == contents


def test_a_server_that_is_another_one(served: Served, tmp_path: Path) -> None:
    settings = served.impostor()
    if settings is None:
        pytest.skip("nobody is asked who it is")
    with parcel(tmp_path, some_bytes(1000)) as one, pytest.raises(TargetError):
        deliver(served, one, settings)
    assert served.names() == set()


def test_credentials_that_are_not_accepted(served: Served, tmp_path: Path) -> None:
    settings = served.intruder()
    if settings is None:
        pytest.skip("nobody is let in or kept out")
    with parcel(tmp_path, some_bytes(1000)) as one, pytest.raises(TargetError):
        deliver(served, one, settings)
    assert served.names() == set()


def test_a_bandwidth_limit(served: Served, tmp_path: Path) -> None:
    """3 MiB at 4 MiB a second, of which the first MiB goes at once."""

    async def timed(session: Session) -> float:
        began_s = asyncio.get_running_loop().time()
        await session.deliver(limited)
        return asyncio.get_running_loop().time() - began_s

    with parcel(tmp_path, some_bytes(3 << 20), sent=Throttle(4 << 20)) as limited:
        assert with_session(served.settings, timed) >= 0.5


@pytest.mark.parametrize("kind", MOST)
def test_a_disk_that_is_full(kind: str, tmp_path: Path) -> None:
    """Nothing has a final name, and when there is room again it goes on."""
    store = tmp_path / "small"
    store.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", store]).returncode:
        pytest.skip("not permitted to mount")
    try:
        folder = tmp_path / "server"
        folder.mkdir()
        with KINDS[kind](folder, store) as served, parcel(tmp_path, some_bytes(3 << 20)) as one:
            with pytest.raises((TargetError, ParcelError)):
                deliver(served, one)
            assert served.read(NAME) is None
            subprocess.run(["mount", "-o", "remount,size=32m", store], check=True)
            deliver(served, one)
            assert served.read(NAME) == some_bytes(3 << 20)
    finally:
        subprocess.run(["umount", "-l", store], check=True)

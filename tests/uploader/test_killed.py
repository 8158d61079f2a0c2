"""1,000 recordings to an SFTP server and an S3 store while the uploader, and now and then the archive's owner, are
killed: each arrives exactly once, byte for byte, and has one receipt."""

import os
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.storage.retention.archives import make
from tests.uploader.daemons import begin, configured, receipted, status, until
from tests.uploader.deliveries import hashes
from tests.uploader.targets.s3served import S3Served
from tests.uploader.targets.served import Served
from tests.uploader.targets.sshserved import SftpServed
from uploader.settings import TargetSettings

pytestmark = pytest.mark.thorough
CALLS = int(os.environ.get("ROKUBOX_UPLOAD_CALLS", "1000"))


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[Served]]:
    with ExitStack() as stack:
        folders = (tmp_path / "sftp", tmp_path / "s3")
        for folder in folders:
            folder.mkdir()
        yield [stack.enter_context(kind(folder)) for kind, folder in zip((SftpServed, S3Served), folders, strict=True)]


def table(settings: TargetSettings) -> str:
    """The target as TOML."""
    keys = {key: getattr(settings, key) for key in ("name", "url", "user", "password_file", "key_file", "ca_file")}
    lines = [f'{key} = "{value}"' for key, value in keys.items() if value]
    keys_of_host = ", ".join(f'"{key}"' for key in settings.host_keys)
    return "\n".join([*lines, f"host_keys = [{keys_of_host}]", "parallel = 4"])


def test_every_recording_arrives_once_whatever_is_killed(servers: list[Served], tmp_path: Path) -> None:
    root = tmp_path / "archive"
    make(root, CALLS, parts=1, frames=20_000)
    names = ", ".join(f'"{one.settings.name}"' for one in servers)
    config = configured(tmp_path, *(table(one.settings) for one in servers), names=names)
    chance, kills, owner_kills = random.Random(6), 0, 0
    owner, uploader = begin("assemble", root, config), begin("upload", root, config)
    try:
        deadline = time.monotonic() + 900
        while len(receipted(root)) < 2 * CALLS:
            assert time.monotonic() < deadline, (len(receipted(root)), status(root))
            time.sleep(chance.uniform(0.6, 2.5))
            uploader.kill()
            uploader.wait()
            kills += 1
            if kills % 5 == 0:
                owner.kill()
                owner.wait()
                owner_kills += 1
                owner = begin("assemble", root, config)
            if kills % 7 == 0:  # a target goes too
                servers[kills % 2].stop()
                servers[kills % 2].start()
            uploader = begin("upload", root, config)
        until(lambda: (told := status(root)) and not any(one.waiting for one in told.targets), root)
    finally:
        for process in (uploader, owner):
            process.kill()
            process.wait()
    print(f"{kills} kills of the uploader, {owner_kills} of the archive's owner")
    kept = {path: found for path, found in hashes(root / "recordings").items() if path.endswith(".zip")}
    assert len(kept) == CALLS
    for server in servers:
        assert hashes(server.below) == kept
    assert len(receipted(root)) == len(set(receipted(root))) == 2 * CALLS
    assert kills >= 3

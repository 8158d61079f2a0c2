"""The text of the configuration is kept by digest, and capture says which one is in force."""

import hashlib
import os
import signal
import stat
from pathlib import Path

import pytest

from appliance.capturing import configtexts
from capture.errors import JournalWriteError
from capture.events import EventKind
from capture.journal import EventBlock
from capture.journalreader import JournalReader
from tests.capture.private_network import in_private_network, veth
from tests.live import recording, wait_until

FIRST = b'[site]\ncustomer = "\xe6\xa0\xaa\xe5\xbc\x8f"\n'
SECOND = b"[recording]\nsegment_s = 60\n"


def digest_of(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def test_a_text_is_kept_once_and_whole(tmp_path: Path) -> None:
    assert configtexts.keep(tmp_path, FIRST) == digest_of(FIRST)
    path = configtexts.path_of(tmp_path, digest_of(FIRST))
    assert path == tmp_path / "configurations" / f"{digest_of(FIRST)}.toml"
    assert path.read_bytes() == FIRST
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    before = path.stat().st_ino
    configtexts.keep(tmp_path, FIRST)
    assert path.stat().st_ino == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_damaged_text_and_a_draft_left_over_are_replaced(tmp_path: Path) -> None:
    path = configtexts.path_of(tmp_path, digest_of(FIRST))
    path.parent.mkdir()
    path.write_bytes(FIRST[:5])
    path.with_name(f".{path.name}.tmp").write_bytes(b"half")
    configtexts.keep(tmp_path, FIRST)
    assert path.read_bytes() == FIRST
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "configurations").write_text("in the way")
    with pytest.raises(JournalWriteError, match="configuration not kept"):
        configtexts.keep(tmp_path, FIRST)


def digests(archive: Path) -> list[str]:
    """What the journal says of configurations; the text of each is there."""
    told: list[str] = []
    with JournalReader(archive / "journal") as reader:
        while (item := reader.next()) is not None:
            if isinstance(item[1], EventBlock):
                told += [str(e.detail["digest"]) for e in item[1].events if e.kind == EventKind.CONFIGURATION]
    for digest in filter(None, told):
        assert digest_of(configtexts.path_of(archive / "journal", digest).read_bytes()) == digest
    return told


@in_private_network
def test_each_start_says_what_is_in_force(tmp_path: Path) -> None:
    veth("span0", "switch0")
    archive, config = tmp_path / "archive", tmp_path / "rokubox.toml"
    config.write_bytes(FIRST)
    with recording(archive, "--interface", "span0", "--config", str(config)) as recorder:
        wait_until(lambda: digests(archive) == [digest_of(FIRST)])
        config.write_bytes(SECOND)
        os.kill(recorder.pid("capture"), signal.SIGKILL)
        # Files that nobody needs any more go, events with them.
        wait_until(lambda: digests(archive)[-1:] == [digest_of(SECOND)])
    with recording(archive, "--interface", "span0"):
        wait_until(lambda: digests(archive)[-1:] == [""])


@in_private_network
def test_a_text_that_could_not_be_kept_is_tried_again(tmp_path: Path) -> None:
    veth("span0", "switch0")
    archive, config = tmp_path / "archive", tmp_path / "rokubox.toml"
    config.write_bytes(FIRST)
    obstacle = archive / "journal" / "configurations"
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("in the way")
    with recording(archive, "--interface", "span0", "--config", str(config)) as recorder:
        wait_until(lambda: "configuration not kept" in recorder.log.read_text())
        assert digests(archive) == []
        obstacle.unlink()
        wait_until(lambda: digests(archive) == [digest_of(FIRST)])

import errno
import hashlib
import os
import stat
from dataclasses import replace

import pytest

from storage.disk import Disk
from storage.errors import ArchiveError, ConflictError, DiskFullError, LedgerError
from storage.ledger import checkpoint as checkpoints
from storage.ledger import devicekey, entries, merkle, proof
from storage.ledger.entries import Log, Part, Seal
from storage.ledger.ledger import Ledger
from tests.storage.ledger.books import DAY_NS, NOW_NS, both, call, call_id, erasure, opened, part, settings, sha256


def kinds(ledger) -> list[str]:
    return [line.entry.kind for line in ledger.lines()]


def test_the_first_start(tmp_path):
    with opened(tmp_path) as ledger:
        log = next(ledger.lines()).entry
        assert isinstance(log, Log)
        assert kinds(ledger) == ["log", "seal"]
        assert ledger.origin == log.origin == "rokubox/RB-0001"
        assert ledger.checkpoint.size == 2
    folder = tmp_path / "ledger"
    public_key = devicekey.read_public(folder / "device.pub")
    newest = checkpoints.parse((folder / "checkpoint").read_bytes())
    assert newest.is_signed_by(public_key)
    assert (tmp_path / "recordings/checkpoint.txt").read_bytes() == (folder / "checkpoint").read_bytes()
    assert (tmp_path / "recordings/device-key.pem").read_bytes() == (folder / "device.pub").read_bytes()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes.pop("device.key") == 0o600
    assert modes.pop("checkpoints") == 0o750
    assert set(modes.values()) == {0o640}


def test_without_a_serial_the_key_names_the_log(tmp_path):
    with Ledger(settings(tmp_path, serial="  "), NOW_NS) as ledger:
        key = devicekey.read_public(tmp_path / "ledger/device.pub")
        assert ledger.origin == f"rokubox/{hashlib.sha256(key).hexdigest()[:8]}"


def test_what_is_committed_is_there_again(tmp_path):
    with opened(tmp_path) as ledger:
        assert ledger.append(both(1, 2)) == 4
        first = ledger.commit(NOW_NS)
        assert ledger.commit(NOW_NS) is first
        assert ledger.append(both(3)) == 2
        newest = ledger.commit(NOW_NS)
    with opened(tmp_path) as ledger:
        assert ledger.checkpoint == newest
        assert ledger.torn_bytes == 0
        assert kinds(ledger) == ["log", "seal", "part", "call", "part", "call", "seal", "part", "call", "seal"]
        assert [line.entry for line in ledger.lines(7)][:2] == both(3)
        assert list(ledger.lines(10)) == []


def test_the_root_is_that_of_the_leaves(tmp_path):
    with opened(tmp_path) as ledger:
        ledger.append(both(1, 2, 3))
        newest = ledger.commit(NOW_NS)
    frontier = merkle.Frontier()
    for stored in (tmp_path / "ledger/entries.jsonl").read_bytes().splitlines():
        entry = entries.parse(stored)
        leaf = hashlib.sha256(stored).digest()
        if isinstance(entry, Part):
            leaf = bytes.fromhex(entry.call_json_sha256 + entry.wav_sha256)
        frontier.append(merkle.leaf_hash(leaf))
    assert (newest.size, newest.root) == (frontier.size, frontier.root())


def test_a_seal_covers_every_byte_of_its_batch(tmp_path):
    with opened(tmp_path) as ledger:
        ledger.append(both(1))
        ledger.commit(NOW_NS)
    lines = (tmp_path / "ledger/entries.jsonl").read_bytes().splitlines(keepends=True)
    seal = entries.parse(lines[4].rstrip())
    assert isinstance(seal, Seal)
    assert (seal.entries, seal.sha256) == (2, hashlib.sha256(b"".join(lines[2:4])).hexdigest())


def test_what_is_not_committed_is_forgotten(tmp_path):
    with opened(tmp_path) as ledger:
        ledger.append(both(1))
        assert ledger.has_part(call_id(1), 1)
    with opened(tmp_path) as ledger:
        assert not ledger.has_part(call_id(1), 1)
        assert ledger.size == 2


def test_nothing_is_appended_twice(tmp_path):
    with opened(tmp_path) as ledger:
        assert ledger.append([*both(1), *both(1)]) == 2
        ledger.commit(NOW_NS)
        assert ledger.append([replace(part(1), at=call(1).at[:-6] + "+00:00"), part(1, part=2)]) == 1
        ledger.commit(NOW_NS)
    with opened(tmp_path) as ledger:
        assert ledger.append([*both(1), part(1, part=2)]) == 0
        assert [ledger.has_part(call_id(1), number) for number in (1, 2, 3)] == [True, True, False]
        assert [ledger.has_call(call_id(number)) for number in (1, 2)] == [True, False]


@pytest.mark.parametrize(
    "other", [replace(part(1), wav_sha256=sha256("x")), replace(call(1), record_sha256=sha256("x"))]
)
def test_other_content_is_a_conflict(tmp_path, other):
    with opened(tmp_path) as ledger:
        ledger.append(both(1))
        with pytest.raises(ConflictError, match=r"is in the ledger with other content$"):
            ledger.append([other])


def test_ids_that_begin_alike_are_not_taken_for_each_other(tmp_path):
    twin = call_id(1)[:16] + "0" * 48
    with opened(tmp_path) as ledger:
        ledger.append([part(1)])
        assert not ledger.has_part(twin, 1)
        assert ledger.append([replace(part(1), call_id=twin, wav_sha256=sha256("x"))]) == 1


def test_erasure(tmp_path):
    with opened(tmp_path) as ledger:
        ledger.append([*both(1, 2), part(2, part=2)])
        ledger.commit(NOW_NS)
        ledger.append([erasure(1, parts=((call_id(2), 2),))])
        ledger.commit(NOW_NS)
    with opened(tmp_path) as ledger:
        assert ledger.is_erased(call_id(1))
        assert ledger.is_erased(call_id(1), 1)
        assert not ledger.has_call(call_id(1))
        assert not ledger.has_part(call_id(1), 1)
        assert ledger.is_erased(call_id(2), 2)
        assert not ledger.is_erased(call_id(2), 1)
        assert not ledger.is_erased(call_id(2))
        assert ledger.has_part(call_id(2), 1)
        # Whoever records it again after all says so once more.
        assert ledger.append(both(1)) == 2
        assert ledger.has_part(call_id(1), 1)
        assert not ledger.is_erased(call_id(1))


@pytest.mark.parametrize(
    "entry",
    [
        replace(part(1), call_id="0312345678"),
        replace(part(1), day="2 January"),
        replace(part(1), part=0),
        replace(erasure(1), who=""),
        replace(erasure(1), why="\ud800"),
        replace(erasure(1), call_ids=(call_id(1),) * 8001),
    ],
)
def test_invalid_entries_are_refused(tmp_path, entry):
    with opened(tmp_path) as ledger:
        with pytest.raises(LedgerError):
            ledger.append([entry])
        assert ledger.size == 2


def test_proofs(tmp_path):
    with opened(tmp_path) as ledger:
        ledger.append(both(*range(20)))
        older = ledger.commit(NOW_NS)
        ledger.append(both(*range(20, 33)))
        newest = ledger.commit(NOW_NS)
        public_key = devicekey.read_public(tmp_path / "ledger/device.pub")
        for number in range(33):
            found = ledger.prove(call_id(number), 1)
            assert found is not None
            assert found == proof.parse(proof.serialize(found))
            leaf = entries.part_leaf(part(number).call_json_sha256, part(number).wav_sha256)
            assert found.holds_for(leaf)
            assert not found.holds_for(leaf[::-1])
            assert found.checkpoint.is_signed_by(public_key)
        assert ledger.prove(call_id(99), 1) is None
        path = ledger.prove_consistency(older)
    assert merkle.verify_consistency(older.size, newest.size, path, older.root, newest.root)


def test_the_last_checkpoint_of_each_day_is_kept(tmp_path):
    days = tmp_path / "ledger/checkpoints"
    with opened(tmp_path) as ledger:
        ledger.append(both(1))
        monday = ledger.commit(NOW_NS)
        assert list(days.iterdir()) == []
        ledger.append(both(2))
        ledger.commit(NOW_NS + DAY_NS)
        ledger.append(both(3))
        tuesday = ledger.commit(NOW_NS + DAY_NS)
    with opened(tmp_path, NOW_NS + 2 * DAY_NS) as ledger:
        ledger.append(both(4))
        ledger.commit(NOW_NS + 2 * DAY_NS)
    kept = {path.name: checkpoints.parse(path.read_bytes()) for path in days.iterdir()}
    assert kept == {"2026-01-02.txt": monday, "2026-01-03.txt": tuesday}


class FullDisk(Disk):
    """A disk on which the n-th write from now on, and the next few, fail half way."""

    def __init__(self) -> None:
        self.fails = 0
        self.after = 0

    def write_at(self, descriptor, data, offset_bytes):
        if self.after:
            self.after -= 1
        elif self.fails:
            self.fails -= 1
            if len(data) > 1 and self.fails % 2:
                return super().write_at(descriptor, data[: len(data) // 2], offset_bytes)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write_at(descriptor, data, offset_bytes)

    def rename(self, draft, final):
        if not self.after and self.fails:
            self.fails -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().rename(draft, final)


@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("fails", range(1, 6))
def test_a_full_disk_loses_nothing(tmp_path, after, fails):
    disk = FullDisk()
    with opened(tmp_path, disk=disk) as ledger:
        ledger.append(both(1))
        disk.after, disk.fails = after, fails
        tries = 0
        while disk.fails:
            tries += 1
            try:
                ledger.commit(NOW_NS)
            except (DiskFullError, ArchiveError):
                ledger.append(both(10 + tries))
        ledger.commit(NOW_NS)
        expected = [line.stored for line in ledger.lines()]
    with opened(tmp_path) as ledger:
        assert [line.stored for line in ledger.lines()] == expected
        assert ledger.has_part(call_id(1), 1)
        assert all(ledger.has_part(call_id(10 + number), 1) for number in range(1, tries))

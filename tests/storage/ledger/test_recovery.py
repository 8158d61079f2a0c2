"""Killed at any step, cut at any byte, with a new key: the ledger opens and is the same log."""

import base64
import shutil

import pytest

from storage.errors import DeviceKeyError, LedgerBrokenError
from storage.ledger import checkpoint as checkpoints
from storage.ledger import devicekey, merkle, note
from storage.ledger.entries import Key
from tests.storage.ledger.books import (
    DAY_NS,
    NOW_NS,
    SOMEBODY,
    Killed,
    MortalDisk,
    both,
    call_id,
    erasure,
    opened,
)


def life(root, disk=None) -> None:
    """Two days of a ledger, with everything that is ever done to it."""
    with opened(root, disk=disk) as ledger:
        ledger.append(both(1, 2))
        ledger.commit(NOW_NS)
        ledger.rotate(SOMEBODY, NOW_NS)
        ledger.append([*both(3), erasure(1)])
        ledger.commit(NOW_NS + DAY_NS)


def steps_of_a_life(root) -> int:
    disk = MortalDisk(0)
    life(root / "whole", disk)
    return disk.done


def signed_so_far(root) -> list[checkpoints.Checkpoint]:
    kept = [
        *(root / "ledger/checkpoints").glob("*.txt"),
        root / "ledger/checkpoint",
        root / "recordings/checkpoint.txt",
    ]
    return [checkpoints.parse(path.read_bytes()) for path in kept if path.exists()]


def assert_sound(root) -> None:
    """It opens; every checkpoint that was ever seen is one of this log; the files are those of an undisturbed one."""
    seen = signed_so_far(root)
    with opened(root) as ledger:
        for older in seen:
            path = ledger.prove_consistency(older)
            newest = ledger.checkpoint
            assert merkle.verify_consistency(older.size, newest.size, path, older.root, newest.root)
        assert ledger.checkpoint.is_signed_by(devicekey.read_public(root / "ledger/device.pub"))
        lines = [line.stored for line in ledger.lines()]
    derived = [(root / "ledger" / name).read_bytes() for name in ("hashes", "names")]
    for name in ("hashes", "names"):
        (root / "ledger" / name).unlink()
    with opened(root) as ledger:
        assert [line.stored for line in ledger.lines()] == lines
    assert [(root / "ledger" / name).read_bytes() for name in ("hashes", "names")] == derived
    assert not list((root / "ledger").glob(".*"))
    assert not (root / "ledger/device.key.new").exists()


def test_killed_at_every_step(tmp_path):
    steps = steps_of_a_life(tmp_path)
    assert steps > 60
    for step in range(1, steps + 1):
        root = tmp_path / str(step)
        with pytest.raises(Killed):
            life(root, MortalDisk(step))
        assert_sound(root)
        life(root)
        with opened(root) as ledger:
            assert [ledger.has_part(call_id(number), 1) for number in (1, 2, 3)] == [False, True, True]
        assert_sound(root)


def test_killed_at_every_step_of_the_recovery_too(tmp_path):
    torn = tmp_path / "torn"
    with opened(torn) as ledger:
        ledger.append(both(1))
        ledger.commit(NOW_NS)
    with (torn / "ledger/entries.jsonl").open("ab") as file:
        file.write(b'{"kind":"part","call_')
    (torn / "ledger/names").unlink()
    disk = MortalDisk(0)
    with opened(shutil.copytree(torn, tmp_path / "whole"), disk=disk):
        assert disk.done > 3
    for step in range(1, disk.done + 1):
        root = shutil.copytree(torn, tmp_path / str(step))
        with pytest.raises(Killed), opened(root, disk=MortalDisk(step)):
            pass
        assert_sound(root)


def test_a_tail_cut_at_any_byte(tmp_path):
    """A power cut keeps any beginning of what was not yet synced, or zeros in its place."""
    with opened(tmp_path / "base") as ledger:
        ledger.append(both(1))
        signed = ledger.commit(NOW_NS).size
    entries = tmp_path / "base/ledger/entries.jsonl"
    synced = entries.stat().st_size
    longer = shutil.copytree(tmp_path / "base", tmp_path / "longer")
    with opened(longer) as ledger:
        ledger.append(both(2))
        ledger.commit(NOW_NS)
    whole = (longer / "ledger/entries.jsonl").read_bytes()
    ends = {place + 1 for place in range(synced, len(whole)) if whole[place] == ord("\n")}
    near = {end + aside for end in ends for aside in (-2, -1, 0, 1)}
    for length in sorted(near | {*range(synced, len(whole), 41)} - {*range(len(whole), len(whole) + 2)}):
        for filling in (b"", b"\0" * (len(whole) - length)):
            root = shutil.copytree(tmp_path / "base", tmp_path / "cut")
            (root / "ledger/entries.jsonl").write_bytes(whole[:length] + filling)
            with opened(root) as ledger:
                assert ledger.size >= signed
                complete = whole[synced:length].count(b"\n")
                assert [line.stored for line in ledger.lines(signed)][:complete] == whole[synced:].splitlines()[
                    :complete
                ]
                assert ledger.size == signed + complete + (complete in (1, 2))  # a seal, unless it was whole itself
                ledger.append(both(2))
                ledger.commit(NOW_NS)
                assert ledger.has_part(call_id(2), 1)
                assert ledger.has_call(call_id(2))
            shutil.rmtree(root)


@pytest.mark.parametrize("name", ["hashes", "names"])
def test_derived_files_are_made_again(tmp_path, name):
    with opened(tmp_path) as ledger:
        ledger.append([*both(*range(9)), erasure(3, 4)])
        ledger.commit(NOW_NS)
    derived = tmp_path / "ledger" / name
    whole = derived.read_bytes()
    for length in (0, 1, 24, 32, len(whole) // 2, len(whole) - 1):
        for spoilt in (whole[:length], whole[:length] + b"\0" * (len(whole) - length), whole + b"more"):
            derived.write_bytes(spoilt)
            with opened(tmp_path) as ledger:
                assert ledger.has_part(call_id(5), 1) or name == "names"
                ledger.append(both(1))
    assert len(derived.read_bytes()) >= len(whole)


def test_a_wrong_offset_cuts_nothing_off(tmp_path):
    with opened(tmp_path) as ledger:
        ledger.append(both(1))
        ledger.commit(NOW_NS)
        lines = [line.stored for line in ledger.lines()]
    rows = tmp_path / "ledger/names"
    whole = rows.read_bytes()
    rows.write_bytes(whole[:-8] + whole[16:24])  # the last entry is said to lie where the first one does
    with opened(tmp_path) as ledger:
        assert [line.stored for line in ledger.lines()] == lines
    assert rows.read_bytes() == whole


def test_a_shortened_or_altered_ledger_is_refused(tmp_path):
    with opened(tmp_path) as ledger:
        ledger.append(both(1))
        ledger.commit(NOW_NS)
    file = tmp_path / "ledger/entries.jsonl"
    whole = file.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for spoilt in (b"", whole[: -len(last)], whole[:-1], whole[: -len(last)] + last.replace(b"seal", b"sael")):
        file.write_bytes(spoilt)
        with pytest.raises(LedgerBrokenError, match="are not those of its checkpoint over 5"):
            opened(tmp_path)
        assert file.read_bytes() == spoilt
    file.write_bytes(whole)
    with opened(tmp_path) as ledger:
        assert ledger.has_part(call_id(1), 1)


def test_a_checkpoint_of_another_key_is_refused(tmp_path):
    for root in ("ours", "theirs"):
        with opened(tmp_path / root):
            pass
    shutil.copy(tmp_path / "theirs/ledger/checkpoint", tmp_path / "ours/ledger/checkpoint")
    with pytest.raises(LedgerBrokenError):
        opened(tmp_path / "ours")


def test_rotation(tmp_path):
    with opened(tmp_path) as ledger:
        old = devicekey.read_public(tmp_path / "ledger/device.pub")
        last = ledger.checkpoint
        ledger.rotate(SOMEBODY, NOW_NS)
        new = devicekey.read_public(tmp_path / "ledger/device.pub")
        change = next(line.entry for line in ledger.lines(2))
        assert isinstance(change, Key)
        assert (change.who, change.why) == ("suzuki", "yearly rotation")
        assert checkpoints.parse(change.previous_checkpoint.encode()) == last
        assert note.is_signature(new, base64.b64decode(change.signature), last.note.text.encode())
        assert ledger.checkpoint.is_signed_by(old)
        assert ledger.checkpoint.is_signed_by(new)
        ledger.append(both(1))
        assert not ledger.commit(NOW_NS).is_signed_by(old)
    with opened(tmp_path) as ledger:
        assert ledger.checkpoint.is_signed_by(new)
        kept = checkpoints.parse((tmp_path / "ledger/checkpoints/key-4.txt").read_bytes())
        assert kept.is_signed_by(old)
        assert kept.is_signed_by(new)


def test_a_new_box_goes_on_with_the_log(tmp_path):
    with opened(tmp_path) as ledger:
        ledger.append(both(1))
        last = ledger.commit(NOW_NS)
    (tmp_path / "ledger/device.key").unlink()
    with pytest.raises(DeviceKeyError, match="none is here: say who takes in a new one"):
        opened(tmp_path)
    with opened(tmp_path, successor=SOMEBODY) as ledger:
        assert ledger.origin == last.origin
        path = ledger.prove_consistency(last)
        assert merkle.verify_consistency(last.size, ledger.size, path, last.root, ledger.checkpoint.root)
        assert ledger.has_part(call_id(1), 1)
        assert ledger.checkpoint.is_signed_by(devicekey.read_public(tmp_path / "ledger/device.pub"))
    with opened(tmp_path) as ledger:
        assert [line.entry.kind for line in ledger.lines(5)] == ["key", "seal"]


def test_another_boxes_key_is_refused(tmp_path):
    for root in ("ours", "theirs"):
        with opened(tmp_path / root):
            pass
    shutil.copy(tmp_path / "theirs/ledger/device.key", tmp_path / "ours/ledger/device.key")
    with pytest.raises(DeviceKeyError, match="not the one that the ledger names"):
        opened(tmp_path / "ours")
    (tmp_path / "ours/ledger/device.key").write_bytes(b"rubbish")
    with pytest.raises(DeviceKeyError, match="damaged"):
        opened(tmp_path / "ours")


def test_a_key_of_another_kind_is_refused(tmp_path):
    with opened(tmp_path):
        pass
    for folder_file, read in (("device.key", devicekey.read), ("device.pub", devicekey.read_public)):
        path = tmp_path / "ledger" / folder_file
        whole = path.read_bytes()
        for place in range(len(whole)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 2]) + whole[place + 1 :])
            try:
                read(path)
            except DeviceKeyError:
                continue

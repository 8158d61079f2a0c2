"""The newest checkpoint damaged or lost: its copy on the share stands for it, if it can."""

import pytest

from storage.errors import LedgerBrokenError
from storage.ledger import checkpoint as checkpoints
from tests.storage.ledger.books import NOW_NS, both, opened


def life(root) -> None:
    with opened(root) as ledger:
        ledger.append(both(1, 2))
        ledger.commit(NOW_NS)


def spoil(root, how: str) -> None:
    path = root / "ledger/checkpoint"
    if how == "lost":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("how", ["lost", "damaged"])
def test_the_copy_on_the_share_takes_its_place(tmp_path, how):
    life(tmp_path)
    whole = (tmp_path / "ledger/checkpoint").read_bytes()
    spoil(tmp_path, how)
    with opened(tmp_path) as ledger:
        assert ledger.alarm == f"the ledger's checkpoint was {how}; its copy on the share took its place"
        assert ledger.size == checkpoints.parse(whole).size
    assert (tmp_path / "ledger/checkpoint").read_bytes() == whole
    with opened(tmp_path) as ledger:
        assert ledger.alarm == ""


def test_an_older_copy_is_gone_on_from(tmp_path):
    life(tmp_path)
    older = (tmp_path / "recordings/checkpoint.txt").read_bytes()
    with opened(tmp_path) as ledger:
        ledger.append(both(3))
        ledger.commit(NOW_NS)
    (tmp_path / "recordings/checkpoint.txt").write_bytes(older)
    spoil(tmp_path, "damaged")
    with opened(tmp_path) as ledger:
        assert ledger.alarm
        size = ledger.size
        assert ledger.checkpoint.size == size
    assert checkpoints.parse((tmp_path / "ledger/checkpoint").read_bytes()).size == size


@pytest.mark.parametrize("how", ["lost", "damaged"])
@pytest.mark.parametrize("copy", ["absent", "damaged", "foreign", "of altered lines"])
def test_without_a_copy_that_fits_nothing_is_signed(tmp_path, how, copy):
    life(tmp_path)
    shared = tmp_path / "recordings/checkpoint.txt"
    if copy == "absent":
        shared.unlink()
    elif copy == "damaged":
        shared.write_bytes(shared.read_bytes()[1:])
    elif copy == "foreign":
        life(tmp_path / "other")
        shared.write_bytes((tmp_path / "other/recordings/checkpoint.txt").read_bytes())
    else:
        lines = tmp_path / "ledger/entries.jsonl"
        lines.write_bytes(lines.read_bytes().replace(b'"part":1', b'"part":7', 1))
        (tmp_path / "ledger/hashes").unlink()
        lines.write_bytes(lines.read_bytes().replace(b'"record_sha256":"', b'"record_sha256":"0', 1))
    spoil(tmp_path, how)
    entries = (tmp_path / "ledger/entries.jsonl").read_bytes()
    with pytest.raises(LedgerBrokenError, match=r"`rokubox ledger --help` what to do$"):
        opened(tmp_path)
    assert (tmp_path / "ledger/entries.jsonl").read_bytes() == entries
    assert (tmp_path / "ledger/checkpoint").exists() == (how == "damaged")


def test_a_first_start_that_was_killed_is_no_loss(tmp_path):
    with opened(tmp_path):
        pass
    spoil(tmp_path, "lost")
    (tmp_path / "recordings/checkpoint.txt").unlink()
    with opened(tmp_path) as ledger:
        assert ledger.alarm == ""
        assert ledger.size == 2

"""Any single byte of any file of the archive is changed, and found."""

import json
from zipfile import ZipFile

import pytest

from storage.archive import Archive
from storage.verify.daycheck import DayCheck
from storage.verify.defects import exit_code
from storage.verify.ledgerscan import LedgerScan
from tests.storage.verify.archives import kinds, make_small, verified

NO_DAY = 9999_12_31
"""Verification from this date on looks at the ledger and the folders alone."""


def flipped(path, places):
    """Change one byte after the other; the file is as before at the end."""
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for place in places:
            file.seek(place)
            file.write(bytes([whole[place] ^ (1 + place % 255)]))
            yield place
            file.seek(place)
            file.write(whole[place : place + 1])
    assert path.read_bytes() == whole


def places_in(path):
    """Every byte around what is under a hash; of that, which is the same to each byte, every fifth."""
    size = path.stat().st_size
    hashed = [range(size)]
    if path.suffix == ".zip":
        with ZipFile(path) as bundle:
            starts = {info.filename: (info.header_offset, info.file_size) for info in bundle.infolist()}
        hashed = [
            range(offset + 30 + len(name), offset + 30 + len(name) + length)
            for name, (offset, length) in starts.items()
        ]
        assert all(path.read_bytes()[one.start : one.start + 4] in (b"RIFF", b'{\n "') for one in hashed)
    inside = {place for one in hashed for place in one}
    sampled = {place for one in hashed for place in (*one[::5], *one[:16], *one[-16:])}
    return [place for place in range(size) if place not in inside or place in sampled]


def test_every_byte_of_every_recording_and_call_record(made):
    scan = LedgerScan(made.root / "ledger", ())
    for _ in scan.read():
        pass
    check = DayCheck(
        archive=Archive(made.root), scan=scan, read=lambda file, size: file.read(size), done=lambda _entry: None
    )
    assert len(made.parts) == 4
    assert len(made.records) == 4
    for path in (*made.parts, *made.records):
        assert list(check.one(path)) == []
        for place in flipped(path, places_in(path)):
            found = {defect.kind.value for defect in check.one(path)}
            assert found == {"altered"}, (path.name, place)
    scan.close()


@pytest.mark.parametrize(
    ("name", "step", "kind"),
    [
        ("hashes", 13, "ledger"),
        ("names", 13, "ledger"),
        ("checkpoint", 1, "signature"),
        ("checkpoints/2026-01-02.txt", 3, "signature"),
        ("checkpoints/key-16.txt", 2, "signature"),
        ("device.key", 1, "signature"),
        ("device.pub", 1, "signature"),
        ("../recordings/checkpoint.txt", 3, "signature"),
        ("../recordings/device-key.pem", 2, "signature"),
    ],
)
def test_every_byte_of_checkpoints_and_keys(made, name, step, kind):
    """Every byte of each form once; of the copies and of the rest some, wherever they fall in line, hash or row."""
    path = made.root / "ledger" / name
    for place in flipped(path, range(0, path.stat().st_size, step)):
        found_in_ledger(made, kind, place)


@pytest.mark.parametrize(("name", "step"), [("E1.json", 17), ("E1.txt", 17)])
def test_bytes_of_a_certificate(made, name, step):
    """Both forms say the same, so that no byte of either is without the other."""
    path = made.root / "retention/certificates" / name
    for place in flipped(path, range(0, path.stat().st_size, step)):
        report = verified(made.root, since=NO_DAY)
        assert "a certificate of erasure" in {defect.subject for defect in report.defects}, place


@pytest.mark.parametrize("name", ["entries.jsonl", "hashes", "names"])
def test_every_byte_of_a_small_ledger(tmp_path, name):
    make_small(tmp_path)
    path = tmp_path / "ledger" / name
    for place in flipped(path, range(path.stat().st_size)):
        assert "ledger" in kinds(verified(tmp_path, since=NO_DAY)), place


def test_bytes_of_every_line_of_the_ledger(made):
    """Every 13th byte of the first line of each kind, every 97th of the others."""
    path = made.root / "ledger/entries.jsonl"
    places: list[int] = []
    seen, at = set(), 0
    for line in path.read_bytes().splitlines(keepends=True):
        kind = json.loads(line)["kind"]
        places += range(at, at + len(line), 97 if kind in seen else 13)
        seen.add(kind)
        at += len(line)
        places.append(at - 1)
    assert seen == {"log", "part", "call", "late", "erasure", "key", "seal"}
    for place in flipped(path, places):
        found_in_ledger(made, "ledger", place)


def found_in_ledger(made, kind, place):
    report = verified(made.root, since=NO_DAY)
    assert kind in kinds(report), place
    assert exit_code(report.defects)


@pytest.mark.parametrize("place", [0, 1, -1])
def test_bytes_more_or_fewer(made, place):
    files = [path for path in made.root.rglob("*") if path.is_file() and path.parent.name != "run"]
    for path in files:
        whole = path.read_bytes()
        for spoilt in (whole[: place or None] + b"\n" + whole[place or len(whole) :], whole[:-1], b""):
            if spoilt == whole:
                continue
            path.write_bytes(spoilt)
            assert exit_code(verified(made.root).defects), path.name
        path.write_bytes(whole)
    assert verified(made.root).defects == []

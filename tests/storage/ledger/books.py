"""Ledgers to test with, and a disk that is killed at a step."""

import hashlib
import os
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from storage.disk import FILE_MODE, Disk
from storage.ledger.entries import Call, Entry, Erasure, Part
from storage.ledger.ledger import Ledger
from storage.ledger.settings import Attribution, LedgerSettings
from storage.timestamps import rfc3339
from storage.vocabulary import Form

TOKYO = ZoneInfo("Asia/Tokyo")
NOW_NS = 1_767_290_645_123_456_789
DAY_NS = 86_400 * 1_000_000_000
AT = rfc3339(NOW_NS, TOKYO)
SOMEBODY = Attribution(who="suzuki", why="yearly rotation")


def settings(root: Path, **changes: Any) -> LedgerSettings:
    fields: dict[str, Any] = {
        "directory": root / "ledger",
        "key": root / "ledger" / "device.key",
        "share": root / "recordings",
        "serial": "RB-0001",
        "zone": TOKYO,
    }
    return LedgerSettings(**(fields | changes))


def opened(root: Path, now_ns: int = NOW_NS, **options: Any) -> Ledger:
    return Ledger(settings(root), now_ns, **options)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def call_id(number: int) -> str:
    return sha256(f"call {number}")


def part(number: int, part: int = 1) -> Part:
    return Part(
        call_id=call_id(number),
        part=part,
        day="2026-01-02",
        form=Form.ZIP,
        call_json_sha256=sha256(f"json {number} {part}"),
        wav_sha256=sha256(f"wav {number} {part}"),
        at=AT,
    )


def call(number: int) -> Call:
    return Call(call_id=call_id(number), day="2026-01-02", record_sha256=sha256(f"record {number}"), at=AT)


def both(*numbers: int) -> list[Entry]:
    return [entry for number in numbers for entry in (part(number), call(number))]


def erasure(*numbers: int, parts: tuple[tuple[str, int], ...] = ()) -> Erasure:
    return Erasure(
        call_ids=tuple(call_id(number) for number in numbers),
        parts=parts,
        rule="90 days",
        who="policy",
        why="retention",
        counts={"calls": len(numbers)},
        at=AT,
    )


class Killed(BaseException):
    """The process dies here."""


class MortalDisk(Disk):
    """A disk under a process that is killed at its n-th writing system call, half way through it."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.done = 0

    def _dies(self) -> bool:
        self.done += 1
        self.left -= 1
        return self.left == 0

    def create(self, path: Path, mode: int = FILE_MODE) -> int:
        if self._dies():
            raise Killed
        return super().create(path, mode)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        if self._dies():
            os.write(descriptor, data[: len(data) // 2])
            raise Killed
        return super().write(descriptor, data)

    def write_at(self, descriptor: int, data: bytes, offset_bytes: int) -> int:
        if self._dies():
            os.pwrite(descriptor, data[: len(data) // 2], offset_bytes)
            raise Killed
        return super().write_at(descriptor, data, offset_bytes)

    def fsync(self, descriptor: int) -> None:
        if self._dies():
            raise Killed
        super().fsync(descriptor)

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        if self._dies():
            raise Killed
        super().truncate(descriptor, size_bytes)

    def link(self, draft: Path, final: Path) -> None:
        if self._dies():
            raise Killed
        super().link(draft, final)

    def rename(self, draft: Path, final: Path) -> None:
        if self._dies():
            raise Killed
        super().rename(draft, final)

    def remove(self, path: Path) -> None:
        if self._dies():
            raise Killed
        super().remove(path)

    def make_directory(self, path: Path) -> None:
        if self._dies():
            raise Killed
        super().make_directory(path)

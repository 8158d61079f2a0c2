"""Erasures that were ordered and have no certificate yet, in `retention/orders/`.

An order is written down before anything is erased, and taken away when its certificate is written: killed in between,
the next who erases, or retention, writes the certificate from what the ledger says. It holds in words who or what was
to be erased, and so numbers, for as long as that takes. Whoever works on one has it locked (flock(2)).
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.custody.archiverequests import CallDay
from storage.archive import Archive
from storage.disk import FILE_MODE, Directories, Disk
from storage.errors import from_os_error

FOLDER = "orders"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be erased, for whom."""

    subject: str
    """In the words of who asked; may hold numbers."""
    rule: str
    """The same for the ledger, without numbers."""
    who: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder:
    """An order that is being carried out."""

    order: Order
    calls: tuple[CallDay, ...]
    """The calls that it is about."""
    first: int
    """Lines that the ledger had before."""
    newest: int
    """Newest file of the journal that held something before."""
    certificate: str
    """Where the certificate is to go, without suffix."""


@contextmanager
def opened(archive: Archive, order: OpenOrder) -> Iterator[None]:
    """Write the order down; at the end, unless by an error, it is done.

    Raises DiskFullError or ArchiveError when the disk does not take it.
    """
    folder = archive.retention / FOLDER
    directories = Directories(Disk())
    directories.make(folder)
    path = folder / f"{secrets.token_hex(8)}.json"
    try:
        descriptor = _written_down(path, msgspec.json.encode(order))
    except OSError as error:
        raise from_os_error(error, "note what is to be erased") from error
    try:
        directories.note(folder)
        directories.sync()
        yield
        _done(path, directories)
    finally:
        os.close(descriptor)


def left(archive: Archive) -> list[Path]:
    """Orders that somebody works on, or that were left."""
    return sorted((archive.retention / FOLDER).glob("*.json"))


@contextmanager
def taken(path: Path) -> Iterator[OpenOrder | None]:
    """Work on an order that was left; at the end, unless by an error, it is done. None: there is nothing to do."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:  # done meanwhile, or of somebody whose files are not for us
        yield None
        return
    try:
        is_ours = _is_left_by_us(path, descriptor)
        order = _read(path) if is_ours else None
        yield order
        if order is not None or (is_ours and path.name.startswith(".")):
            _done(path, Directories(Disk()))
    finally:
        os.close(descriptor)


def _written_down(path: Path, content: bytes) -> int:
    """Write the file and return the descriptor that locks it. Raises OSError."""
    hidden = path.with_name(f".{path.name}")
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        # Locked before it has its name: nobody may take it for one that was left.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(descriptor)
        hidden.rename(path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_left_by_us(path: Path, descriptor: int) -> bool:
    """Whether nobody works on it, and it says where we ourselves wanted the certificate."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return path.exists() and os.fstat(descriptor).st_uid == os.geteuid()


def _read(path: Path) -> OpenOrder | None:
    """The order; None of one that was not written to its end, so that nothing was erased for it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=OpenOrder)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _done(path: Path, directories: Directories) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
    directories.note(path.parent)
    directories.sync()

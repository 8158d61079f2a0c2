"""One backup: a gzipped tar file with what is needed to go on with an archive on another box, but for its recordings.

    manifest.json       SHA-256 of every other member
    settings.toml       the configuration
    ledger/             entries.jsonl, checkpoint, checkpoints/, device.pub; never the device key
    retention/          clock.json, certificates/
    index.sqlite
    logs/...            log files

It is made beside whoever writes to the archive: the checkpoint is read before the lines, which only grow, so that the
lines are never fewer than it says. It appears under its name complete or not at all.
"""

import contextlib
import gzip
import hashlib
import io
import os
import sqlite3
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from storage.archive import Archive
from storage.disk import DRAFT_PATTERN, Directories, Disk
from storage.errors import ArchiveError, BackupError, from_os_error
from storage.ledger.checkpointfiles import KEPT, NEWEST, PUBLIC_KEY
from storage.ledger.ledgerfile import ENTRIES
from storage.retention import certificate, clockfile

MANIFEST = "manifest.json"
SETTINGS = "settings.toml"
LEDGER = "ledger"
CLOCK = f"retention/{clockfile.NAME}"
CERTIFICATES = f"retention/{certificate.FOLDER}"
INDEX = "index.sqlite"
MAX_MEMBER_BYTES = 64 << 30
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What goes into a backup."""

    archive: Archive
    """The archive."""
    settings: bytes | None
    """The configuration's text; None without one."""
    logs: Sequence[Path]
    """Folders and files of logs; what is not there is left out."""


class _DiskFile(io.RawIOBase):
    """A file to write to, through a `Disk`."""

    def __init__(self, disk: Disk, descriptor: int) -> None:
        self._disk = disk
        self._descriptor = descriptor

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        """Write all of it."""
        left = memoryview(data).cast("B")
        size = len(left)
        while left:
            left = left[self._disk.write(self._descriptor, left) :]
        return size


def make(sources: Sources, folder: Path, name: str, disk: Disk) -> Path:
    """Make the backup `name` in `folder`, and clear what a killed one left there.

    Raises DiskFullError or ArchiveError when the folder cannot be written to, or the archive not read.
    """
    directories = Directories(disk)
    directories.make(folder)
    draft, final = folder / f".{name}.tmp-{os.getpid()}", folder / name
    try:
        for leftover in folder.glob(DRAFT_PATTERN):
            disk.remove(leftover)
        descriptor = disk.create(draft)
        try:
            _write(sources, _DiskFile(disk, descriptor), draft)
            disk.fsync(descriptor)
        finally:
            os.close(descriptor)
        disk.rename(draft, final)
    except OSError as error:
        with contextlib.suppress(OSError):
            disk.remove(draft)
        raise from_os_error(error, "make the backup") from error
    directories.note(folder)
    directories.sync()
    return final


def remove(folder: Path, names: Sequence[str], disk: Disk) -> None:
    """Remove backups. Raises ArchiveError."""
    for name in names:
        try:
            disk.remove(folder / name)
        except OSError as error:
            raise from_os_error(error, "remove an old backup") from error


def _write(sources: Sources, file: _DiskFile, draft: Path) -> None:
    digests: dict[str, str] = {}
    with (
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        if sources.settings is not None:
            _add_bytes(tar, SETTINGS, sources.settings, digests)
        for name, path in _files(sources):
            _add(tar, name, path, digests)
        index = draft.with_name(f"{draft.name}-index")
        try:
            if _copy_index(sources.archive.index, index):
                _add(tar, INDEX, index, digests)
        finally:
            index.unlink(missing_ok=True)
        _add_bytes(tar, MANIFEST, msgspec.json.encode(digests), {})


def _files(sources: Sources) -> Iterator[tuple[str, Path]]:
    """Names in the backup and files, the checkpoint before the lines."""
    ledger = sources.archive.ledger
    kept = sorted((ledger / KEPT).glob("*.txt"))
    for path in (ledger / NEWEST, ledger / PUBLIC_KEY, *kept, ledger / ENTRIES):
        if path.is_file():
            yield f"{LEDGER}/{path.relative_to(ledger)}", path
    clock = sources.archive.retention / clockfile.NAME
    if clock.is_file():
        yield CLOCK, clock
    for path in sorted((sources.archive.root / CERTIFICATES).glob("[!.]*")):
        yield f"{CERTIFICATES}/{path.name}", path
    for log in sources.logs:
        for path in sorted(log.rglob("*")) if log.is_dir() else [log]:
            if path.is_file() and not path.is_symlink():
                yield f"logs/{path.relative_to(log.parent)}", path


def _copy_index(index: Path, target: Path) -> bool:
    """Copy one state of the index; False when there is none, or none that can be read: it can be made again."""
    if not index.is_file():
        return False
    try:
        with (
            contextlib.closing(sqlite3.connect(f"file:{index}?mode=ro", uri=True)) as source,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
    except sqlite3.Error:
        return False
    return True


def _add(tar: tarfile.TarFile, name: str, path: Path, digests: dict[str, str]) -> None:
    with path.open("rb") as file:
        member = tarfile.TarInfo(name)
        # What a file that grows gets behind this is left for the next backup.
        member.size = os.fstat(file.fileno()).st_size
        member.mode = 0o640
        digest = hashlib.sha256()
        tar.addfile(member, _Hashed(file, digest))
    digests[name] = digest.hexdigest()


class _Hashed(io.RawIOBase):
    """A file that is hashed while it is read."""

    def __init__(self, file: io.BufferedReader, digest: "hashlib._Hash") -> None:
        self._file = file
        self._digest = digest

    def read(self, size: int = -1) -> bytes:
        """Read, and hash."""
        piece = self._file.read(size)
        self._digest.update(piece)
        return piece


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes, digests: dict[str, str]) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o640
    tar.addfile(member, io.BytesIO(content))
    digests[name] = hashlib.sha256(content).hexdigest()


def unpack(backup: Path, target: Path) -> dict[str, Path]:
    """Unpack a backup into the empty folder `target`; return the files by their names in it.

    Raises BackupError when it is damaged, or no backup, ArchiveError when the disk fails.
    """
    files: dict[str, Path] = {}
    try:
        with gzip.open(backup) as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
            for member in tar:
                files[member.name] = _unpacked(tar, member, target)
            while packed.read(_CHUNK_BYTES):  # to the end, where the checksum stands
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise BackupError(f"{backup}: damaged, or no backup") from error
    except OSError as error:
        raise from_os_error(error, "unpack the backup") from error
    _check(backup, files)
    return files


def _unpacked(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> Path:
    parts = PurePosixPath(member.name).parts
    if not member.isfile() or not parts or ".." in parts or parts[0] == "/" or member.size > MAX_MEMBER_BYTES:
        raise ValueError("a member that no backup has")
    path = target.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    source = tar.extractfile(member)
    assert source is not None  # it is a file
    with path.open("xb") as file:
        while piece := source.read(_CHUNK_BYTES):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return path


def _check(backup: Path, files: dict[str, Path]) -> None:
    manifest = files.pop(MANIFEST, None)
    try:
        digests = msgspec.json.decode(b"" if manifest is None else manifest.read_bytes(), type=dict[str, str])
    except msgspec.MsgspecError:
        raise BackupError(f"{backup}: damaged, or no backup: it has no manifest") from None
    found = {name: _sha256(path) for name, path in files.items()}
    if found != digests:
        raise BackupError(f"{backup}: damaged: its files are not those of its manifest")


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArchiveError(f"cannot read what was unpacked: {error.strerror}") from error

"""Errors of the archive. Messages name a call by the first digits of its id, never by its numbers or its file."""

import errno


class StorageError(Exception):
    """Root of everything this package raises on purpose."""


class ArchiveError(StorageError):
    """The archive cannot be used: not a directory, no permission, a failing disk."""


class ArchiveBusyError(StorageError):
    """Another process is writing to this archive; it has one writer at a time."""


class VolumeError(ArchiveError):
    """Another disk than the archive's is where the archive should be, or none."""


class BackupError(StorageError):
    """A backup that is damaged, or does not fit what is there."""


class DiskFullError(StorageError):
    """No space left, or over quota. Nothing of the file that did not fit is left behind."""


class ConflictError(StorageError):
    """A part or call record is there already with other content. The first one is kept: neither is ever edited."""


class ErasedError(ConflictError):
    """A part or call record was erased from the archive, and must not come back."""


class DamagedRecordError(StorageError):
    """A call record in the archive cannot be read or is not one."""


class DamagedPartError(StorageError):
    """A part in the archive is missing or cannot be read."""


class LedgerError(StorageError):
    """The ledger, a checkpoint or a proof cannot be read or is not one."""


class LedgerBrokenError(LedgerError):
    """The ledger contradicts its own checkpoint; nothing more is signed until a person has looked."""


class DeviceKeyError(LedgerError):
    """The device key cannot be used, or is not the one that the ledger names."""


class IndexMissingError(StorageError):
    """The archive has no index yet."""


class CursorError(StorageError):
    """A place in a search that does not fit the search."""


class IndexDamagedError(StorageError):
    """The index cannot be used and is to be made anew from the files."""


class SoundError(StorageError):
    """Audio that does not fit its announcement: shape, type, number of frames, or too long for a WAV."""


def from_os_error(error: OSError, doing: str) -> StorageError:
    """The storage error for a failed system call; `doing` completes "cannot ...".

    The path that `error` carries is left out of the message, because file names hold callers' numbers.
    """
    reason = error.strerror or type(error).__name__
    kind = DiskFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else ArchiveError
    return kind(f"cannot {doing}: {reason}")

"""A backup put into an archive on another box: the ledger goes on there, signed by a new key.

| step | what is done                                           | killed behind it: restored again ...           |
|------|--------------------------------------------------------|------------------------------------------------|
| 1    | everything is unpacked and checked in a hidden folder  | ... unpacks again                              |
| 2    | clock and index take their places                      | ... finds them there                           |
| 3    | the ledger takes its place                             | ... finds it there, without a key, and goes on |
| 4    | the ledger is opened, a new key is made and taken in   | done                                           |

An archive that has a ledger and its key is not touched: it needs no backup.
"""

import os
import shutil
from pathlib import Path

from storage.archive import Archive
from storage.backup import bundle
from storage.disk import Directories, Disk
from storage.errors import BackupError, from_os_error
from storage.ledger.ledger import Ledger
from storage.ledger.ledgerfile import ENTRIES
from storage.ledger.settings import Attribution, LedgerSettings

_HIDDEN = ".restoring"


def restore(
    backup: Path, archive: Archive, settings: LedgerSettings, by: Attribution, now_ns: int, disk: Disk
) -> bytes | None:
    """Restore a backup into `archive`, whose lock the caller holds; return the configuration's text that was in it.

    Raises BackupError when the backup is damaged or there is another ledger, DiskFullError or ArchiveError when the
    disk fails.
    """
    if settings.key.exists() and (archive.ledger / ENTRIES).exists():
        raise BackupError("the archive has a ledger and its key: there is nothing to restore")
    hidden = archive.root / _HIDDEN
    shutil.rmtree(hidden, ignore_errors=True)
    try:
        hidden.mkdir(mode=0o750)
        files = bundle.unpack(backup, hidden)
        _place(files, archive, hidden, disk)
        text = files[bundle.SETTINGS].read_bytes() if bundle.SETTINGS in files else None
    except OSError as error:
        raise from_os_error(error, "restore the backup") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    with Ledger(settings, now_ns, disk=disk, successor=by):
        return text


def _place(files: dict[str, Path], archive: Archive, hidden: Path, disk: Disk) -> None:
    if f"{bundle.LEDGER}/{ENTRIES}" not in files:
        raise BackupError("the backup holds no ledger")
    directories = Directories(disk)
    kept = [name for name in files if name == bundle.CLOCK or name.startswith(f"{bundle.CERTIFICATES}/")]
    for name, target in (*((name, archive.root / name) for name in kept), (bundle.INDEX, archive.index)):
        if name in files and not target.exists():
            directories.make(target.parent)
            disk.rename(files[name], target)
            directories.note(target.parent)
    if (archive.ledger / ENTRIES).exists():
        _compare(archive.ledger / ENTRIES, files[f"{bundle.LEDGER}/{ENTRIES}"])
    else:
        _sync(hidden / bundle.LEDGER, disk)
        if archive.ledger.exists():
            os.rmdir(archive.ledger)  # only an empty one: whatever else is there must not be lost
        disk.rename(hidden / bundle.LEDGER, archive.ledger)
        directories.note(archive.root)
    directories.sync()


def _compare(there: Path, backed_up: Path) -> None:
    """Make sure that the ledger that is there goes on from the backup's: an earlier restoration was killed."""
    ours, theirs = there.read_bytes(), backed_up.read_bytes()
    whole = theirs[: theirs.rfind(b"\n") + 1]
    if not ours.startswith(whole) and not whole.startswith(ours):
        raise BackupError("the archive has another ledger than the backup")


def _sync(folder: Path, disk: Disk) -> None:
    directories = Directories(disk)
    for path in (folder, *(one for one in folder.rglob("*") if one.is_dir())):
        directories.note(path)
    directories.sync()

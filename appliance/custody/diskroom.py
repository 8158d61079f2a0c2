"""What the file system under a folder has free (statvfs(3))."""

import os
from pathlib import Path

from storage.errors import from_os_error
from storage.retention.room import Room


def room_of(folder: Path) -> Room:
    """Look now. Raises ArchiveError when the folder is not there."""
    try:
        status = os.statvfs(folder)
    except OSError as error:
        raise from_os_error(error, "see how much room is free") from error
    return Room(
        free_bytes=status.f_bavail * status.f_frsize,
        free_inodes=status.f_favail if status.f_files else None,
    )

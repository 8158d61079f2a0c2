"""The files in `run/` of an archive that tell other processes what was seen.

disk.json        `rokubox storage --observe`, every hour         DiskSeen
retention.json   `rokubox retention --automatic`                 RetentionSeen
storage.json     the archive's owner, every half minute at least Condition, with all of that
wire.json        the same, every few seconds                     what the mirror showed: diagnosis/wire/wirefile
levels.json      the same, every few seconds                     which sides of calls are silent: diagnosis/wire/levels
upload.json      `rokubox-upload`, every half minute at least    UploadStatus
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from storage.disk import FILE_MODE

DISK, RETENTION = "disk.json", "retention.json"
MAX_BYTES = 4 << 20

Seen = TypeVar("Seen")


def read(run: Path, name: str, kind: type[Seen]) -> Seen | None:
    """What a file says; None when there is none that can be read."""
    try:
        with (run / name).open("rb") as file:
            return msgspec.json.decode(file.read(MAX_BYTES + 1), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def write(run: Path, name: str, seen: object) -> bool:
    """Replace a file; False when the disk does not take it. It need not survive a power cut: no fsync."""
    hidden = run / f".{name}.tmp-{os.getpid()}"
    try:
        hidden.write_bytes(msgspec.json.format(msgspec.json.encode(seen), indent=1) + b"\n")
        hidden.chmod(FILE_MODE)
        hidden.rename(run / name)
    except OSError:
        with suppress(OSError):
            hidden.unlink()
        return False
    return True

"""Factory reset: offered to whoever plugs in a stick that names the box, confirmed by a word at its console.

Once confirmed it is done to its end, whatever happens: the partition's name says so until everything is destroyed.
"""

import contextlib
import fcntl
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from appliance.datapartition import luks, medium, texts
from appliance.datapartition.consoles import Consoles
from appliance.datapartition.errors import LockedError
from appliance.datapartition.making import answer_on, now
from appliance.datapartition.medium import Medium

WORD = "erase"
LIMIT_S = 120.0
_BLKZEROOUT = 0x127F
_PIECE_BYTES = 256 << 20
_LOOKED_AT = Path("/run/rokubox-erased")
_CHECKPOINT = Path("var/lib/rokubox/ledger/checkpoint")
_RECORDINGS = Path("var/lib/rokubox/recordings")
StickAtHand = Callable[[], AbstractContextManager[Medium | None]]


def is_confirmed(device: Path, consoles: Consoles, serial: str, note: Callable[[], object]) -> bool:
    """Whether everything is to be destroyed. That is noted on the disk then, and the stick asks for it no longer."""
    with medium.plugged_in() as stick:
        said = None if stick is None else stick.reset_of()
        if stick is None or said is None:
            return False
        if problem := refusal(stick, said, serial):
            consoles.say(f"rokubox: {problem}")
            answer_on(stick, medium.DESTROYED, texts.REFUSED.format(time=now(), serial=serial, problem=problem))
            return False
        consoles.forget()
        consoles.say(texts.RESET.format(serial=serial, word=WORD, limit_s=LIMIT_S))
        if consoles.line(LIMIT_S, shown=True) != WORD:
            consoles.say(texts.NOT_RESET)
            return False
        stick.write(medium.DESTROYED, texts.BEGUN.format(serial=serial, confirmed=now(), evidence=_evidence(device)))
        note()
        with contextlib.suppress(OSError):
            stick.take_reset()
    return True


def refusal(stick: Medium, said: str, serial: str) -> str:
    """Why it is not even offered; empty when it is."""
    if said.casefold() != serial.casefold():
        return texts.OTHER_BOX.format(said=said, serial=serial)
    return "" if stick.is_writable else texts.READ_ONLY


def destroy(device: Path, consoles: Consoles, serial: str, stick_at_hand: StickAtHand = medium.plugged_in) -> None:
    """Destroys what is on it. Raises DataPartitionError, OSError."""
    consoles.say(texts.ERASING)
    if luks.is_volume(device):
        luks.destroy_keys(device)
        _overwrite(device, luks.HEADER_BYTES, consoles)
        how = texts.KEYS_GONE
    else:
        # So is a volume whose header is gone already, because a reset was interrupted.
        how = texts.OVERWRITTEN.format(size_bytes=_overwrite(device, None, consoles))
    consoles.say(texts.ERASED)
    with stick_at_hand() as stick:
        if stick is not None:
            answer_on(stick, medium.DESTROYED, _finished(stick, serial, how))


def _finished(stick: Medium, serial: str, how: str) -> str:
    """The answer, with what it said when it began."""
    begun = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        begun = (stick.folder / medium.DESTROYED).read_text("utf-8")
    lines = dict(line.split(": ", 1) for line in begun.splitlines() if ": " in line)
    return texts.DESTROYED.format(
        serial=serial,
        confirmed=lines.get("confirmed at its console", "not known").removesuffix(" (the box's clock, UTC)"),
        finished=now(),
        how=how,
        evidence=lines.get("what was there", "not known"),
    )


def _overwrite(device: Path, limit_bytes: int | None, consoles: Consoles) -> int:
    """Zeroes from its beginning on, so many or all; how many."""
    descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        end = size if limit_bytes is None else min(size, limit_bytes)
        told = 0
        for at in range(0, end, _PIECE_BYTES):
            count = min(_PIECE_BYTES, end - at)
            fcntl.ioctl(descriptor, _BLKZEROOUT, struct.pack("QQ", at, count))
            if (percent := (at + count) * 100 // end) >= told + 10:
                told = percent
                consoles.say(texts.PROGRESS.format(percent=percent))
        os.fsync(descriptor)
        return end
    finally:
        os.close(descriptor)


def _evidence(device: Path) -> str:
    """What is on it, in one line, where that can still be read."""
    try:
        with _looked_into(device) as data:
            return evidence(data)
    except (OSError, UnicodeDecodeError, LockedError, subprocess.CalledProcessError):
        return "not known (it could not be read)"


def evidence(data: Path) -> str:
    """How much was recorded, and what of the ledger was last signed. Raises OSError, UnicodeDecodeError."""
    count = sum(len(files) for _, _, files in os.walk(data / _RECORDINGS))
    try:
        signed = f"the ledger's last checkpoint: {' '.join((data / _CHECKPOINT).read_text('utf-8').split())}"
    except FileNotFoundError:
        signed = "no checkpoint of the ledger"
    return f"{count} files in recordings, {signed}"


@contextlib.contextmanager
def _looked_into(device: Path) -> Iterator[Path]:
    is_volume = luks.is_volume(device)
    if is_volume:
        luks.open_by_tpm(device)
    try:
        _LOOKED_AT.mkdir(parents=True, exist_ok=True)
        place = luks.MAPPED if is_volume else device
        subprocess.run(["mount", "-o", "ro", str(place), str(_LOOKED_AT)], check=True, capture_output=True)
        try:
            yield _LOOKED_AT
        finally:
            subprocess.run(["umount", str(_LOOKED_AT)], check=False)
    finally:
        if is_volume:
            luks.close()

"""What a stick labelled ROKUBOX says about the data partition, and what is written back to it.

    rokubox.toml                       [storage] encryption, read when the data partition is made, and never again
    passphrase.txt                     its first line opens the data partition
    rokubox-recovery-key-SERIAL.txt    written when an encrypted one is made; opens it
    factory-reset                      its first line is the serial number of the box to be erased
    rokubox-reset.txt                  written: what was destroyed
    rokubox-disk.txt                   written: what was made, or what is wrong

What else is on it is for the system that starts later (`appliance.provisioning`).
"""

import contextlib
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.datapartition.encryption import Encryption
from appliance.datapartition.errors import MediumError

LABELS, LABEL = Path("/dev/disk/by-label"), "ROKUBOX"
MOUNTED = Path("/run/rokubox-stick")
CONFIGURATION, PASSPHRASE, RESET = "rokubox.toml", "passphrase.txt", "factory-reset"
RESULT, DESTROYED = "rokubox-disk.txt", "rokubox-reset.txt"
RECOVERY_KEY = "rokubox-recovery-key-{serial}.txt"
_RECOVERY_KEYS = "rokubox-recovery-key-*.txt"
_KEY = re.compile(r"\b[cbdefghijklnrtuv]{4}(?:-[cbdefghijklnrtuv]{4}){7}\b")
_MAX_BYTES = 1 << 20
_MIN_PASSPHRASE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """A stick that is mounted."""

    folder: Path
    is_writable: bool

    def encryption(self) -> Encryption:
        """What it asks for; none without a configuration. Raises MediumError when it cannot be understood."""
        text = self._text(CONFIGURATION)
        if text is None:
            return Encryption.NONE
        try:
            storage = tomllib.loads(text).get("storage", {})
        except tomllib.TOMLDecodeError as error:
            raise MediumError(f"{CONFIGURATION}: {error}") from error
        said = storage.get("encryption", Encryption.NONE.value) if isinstance(storage, dict) else storage
        try:
            return Encryption(str(said))
        except ValueError:
            known = ", ".join(f'"{one.value}"' for one in Encryption)
            raise MediumError(f"{CONFIGURATION}: storage.encryption: {said!r} is none of {known}") from None

    def passphrase(self) -> str | None:
        """What opens the data partition, when it is there. Raises MediumError when it is too short."""
        text = self._text(PASSPHRASE)
        return None if text is None else checked(text.partition("\n")[0].strip("\r"), PASSPHRASE)

    def keys(self) -> list[str]:
        """Everything on it that may open a data partition."""
        found = []
        with contextlib.suppress(MediumError):
            found += [self.passphrase()]
        for file in sorted(self.folder.glob(_RECOVERY_KEYS)):
            found += _KEY.findall(self._text(file.name) or "")
        return [key for key in found if key is not None]

    def reset_of(self) -> str | None:
        """Serial number of the box that is to be erased; None when none is."""
        file = self._reset_file()
        text = None if file is None else self._text(file.name)
        return None if text is None else text.strip().partition("\n")[0].strip()

    def take_reset(self) -> None:
        """What was asked for is asked for once. Raises OSError."""
        if (file := self._reset_file()) is not None:
            file.replace(file.with_name(f"{RESET}.done"))
            self._sync()

    def write(self, name: str, text: str) -> None:
        """A file in place of what it was. Raises OSError."""
        path = self.folder / name
        with path.open("w", encoding="utf-8", newline="\r\n") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._sync()

    def _reset_file(self) -> Path | None:
        # Editors of text add an ending by themselves.
        paths = (self.folder / name for name in (RESET, f"{RESET}.txt"))
        return next((path for path in paths if path.is_file()), None)

    def _sync(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _text(self, name: str) -> str | None:
        """None when there is no such file. Raises MediumError when it is no text."""
        try:
            with (self.folder / name).open("rb") as file:
                return file.read(_MAX_BYTES).decode("utf-8-sig")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise MediumError(f"{name}: not text in UTF-8") from error
        except OSError as error:
            raise MediumError(f"{name}: {error.strerror}") from error


def checked(passphrase: str, source: str) -> str:
    """A passphrase that is long enough. Raises MediumError."""
    if len(passphrase) < _MIN_PASSPHRASE:
        raise MediumError(f"{source}: a passphrase has at least {_MIN_PASSPHRASE} characters")
    return passphrase


def device(labels: Path = LABELS) -> Path | None:
    """The stick's device file; its label may be in small letters."""
    try:
        return next((path for path in sorted(labels.iterdir()) if path.name.upper() == LABEL), None)
    except OSError:
        return None


@contextlib.contextmanager
def plugged_in() -> Iterator[Medium | None]:
    """The stick, mounted; None without one, or when it cannot be read."""
    stick, at = device(), MOUNTED
    at.mkdir(parents=True, exist_ok=True)
    options = ("nosuid,nodev,noexec,sync,rw", "nosuid,nodev,noexec,ro")
    for option in options if stick is not None else ():
        if (
            subprocess.run(["mount", "-o", option, str(stick), str(at)], check=False, capture_output=True).returncode
            == 0
        ):
            break
    else:
        yield None
        return
    try:
        yield Medium(folder=at, is_writable=not os.statvfs(at).f_flag & os.ST_RDONLY)
    finally:
        subprocess.run(["umount", str(at)], check=False, capture_output=True)

"""Which keys sign, across a change of the device key that may be killed at any step.

    device.key       the key
    device.key.new   while it is replaced: made first, then a `key` entry, then a checkpoint signed by the old key too,
                     then it takes the old one's name

A new key that no entry names was never taken in and is removed; one that signed is the key.
"""

import contextlib
from pathlib import Path

from storage.disk import Directories, Disk
from storage.errors import DeviceKeyError, from_os_error
from storage.ledger import devicekey
from storage.ledger.checkpoint import Checkpoint
from storage.ledger.devicekey import DeviceKey

NEW_SUFFIX = ".new"


class KeyFiles:
    """The device key of one ledger."""

    def __init__(self, path: Path, disk: Disk, directories: Directories) -> None:
        self._path = path
        self._new = path.with_name(path.name + NEW_SUFFIX)
        self._disk = disk
        self._directories = directories
        self.signers: tuple[DeviceKey, ...] = ()
        """Who signs the next checkpoint; the last one is the key from then on."""
        self.changing = False
        """Whether the last signer has not yet taken the place of the one before."""

    @property
    def public_key(self) -> bytes:
        """The public key of the log, 32 bytes."""
        return self.signers[-1].public_key

    def begin(self) -> None:
        """Read the key, or make the first one."""
        self.signers = (devicekey.read(self._path) or self._make(self._path),)

    def take_up(self, public_key: bytes, checkpoint: Checkpoint | None) -> bool:
        """Find the key that the ledger names last. False when there is none at all: the box was replaced.

        Raises DeviceKeyError when the key is another one.
        """
        old, new = devicekey.read(self._path), devicekey.read(self._new)
        if new is not None and new.public_key == public_key:
            has_signed = checkpoint is not None and checkpoint.is_signed_by(public_key)
            self.signers = (new,) if old is None or has_signed else (old, new)
            self.changing = True
            if has_signed:
                self.adopt()
            return True
        if old is None:
            return False
        if old.public_key != public_key:
            raise DeviceKeyError("the device key is not the one that the ledger names")
        self.signers = (old,)
        if new is not None:
            with contextlib.suppress(OSError):
                self._disk.remove(self._new)
        return True

    def change(self) -> DeviceKey:
        """Make the next key; the next checkpoint is signed by the key so far too, if there is one."""
        new = self._make(self._new)
        self.signers = (*self.signers, new)
        self.changing = True
        return new

    def adopt(self) -> None:
        """The new key has signed: it takes the old one's place."""
        try:
            self._disk.rename(self._new, self._path)
        except OSError as error:
            raise from_os_error(error, "store the device key") from error
        self._directories.note(self._path.parent)
        self._directories.sync()
        self.signers = self.signers[-1:]
        self.changing = False

    def _make(self, path: Path) -> DeviceKey:
        self._directories.make(path.parent)
        try:
            key = devicekey.make(self._disk, path)
        except OSError as error:
            raise from_os_error(error, "store the device key") from error
        self._directories.note(path.parent)
        self._directories.sync()
        return key

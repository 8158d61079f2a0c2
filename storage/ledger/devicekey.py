"""The device key on the disk: Ed25519, PKCS#8 PEM, for its owner alone; made at the first start, never exported."""

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from storage.disk import Disk, replace_file
from storage.errors import DeviceKeyError

MODE = 0o600
_MAX_BYTES = 16 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceKey:
    """A private key in memory."""

    private: Ed25519PrivateKey
    """The library's form of it."""

    @property
    def public_key(self) -> bytes:
        """The public key, 32 bytes (RFC 8032)."""
        return self.private.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """The signature, 64 bytes."""
        return self.private.sign(data)


def make(disk: Disk, path: Path) -> DeviceKey:
    """Make a key and store it at `path`, which is replaced. Raises OSError."""
    private = Ed25519PrivateKey.generate()
    replace_file(disk, path.with_name(f".{path.name}.tmp-{os.getpid()}"), path, _pem(private), mode=MODE)
    return DeviceKey(private=private)


def _pem(private: Ed25519PrivateKey) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read(path: Path) -> DeviceKey | None:
    """Read a key; None when there is none. Raises DeviceKeyError when what is there is no such key."""
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DeviceKeyError(f"cannot read the device key: {error.strerror}") from error
    try:
        private = load_pem_private_key(stored, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise DeviceKeyError("the device key is damaged, or not an unencrypted PKCS#8 PEM file") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise DeviceKeyError("the device key is not an Ed25519 key")
    return DeviceKey(private=private)


def is_stored(path: Path, public_key: bytes) -> bool:
    """Whether exactly the private key of `public_key` lies at `path`, as `make` writes it."""
    try:
        key = read(path)
        return key is not None and key.public_key == public_key and path.read_bytes() == _pem(key.private)
    except (DeviceKeyError, OSError):
        return False


def public_pem(public_key: bytes) -> bytes:
    """A public key as it is given out: SubjectPublicKeyInfo, PEM."""
    key = Ed25519PublicKey.from_public_bytes(public_key)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def read_public(path: Path) -> bytes:
    """Read a public key from PEM. Raises DeviceKeyError when there is none."""
    try:
        with path.open("rb") as stored:
            key = load_pem_public_key(stored.read(_MAX_BYTES))
    except OSError as error:
        raise DeviceKeyError(f"cannot read the public key {path}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise DeviceKeyError(f"{path} is not a public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise DeviceKeyError(f"{path} is not an Ed25519 public key")
    return key.public_bytes_raw()

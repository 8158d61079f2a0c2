"""A report's signature with the device key (Ed25519), beside it: openssl(1) alone can verify it."""

import hashlib
from pathlib import Path

from storage.disk import Disk, replace_file
from storage.errors import DeviceKeyError
from storage.ledger import devicekey
from storage.ledger.devicekey import DeviceKey

SIGNATURE_SUFFIX = ".sig"


def read_key(path: Path) -> DeviceKey | None:
    """Return the device key; None where it cannot be read: the report is then not signed, and says so."""
    try:
        return devicekey.read(path)
    except DeviceKeyError:
        return None


def fingerprint(key: DeviceKey | None) -> str:
    """Return the SHA-256 of the public key as it is given out, hexadecimal; empty without a key."""
    return "" if key is None else hashlib.sha256(devicekey.public_pem(key.public_key)).hexdigest()


def write(page: str, path: Path, key: DeviceKey | None) -> list[Path]:
    """Write a report and its signature, complete or not at all; returns what was written. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content, written = page.encode(), [path]
    _write(path, content)
    if key is not None:
        written.append(path.with_name(path.name + SIGNATURE_SUFFIX))
        _write(written[-1], key.sign(content))
    return written


def _write(path: Path, content: bytes) -> None:
    replace_file(Disk(), path.with_name(f".{path.name}.tmp"), path, content)

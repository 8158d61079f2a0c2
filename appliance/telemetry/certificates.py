"""Certificates in files: what they are, how long they are valid, what TLS makes of them, and their replacement.

A new certificate is dropped in place, or installed by a command. A pair that does not go together is one that is half
dropped: the connection stays as it is until both are there.
"""

import contextlib
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from appliance.errors import CertificateError
from appliance.telemetry.settings import MqttSettings
from storage.disk import Disk, replace_file

KEY_MODE = 0o600
MAX_BYTES = 1 << 20
"""No PEM file is larger."""
Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate as far as it matters here."""

    file: Path
    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    public_key: bytes
    """DER, to compare with that of a key."""

    def days_left(self, now: datetime) -> float:
        """How long it is valid still; negative when it is over."""
        return (self.not_after - now).total_seconds() / 86_400


def read(file: Path) -> Certificate:
    """Read the first certificate of a PEM file. Raises CertificateError."""
    try:
        parsed = x509.load_pem_x509_certificates(_content(file))[0]
    except (ValueError, IndexError) as error:
        raise CertificateError(f"{file}: no certificate in PEM form") from error
    return Certificate(
        file=file,
        subject=parsed.subject.rfc4514_string(),
        issuer=parsed.issuer.rfc4514_string(),
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        public_key=parsed.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    )


def read_pair(certificate: Path, key: Path) -> Certificate:
    """Read a certificate and make sure that the key is its own. Raises CertificateError."""
    found = read(certificate)
    try:
        private = serialization.load_pem_private_key(_content(key), password=None)
    except (ValueError, TypeError) as error:
        raise CertificateError(f"{key}: no private key in PEM form without a password") from error
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    if public != found.public_key:
        raise CertificateError(f"{key}: the key does not belong to {certificate}")
    return found


def context(settings: MqttSettings) -> ssl.SSLContext:
    """What a connection with these files is made with; the server's name is verified. Raises CertificateError."""
    try:
        made = ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise CertificateError(f"{settings.ca_file}: {_words(error)}") from error
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate_file:
        try:
            made.load_cert_chain(settings.certificate_file, settings.key_file)
        except (OSError, ssl.SSLError) as error:
            raise CertificateError(f"{settings.certificate_file}, {settings.key_file}: {_words(error)}") from error
    return made


def stamp(settings: MqttSettings) -> Stamp:
    """What changes when one of the files is replaced."""
    names = (settings.ca_file, settings.certificate_file, settings.key_file)
    return tuple(_stamp(Path(name)) for name in names if name)


def install(settings: MqttSettings, certificate: Path, key: Path, now: datetime) -> Certificate:
    """Put a new pair in place of the configured one. The agent takes it up by itself.

    Raises:
        CertificateError: it cannot be used, or no place is configured.
        OSError: it cannot be written.
    """
    if not settings.certificate_file:
        raise CertificateError("[mqtt] certificate_file and key_file say where it goes: they are not configured")
    found = read_pair(certificate, key)
    if not found.not_before <= now < found.not_after:
        raise CertificateError(f"{certificate}: valid from {found.not_before:%F} to {found.not_after:%F}, not now")
    # The key first: between the two the old certificate has no key, and the agent waits for the pair.
    _put(Path(settings.key_file), _content(key), KEY_MODE)
    _put(Path(settings.certificate_file), _content(certificate), 0o644)
    return found


def _put(place: Path, content: bytes, mode: int) -> None:
    kept = place.stat() if place.exists() else None
    draft = place.with_name(f".{place.name}.tmp-{os.getpid()}")
    replace_file(Disk(), draft, place, content, mode=mode)
    if kept is not None:
        with contextlib.suppress(PermissionError):  # whose it was it stays, or the agent could not read it
            os.chown(place, kept.st_uid, kept.st_gid)
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_BYTES)
    except OSError as error:
        raise CertificateError(f"{file}: {error.strerror}") from error


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        status = file.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_mtime_ns, status.st_size)


def _words(error: OSError) -> str:
    return str(getattr(error, "reason", "") or error.strerror or error)


def utc_now() -> datetime:
    """The real time, for validity."""
    return datetime.now(UTC)

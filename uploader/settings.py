"""`[[target]]` and `[enterprise.delivery]`: where recordings go, and when. Pure."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Meta

from uploader.window import Window

TargetName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
_HOST_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+=*( .*)?")


class Scheme(StrEnum):
    """How a target is spoken to: the beginning of its URL."""

    FILE = "file"
    """A directory: another disk, or a mounted share."""
    SFTP = "sftp"
    """SSH File Transfer Protocol."""
    HTTPS = "https"
    """HTTP PUT over TLS."""
    DAVS = "davs"
    """WebDAV (RFC 4918) over TLS."""
    S3 = "s3"
    """An S3-compatible object store over TLS: s3://endpoint/bucket/prefix."""
    SMB = "smb"
    """An SMB 3 share: smb://server/share/folder."""


class Verify(StrEnum):
    """What proves that the target holds the same bytes."""

    CHECKSUM = "checksum"
    """A checksum that the target has computed; where it offers none, reading back."""
    READ_BACK = "read_back"
    """Reading everything back."""


class Then(StrEnum):
    """What becomes of a recording in the archive."""

    KEEP = "keep"
    """Kept for as long as retention says."""
    DELETE = "delete"
    """Erased."""


class When(StrEnum):
    """When recordings are delivered."""

    NOW = "now"
    """As soon as they are finished."""
    WINDOW = "window"
    """Between two times of the day."""
    NIGHTLY = "nightly"
    """From one to five in the morning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSettings:
    """`[[target]]`: where recordings are delivered."""

    name: TargetName
    """Name of the target: enterprises name it, and the ledger."""
    url: Annotated[str, Meta(min_length=1, max_length=500)]
    """Where it is; the scheme says how it is spoken to. Neither user nor password stand in it."""
    user: Annotated[str, Meta(max_length=200)] = ""
    """User; for S3 the access key's id."""
    password_file: str = ""
    """File with the password; for S3 the secret key, for HTTPS without a user a bearer token."""
    key_file: str = ""
    """SFTP: file with the private key."""
    host_keys: tuple[str, ...] = ()
    """SFTP: the server's public keys, as in known_hosts: `ssh-ed25519 AAAA...`. No other is accepted."""
    ca_file: str = ""
    """PEM file with the authorities that may vouch for the server; those of the system when empty."""
    region: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,64}$")] = "us-east-1"
    """S3: the region that requests are signed for."""
    parallel: Annotated[int, Meta(ge=1, le=16)] = 2
    """Transfers at once, at most."""
    max_mbit_s: Annotated[float, Meta(ge=0, le=100_000)] = 0.0
    """No faster than so many megabits a second, all its transfers together; 0: as fast as it goes."""
    verify: Verify = Verify.CHECKSUM
    """What proves that it holds the same bytes. Before a recording is erased here it is read back in any case."""
    overdue_h: Annotated[float, Meta(gt=0, le=8760)] = 24.0
    """An alarm is raised when a recording has waited longer."""

    @property
    def parts(self) -> SplitResult:
        """The URL, taken apart."""
        return urlsplit(self.url)

    @property
    def scheme(self) -> Scheme:
        """How it is spoken to."""
        return Scheme(self.parts.scheme)

    @property
    def host(self) -> str:
        """Name or address of the server."""
        return self.parts.hostname or ""

    @property
    def path(self) -> str:
        """The path below which recordings go, as it is at the target."""
        return unquote(self.parts.path)

    @property
    def folder(self) -> str:
        """The same without slashes at either end."""
        return self.path.strip("/")

    def problem(self) -> str:
        """What is wrong with it, after the key that is wrong; empty when nothing is."""
        try:
            parts, _ = self.parts, self.parts.port
            scheme = Scheme(parts.scheme)
        except ValueError:
            return f"url: must begin with one of {', '.join(f'{one}://' for one in Scheme)} and have a valid port"
        if parts.username is not None or parts.query or parts.fragment:
            return "url: no user, query or fragment may stand in it; use the key user"
        if any(part in (".", "..") for part in unquote(parts.path).split("/")):
            return "url: the path must not hold . or .."
        if (scheme is Scheme.FILE) == bool(parts.netloc):
            return f"url: {'file:///an/absolute/path' if scheme is Scheme.FILE else 'names no server'}"
        return self._needs(scheme)

    def _needs(self, scheme: Scheme) -> str:
        if scheme is Scheme.SFTP and not self.host_keys:
            return "host_keys: an SFTP server is trusted by its host key alone; `ssh-keyscan HOST` shows it"
        for key in self.host_keys:
            if not _HOST_KEY.fullmatch(key):
                return "host_keys: not a public key like 'ssh-ed25519 AAAA...'"
        if scheme in (Scheme.SFTP, Scheme.S3, Scheme.SMB) and not self.user:
            return f"user: {scheme} needs one"
        if scheme is Scheme.SFTP and not (self.key_file or self.password_file):
            return "key_file: give one, or password_file"
        if scheme in (Scheme.S3, Scheme.SMB) and not self.password_file:
            return f"password_file: {scheme} needs one"
        if scheme in (Scheme.S3, Scheme.SMB) and not self.folder:
            return f"url: names no {'bucket' if scheme is Scheme.S3 else 'share'}"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """`[enterprise.delivery]`: when an enterprise's recordings are delivered, and what becomes of them."""

    when: When = When.NOW
    """When."""
    window: str = "22:00-05:00"
    """The two times, for `when = "window"`; local ones of the site."""
    then: Then = Then.KEEP
    """What becomes of a call that has been delivered to every target."""
    give_up_days: Annotated[float, Meta(gt=0, le=3653)] = 7.0
    """How long delivery is tried."""
    on_give_up: Then = Then.KEEP
    """What becomes of a call that could not be delivered in that time, where `then` is `delete`."""

    @property
    def times(self) -> Window | None:
        """When deliveries are made; None: always. Raises ValueError."""
        match self.when:
            case When.NOW:
                return None
            case When.NIGHTLY:
                return Window.parse("01:00-05:00")
            case When.WINDOW:
                return Window.parse(self.window)

    def problem(self) -> str:
        """What is wrong with it, after the key that is wrong; empty when nothing is."""
        try:
            _ = self.times
        except ValueError as error:
            return f"window: {error}"
        if self.on_give_up is Then.DELETE and self.then is Then.KEEP:
            return 'on_give_up: what is kept when it was delivered is kept when it was not; write then = "delete" too'
        return ""

"""A LUKS2 volume: made, opened, destroyed, by cryptsetup and systemd-cryptenroll."""

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from appliance.datapartition.errors import DataPartitionError, LockedError

NAME = "data"
MAPPED = Path("/dev/mapper") / NAME
TPMS = Path("/sys/class/tpmrm")
HEADER_BYTES = 32 << 20
"""More than both headers and all keys take up (16 MiB)."""
_LETTERS = "cbdefghijklnrtuv"
"""The same on the keyboards of most languages (as of systemd's recovery keys)."""
_PBKDF = ("--pbkdf-memory", "262144")
"""KiB that a passphrase costs at most; a small box has to be able to open what it made."""
_TOKEN = "systemd-tpm2"
_HEADER_READ_BYTES = 32 << 10


def new_recovery_key() -> str:
    """128 bits, to be typed."""
    letters = [secrets.choice(_LETTERS) for _ in range(32)]
    return "-".join("".join(letters[at : at + 4]) for at in range(0, 32, 4))


def has_tpm() -> bool:
    """Whether the machine has a TPM 2."""
    return TPMS.is_dir() and any(TPMS.iterdir())


def make(device: Path, recovery_key: str) -> None:
    """A new volume in place of whatever was there, opened by a recovery key. Raises DataPartitionError."""
    # Its key cannot be guessed, so nothing is gained by making each try slow.
    with _file(recovery_key) as key:
        _run(
            "luksFormat",
            "--type",
            "luks2",
            "-q",
            "--pbkdf",
            "pbkdf2",
            "--pbkdf-force-iterations",
            "1000",
            "--key-file",
            key,
            device,
        )


def add_passphrase(device: Path, recovery_key: str, passphrase: str) -> None:
    """Raises DataPartitionError."""
    with _file(recovery_key) as key, _file(passphrase) as added:
        _run("luksAddKey", "-q", *_PBKDF, "--key-file", key, device, added)


def add_tpm(device: Path, key: str) -> None:
    """Let this machine's TPM open it, and no other one any more. Raises DataPartitionError."""
    with _file(key) as file:
        order = [
            "systemd-cryptenroll",
            f"--unlock-key-file={file}",
            "--wipe-slot=tpm2",
            "--tpm2-device=auto",
            "--tpm2-pcrs=",
        ]
        _call([*order, str(device)])


def is_volume(device: Path) -> bool:
    """Whether it is a LUKS volume, however damaged its first header is."""
    return subprocess.run(["cryptsetup", "isLuks", str(device)], check=False, capture_output=True).returncode == 0


def has_tpm_key(device: Path) -> bool:
    """Whether a TPM can open it."""
    with device.open("rb") as file:
        return _TOKEN.encode() in file.read(_HEADER_READ_BYTES)


def open_by_tpm(device: Path) -> None:
    """Raises LockedError."""
    _open(device, "--token-only")


def open_by(device: Path, key: str) -> None:
    """With a passphrase or a recovery key. Raises LockedError."""
    with _file(key) as file:
        _open(device, "--key-file", file)


def close() -> None:
    """The volume that is open, if one is."""
    subprocess.run(["cryptsetup", "close", NAME], check=False, capture_output=True)


def destroy_keys(device: Path) -> None:
    """Without them nothing can ever be read again. Raises DataPartitionError."""
    _run("luksErase", "-q", device)


def _open(device: Path, *how: str) -> None:
    try:
        _run("open", "--type", "luks2", *how, device, NAME)
    except DataPartitionError as error:
        raise LockedError(str(error)) from error


def _run(action: str, *arguments: str | Path) -> None:
    _call(["cryptsetup", action, *map(str, arguments)])


def _call(command: Sequence[str]) -> None:
    # Keys are files of their own, which only a child finds there.
    done = subprocess.run(command, check=False, capture_output=True, text=True, close_fds=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise DataPartitionError(f"{command[0]}: {said[-1] if said else f'exit code {done.returncode}'}")


@contextlib.contextmanager
def _file(key: str) -> Iterator[str]:
    """The name of a file with a key in it, which is in memory only."""
    descriptor = os.memfd_create("key", 0)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, key.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)

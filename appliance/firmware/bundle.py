"""An update bundle of RAUC in verity format, read and checked completely before anything is written.

    payload (squashfs) | tree of its hashes | signature with the manifest (CMS) | length of the signature, 8 bytes

RAUC judges signature and manifest; the manifest names the root hash of the payload, and veritysetup(8) holds every
block against it. RAUC alone would find a damaged block when it comes to it, in the middle of writing a slot.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import BundleError, ToolMissingError
from appliance.firmware.updatestatus import Reason

CONFIGURATION = Path("/etc/rauc/system.conf")
COMPATIBLE = "rokubox-x86_64"
MAX_BYTES = 1 << 30
BLOCK_BYTES = 4096
LIMIT_S = 1800.0
"""More than any disk needs to read a bundle once."""
_LENGTH_BYTES = 8
_MAX_SIGNATURE_BYTES = 64 << 10
_VERSION = re.compile(r"\d{1,5}(\.\d{1,5}){0,3}")
_TOLD = re.compile(r"^\s*(Compatible|Version|Bundle Format|Verity Salt|Verity Hash|Verity Size):\s+'?([^'\n]*)'?", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a signed manifest says."""

    compatible: str
    version: str
    hash: str
    """Root hash of the payload, in hexadecimal digits."""
    salt: str
    tree_bytes: int


def inspect(path: Path, configuration: Path = CONFIGURATION) -> Bundle:
    """Check the signature, and return what the manifest says.

    Raises:
        BundleError: not signed by whom the box trusts, or not for it.
        ToolMissingError: rauc(1) is not installed.
    """
    told = _run("rauc", f"--conf={configuration}", "info", str(path))
    if told.returncode:
        raise BundleError(Reason.SIGNATURE, f"not a bundle that this box trusts: {_last(told.stderr)}")
    found = dict(_TOLD.findall(told.stdout))
    if found.get("Bundle Format") != "verity":
        raise BundleError(Reason.SIGNATURE, "not a bundle in verity format")
    if found.get("Compatible") != COMPATIBLE:
        raise BundleError(Reason.OTHER_DEVICE, f"made for {found.get('Compatible', '?')!r}, this is {COMPATIBLE!r}")
    if not _VERSION.fullmatch(found.get("Version", "")):
        raise BundleError(Reason.SIGNATURE, "its manifest names no version")
    return Bundle(
        compatible=found["Compatible"],
        version=found["Version"],
        hash=found["Verity Hash"],
        salt=found["Verity Salt"],
        tree_bytes=int(found["Verity Size"]),
    )


def verify(path: Path, bundle: Bundle) -> None:
    """Hold every byte of the payload against what was signed.

    Raises:
        BundleError: some byte is another one, or missing.
        ToolMissingError: veritysetup(8) is not installed.
    """
    payload_bytes = _payload_bytes(path, bundle)
    checked = _run(
        *("veritysetup", "verify", "--no-superblock", "--hash=sha256", f"--data-block-size={BLOCK_BYTES}"),
        *(f"--hash-block-size={BLOCK_BYTES}", f"--data-blocks={payload_bytes // BLOCK_BYTES}"),
        *(f"--hash-offset={payload_bytes}", f"--salt={bundle.salt}", str(path), str(path), bundle.hash),
    )
    if checked.returncode:
        raise BundleError(Reason.DAMAGED, f"damaged: {_last(checked.stderr)}")


def _payload_bytes(path: Path, bundle: Bundle) -> int:
    """How long the payload has to be, by the file's end. Raises BundleError."""
    with path.open("rb") as file:
        size = path.stat().st_size
        file.seek(size - _LENGTH_BYTES)
        signature_bytes = int.from_bytes(file.read(_LENGTH_BYTES), "big")
    payload_bytes = size - _LENGTH_BYTES - signature_bytes - bundle.tree_bytes
    if signature_bytes > _MAX_SIGNATURE_BYTES or payload_bytes <= 0 or payload_bytes % BLOCK_BYTES:
        raise BundleError(Reason.DAMAGED, "damaged: its parts do not add up to its size")
    return payload_bytes


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    if shutil.which(command[0]) is None:
        raise ToolMissingError(f"{command[0]} is not installed; updates are for the appliance's image")
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        raise BundleError(Reason.DAMAGED, f"{command[0]} has found no end in {LIMIT_S / 60:.0f} minutes") from None


def _last(told: str) -> str:
    """The last line of what a tool said."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"

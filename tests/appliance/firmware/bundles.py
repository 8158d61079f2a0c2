"""Real bundles with real keys, small."""

import os
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
_CONFIGURATION = """\
[system]
compatible=rokubox-x86_64
bootloader=noop
bundle-formats=verity

[keyring]
path=keyring.pem
use-bundle-signing-time=true
"""


def keys(folder: Path) -> Path:
    """Keys as `make keys` makes them."""
    subprocess.run([REPOSITORY / "image/keys", folder], check=True, capture_output=True)
    return folder


def trusting(keys: Path) -> Path:
    """A configuration of RAUC that takes what these keys have signed."""
    (keys / "system.conf").write_text(_CONFIGURATION)
    return keys / "system.conf"


def bundle(folder: Path, keys: Path, version: str = "0.2.0", *, compatible: str = "rokubox-x86_64") -> Path:
    """A bundle with 2 MB that do not compress."""
    content, made = folder / f"content-{version}", folder / f"rokubox-{version}.raucb"
    content.mkdir(parents=True)
    for name, size in (("boot.img", 200_000), ("root.img", 2_000_000)):
        (content / name).write_bytes(os.urandom(size))
    (content / "manifest.raucm").write_text(
        f"[update]\ncompatible={compatible}\nversion={version}\n\n[bundle]\nformat=verity\n\n"
        "[image.boot]\nfilename=boot.img\n\n[image.root]\nfilename=root.img\n"
    )
    subprocess.run(
        [
            *("rauc", "bundle", f"--cert={keys / 'signing.pem'}", f"--key={keys / 'signing.key'}"),
            *(f"--keyring={keys / 'keyring.pem'}", str(content), str(made)),
        ],
        check=True,
        capture_output=True,
    )
    return made

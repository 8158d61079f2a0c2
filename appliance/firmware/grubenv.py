"""GRUB's environment block: 1024 bytes with a line for each variable (GRUB manual, 16.2; `grub/lib/envblk.h`). Pure.

Names and values that a boot loader needs are short: the whole of them stays within the first sector of 512 bytes, and
the rest is padding that never changes. So writing the block in its place replaces one sector, which a power cut leaves
either old or new.
"""

from collections.abc import Mapping

SIZE_BYTES = 1024
SECTOR_BYTES = 512
_SIGNATURE = b"# GRUB Environment Block\n"
_PADDING = b"#"


class EnvironmentBlockError(ValueError):
    """These bytes are no environment block, or these variables make none."""


def parse(block: bytes) -> dict[str, str]:
    """The variables. Raises EnvironmentBlockError."""
    if len(block) != SIZE_BYTES or not block.startswith(_SIGNATURE):
        raise EnvironmentBlockError("not an environment block of GRUB")
    found = {}
    for line in block.decode("utf-8", "replace").split("\n"):
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[name] = value.replace("\\\\", "\\")
    return found


def serialize(variables: Mapping[str, str]) -> bytes:
    """The block. Raises EnvironmentBlockError when they do not fit into its first sector, or are none."""
    lines = [_SIGNATURE]
    for name, value in variables.items():
        if not name.replace("_", "").isalnum() or not value.isprintable():
            raise EnvironmentBlockError(f"no variable: {name!r}")
        lines.append(f"{name}={value}\n".replace("\\", "\\\\").encode())
    told = b"".join(lines)
    if len(told) > SECTOR_BYTES:
        raise EnvironmentBlockError("more than a sector can hold")
    return told.ljust(SIZE_BYTES, _PADDING)

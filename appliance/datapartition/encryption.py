"""How the data partition is encrypted. Pure."""

from enum import StrEnum


class Encryption(StrEnum):
    """`[storage] encryption`."""

    NONE = "none"
    TPM2 = "tpm2"
    """Opened by this machine's TPM 2, with nobody there."""
    PASSPHRASE = "passphrase"
    """Opened by whoever starts it."""

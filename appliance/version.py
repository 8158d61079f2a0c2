"""Name and version of the product, as records and recordings show them."""

VERSION = "0.1.0"
"""The distribution takes its version from here."""


def software() -> str:
    """Name and version of this product."""
    return f"rokubox {VERSION}"

"""Name and version of the product, as records and recordings show them."""

from importlib.metadata import version


def software() -> str:
    """Name and version of this product."""
    return f"rokubox {version('rokubox')}"

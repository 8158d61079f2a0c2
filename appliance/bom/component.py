"""One thing that software consists of. Pure."""

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Component:
    """A package."""

    ecosystem: str
    """`deb` or `pypi`, as package URLs have it."""
    name: str
    version: str
    licences: tuple[str, ...]
    """As the package itself calls them; none when it does not say so in a form that a program reads."""
    source: str = ""
    """The source package it was built from, when that is another name."""
    architecture: str = ""

    @property
    def purl(self) -> str:
        """Its package URL (ECMA-427)."""
        if self.ecosystem == "deb":
            qualifiers = f"?arch={self.architecture}" if self.architecture else ""
            return f"pkg:deb/debian/{quote(self.name, safe='')}@{quote(self.version, safe='')}{qualifiers}"
        return f"pkg:{self.ecosystem}/{quote(self.name, safe='')}@{quote(self.version, safe='')}"

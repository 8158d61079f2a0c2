"""`[update]`: where updates may come from when somebody at a distance asks for one. Pure."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from appliance.tomltree import Check


def _source_problem(source: str) -> str:
    parts = urlsplit(source)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment:
        return "not a URL like 'https://updates.example.jp/rokubox/'"
    return "" if source.isascii() and source.isprintable() and ".." not in source else "no URL of a folder or file"


Source = Annotated[str, Meta(max_length=500), Check(_source_problem)]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSources:
    """`[update]`: what `cmd/update` may name."""

    sources: tuple[Source, ...] = ()
    """URLs of folders from which updates may be fetched when the NOC asks; none when empty."""
    ca_file: str = ""
    """PEM file with the authorities that may vouch for these servers; those of the system when empty."""

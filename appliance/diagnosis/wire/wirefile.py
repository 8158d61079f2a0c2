"""`run/wire.json`: how assembly tells whoever diagnoses what the mirror showed; replaced as a whole. Pure.

The agent may not read the journal, and assembly waits for nobody: they share this file and nothing else.
"""

from dataclasses import dataclass

from appliance.diagnosis.evidence import Port, Wire

NAME = "wire.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the mirror showed up to a moment."""

    at_ns: int
    """Real time when it was written, nanoseconds since 1970."""
    wire: Wire
    ports: tuple[Port, ...]
    """The mirror ports, as far as capture counts them."""

"""What assembly is told by the configuration."""

from dataclasses import dataclass, field
from enum import StrEnum
from zoneinfo import ZoneInfo

from capture.rules import Enterprise
from storage.vocabulary import Form, Pcm, Source

NS = 1_000_000_000


class Record(StrEnum):
    """Which calls are recorded."""

    ALL = "all"
    RULES = "rules"


class Legs(StrEnum):
    """Which legs of one call through a PBX or SBC are recorded under rules."""

    ONE = "one"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssemblySettings:
    """Everything that decides what the recordings look like; part of what makes them reproducible."""

    record: Record = Record.ALL
    enterprises: tuple[Enterprise, ...] = ()
    """Contracted lines; looked at when `record` is `rules`."""
    legs: Legs = Legs.ONE
    form: Form = Form.ZIP
    pcm: Pcm = Pcm.PCM16
    segment_s: int = 1800
    """Length of a part."""
    linger_ns: int = NS // 2
    """How long after its end a call still takes packets."""
    late_ns: int = 5 * NS
    """How long after its end a part still takes packets."""
    media_timeout_ns: int = 120 * NS
    """An answered call without BYE ends after this long without media, unless it is on hold."""
    mask_dtmf: bool = False
    """Digits are shown as `x`."""
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Asia/Tokyo"))
    """The site's time zone."""
    software: str = "rokubox"
    config_digest: str | None = None
    """SHA-256 of the configuration's text, null without one."""
    source: Source = Source.IMPORT
    sip_ports: frozenset[int] = frozenset((5060, 5061))
    """Ports that carry SIP, to read raw blocks with."""

"""What assembly is told by the configuration."""

from collections.abc import Callable
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
    hold_timeout_ns: int = 4 * 3600 * NS
    """A call on hold without BYE ends after this long without media and signalling, or when its session expires."""
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


@dataclass(slots=True, kw_only=True)
class SettingsBook:
    """The settings of every configuration that was ever in force, by its digest."""

    current: AssemblySettings
    """What holds where nothing is known, or its text is not there any more."""
    find: Callable[[str], AssemblySettings | None] = field(default=lambda _digest: None)
    """Looks up the settings of a digest, "" for no configuration; None when its text is not there."""
    _found: dict[str, AssemblySettings | None] = field(init=False, default_factory=dict)

    def of(self, digest: str | None) -> AssemblySettings:
        """Return the settings of a digest; None: nobody has said which."""
        return self._look(digest) or self.current

    def lacks(self, digest: str | None) -> bool:
        """Whether a digest's text is not there, so that other settings stand for it."""
        return self._look(digest) is None

    def _look(self, digest: str | None) -> AssemblySettings | None:
        if digest is None or digest == (self.current.config_digest or ""):
            return self.current
        if digest not in self._found:
            self._found[digest] = self.find(digest)
        return self._found[digest]

"""The configuration: one TOML file, validated as a whole, every problem reported at once with its key path."""

import dataclasses
import hashlib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from msgspec import Meta

from appliance.assembly.settings import NS, AssemblySettings, Legs, Record
from appliance.errors import ConfigurationError
from appliance.tomltree import NOT_IN_FILE, Check, build, repeated
from capture.numbers import canonical
from capture.rules import Enterprise, LineRule
from storage.vocabulary import Form, Pcm, Source

SIP_PORTS = (5060, 5061)


def _zone_problem(name: str) -> str:
    return "" if name in available_timezones() else f"no time zone {name!r}; write one like 'Asia/Tokyo'"


def _number_problem(number: str) -> str:
    return "" if canonical(number) else "no digits or letters in it"


def _prefix_problem(prefix: str) -> str:
    return "" if canonical(prefix).startswith("00") else "must begin with 00"


Port = Annotated[int, Meta(ge=1, le=65535)]
Tunnel = Literal["erspan", "gre", "ipip", "vxlan", "tzsp"]
Seconds = Annotated[float, Meta(ge=0, le=60)]
Zone = Annotated[str, Check(_zone_problem)]
Number = Annotated[str, Meta(min_length=1, max_length=64), Check(_number_problem)]
Prefix = Annotated[str, Meta(min_length=2, max_length=64), Check(_prefix_problem)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """`[site]`: where the box stands."""

    customer: str = ""
    """Name of the customer."""
    site: str = ""
    """Name of the site."""
    serial: str = ""
    """Serial number of the box."""
    time_zone: Zone = "Asia/Tokyo"
    """Time zone of file names and records, an IANA name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """`[[span]]`: a mirror port."""

    interface: str = ""
    """Name of the interface."""
    sip_ports: tuple[Port, ...] = SIP_PORTS
    """UDP and TCP ports that carry SIP; elsewhere it is found by its start line."""
    tunnels: tuple[Tunnel, ...] = ()
    """Tunnels that bring the mirror from elsewhere, let in from this port; an import always looks into them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """`[recording]`: what recordings look like."""

    segment_s: Annotated[int, Meta(ge=30, le=86_400)] = 1800
    """Length of a part; longer calls are split without losing a sample."""
    form: Form = Form.ZIP
    """`zip`: one ZIP a part; `wav`: bare WAV and a JSON beside it."""
    pcm: Pcm = Pcm.PCM16
    """`pcm16`: linear; `g711`: exactly as received where both sides use the same law."""
    legs: Legs = Legs.ONE
    """`one`: of a call seen on both sides of a PBX, the leg nearest to the contracted line; `all`: every leg."""
    linger_s: Seconds = 0.5
    """How long after its end a call still takes packets."""
    late_s: Seconds = 5.0
    """How long after its end a part still takes packets."""
    media_timeout_s: Annotated[float, Meta(ge=30, le=86_400)] = 120.0
    """An answered call whose BYE is missing ends after this long without media, unless it is on hold."""
    mask_dtmf: bool = False
    """Pressed keys are shown as `x`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`[[enterprise.lines]]`: one contracted line."""

    number: Number
    """Its number, in any notation."""
    record: bool = True
    """Recording is switched on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterpriseRules:
    """`[enterprise.rules]`: what is recorded beyond the fixed rules."""

    allow_00: tuple[Prefix, ...] = ()
    """Beginnings of dialled numbers that are recorded although they begin with 00."""
    unsignalled: bool = False
    """Media that no signalling announces is recorded too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterpriseTable:
    """`[[enterprise]]`: the lines under one enterprise ID."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    """Enterprise ID."""
    lines: tuple[Line, ...] = ()
    """Contracted lines."""
    rules: EnterpriseRules = field(default_factory=EnterpriseRules)
    """Further rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """`[storage]`: where recordings go."""

    archive: str = ""
    """Directory of the archive."""
    journal_max_age_h: Annotated[float, Meta(ge=1, le=8760)] = 24.0
    """The journal forgets what is older, even if it is still needed."""
    journal_max_bytes: Annotated[int, Meta(ge=1 << 30)] = 64 << 30
    """Likewise of what is more."""
    reserve_bytes: Annotated[int, Meta(ge=0)] = 1 << 30
    """With less free room than this no new recording is begun; calls in progress are finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The whole file."""

    site: Site = field(default_factory=Site)
    span: tuple[Span, ...] = ()
    recording: Recording = field(default_factory=Recording)
    enterprise: tuple[EnterpriseTable, ...] = ()
    storage: Storage = field(default_factory=Storage)
    digest: str | None = field(default=None, metadata=NOT_IN_FILE)
    """SHA-256 of the text; null without a file."""
    text: bytes | None = field(default=None, repr=False, metadata=NOT_IN_FILE)
    """The text as it is in the file; None without one."""

    @property
    def sip_ports(self) -> frozenset[int]:
        """All ports that carry SIP."""
        return frozenset(port for span in self.span for port in span.sip_ports) | frozenset(SIP_PORTS)

    def assembly(
        self, *, record: Record | None, form: Form | None, software: str, source: Source = Source.IMPORT
    ) -> AssemblySettings:
        """Return what assembly is to know; `record` and `form` from the command line go first."""
        recording = self.recording
        has_lines = any(enterprise.lines for enterprise in self.enterprise)
        return AssemblySettings(
            record=record or (Record.RULES if has_lines else Record.ALL),
            enterprises=tuple(_enterprise(table) for table in self.enterprise),
            legs=recording.legs,
            form=form or recording.form,
            pcm=recording.pcm,
            segment_s=recording.segment_s,
            linger_ns=round(recording.linger_s * NS),
            late_ns=round(recording.late_s * NS),
            media_timeout_ns=round(recording.media_timeout_s * NS),
            mask_dtmf=recording.mask_dtmf,
            zone=ZoneInfo(self.site.time_zone),
            software=software,
            config_digest=self.digest,
            source=source,
            sip_ports=self.sip_ports,
        )


def _enterprise(table: EnterpriseTable) -> Enterprise:
    return Enterprise(
        id=table.id,
        lines=tuple(LineRule(number=line.number, record=line.record) for line in table.lines),
        allow_00=table.rules.allow_00,
        unsignalled=table.rules.unsignalled,
    )


def read(path: Path) -> Configuration:
    """Read and validate a configuration file.

    Raises:
        ConfigurationError: every problem with its key path, one a line.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    try:
        tree = tomllib.loads(raw.decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not TOML: {' '.join(str(error).split())}") from error
    configuration, problems = parse(tree)
    if configuration is None:
        raise ConfigurationError("\n".join(f"{path}: {problem}" for problem in problems))
    return dataclasses.replace(configuration, digest=hashlib.sha256(raw).hexdigest(), text=raw)


def parse(tree: dict[str, Any]) -> tuple[Configuration | None, list[str]]:
    """Validate a parsed TOML tree: the configuration, or None and every problem."""
    configuration, problems = build(tree, Configuration)
    problems += repeated(tree, "span", "interface")
    problems += repeated(tree, "enterprise", "id")
    problems += repeated(tree, "enterprise", "lines", "number", form=canonical)
    return (None if problems else configuration), problems

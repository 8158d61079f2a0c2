"""What a verdict consists of: findings with their domains, confidence and evidence, and what was held back. Pure."""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from appliance.diagnosis import domains as of_domains
from appliance.diagnosis.domains import Domain, Domains
from appliance.diagnosis.evidence import Cause, Check, Point, State, Step, Window


class Row(StrEnum):
    """What was recognised: one for each row of the fault matrix, and one for each rung of the ladder that failed."""

    POWER_LOW = "power_low"
    DISK_FAILING = "disk_failing"
    DISK_UNUSABLE = "disk_unusable"
    DISK_DIFFERS = "disk_differs"
    MEMORY_LOW = "memory_low"
    TOO_HOT = "too_hot"
    CLOCK_WRONG = "clock_wrong"
    CERTIFICATE_EXPIRED = "certificate_expired"
    INTERFACE_MISSING = "interface_missing"
    NO_ADDRESS = "no_address"
    RECORDER_STOPPED = "recorder_stopped"
    PIPELINE_FAILED = "pipeline_failed"
    OVERLOAD = "overload"
    SPAN_IN_MANAGEMENT = "span_in_management"
    SPAN_LINK_DOWN = "span_link_down"
    NO_FRAMES = "no_frames"
    ONLY_GROUP = "only_group"
    ONE_DIRECTION = "one_direction"
    OVERSUBSCRIBED = "oversubscribed"
    DOUBLED = "doubled"
    VLAN_MISSING = "vlan_missing"
    MEDIA_BYPASSES = "media_bypasses"
    MANAGEMENT_DOWN = "management_down"
    LINE_ERRORS = "line_errors"
    DNS_GONE = "dns_gone"
    NO_MEDIA = "no_media"
    LAN_SILENT = "lan_silent"
    NAT_IN_SDP = "nat_in_sdp"
    GAPS_FROM_LAN = "gaps_from_lan"
    LOSS_TOWARDS_LAN = "loss_towards_lan"
    LAN_UNANSWERED = "lan_unanswered"
    LAN_ERROR = "lan_error"
    LAN_NOT_REACHED = "lan_not_reached"
    LAN_REFUSES = "lan_refuses"
    EQUAL_DURATIONS = "equal_durations"
    DEAD_AIR = "dead_air"
    ARP_UNANSWERED = "arp_unanswered"
    NO_ACK = "no_ack"
    NEXT_HOP_GONE = "next_hop_gone"
    REFUSED = "refused"
    CARRIER_GONE = "carrier_gone"
    UNANSWERED = "unanswered"
    VPN_SILENT = "vpn_silent"
    GAPS_FROM_VPN = "gaps_from_vpn"
    LOSS_TOWARDS_VPN = "loss_towards_vpn"
    SERVER_ERROR = "server_error"
    NOT_REACHED = "not_reached"
    REMARKED = "remarked"
    SENDER_CLOCK = "sender_clock"
    GAPS_TOGETHER = "gaps_together"
    ONE_WAY_UNPLACED = "one_way_unplaced"
    UNANSWERED_UNPLACED = "unanswered_unplaced"
    BROKER_GONE = "broker_gone"
    UPLOAD_GONE = "upload_gone"


class Basis(StrEnum):
    """What a finding rests on, which decides what can cast doubt on it."""

    CHECK = "check"
    """A probe or self-test."""
    PORT = "port"
    """A port's link and counters."""
    WIRE = "wire"
    """Packets that were captured, and above all packets that were not."""


class Confidence(IntEnum):
    """How sure a finding is."""

    LOW = 1
    """A suspect."""
    MEDIUM = 2
    HIGH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One number that a finding rests on."""

    name: str
    """What: a word of `figures.FIGURES`."""
    count: float
    """How much."""
    of: float | None = None
    """Of how many; None where that means nothing."""
    unit: str = ""
    """Unit of both; empty for plain counts."""
    point: Point
    """Where it was measured."""
    window: Window = field(default_factory=Window)
    """When."""
    subject: str = ""
    """Interface or address concerned. Of a carrier it is confidential."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong, and whose it is."""

    row: Row
    """What was recognised; `texts` has its words and the next action."""
    domains: Domains
    """Who has to act; empty: not observable from here."""
    confidence: Confidence
    """How sure it is."""
    basis: Basis
    """What it rests on."""
    evidence: tuple[Fact, ...]
    """The numbers."""
    step: Step | None
    """The rung of the ladder that it fails; None: a warning that fails none."""
    cause: Cause = Cause.NONE
    """What the check said, where it rests on one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """A suspicion that is not spoken, because something nearer is in doubt."""

    finding: Finding
    """What it would have been."""
    steps: tuple[Step, ...] = ()
    """Rungs on our own side that fail or are unknown."""
    rows: tuple[Row, ...] = ()
    """Findings that cast doubt on its evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One rung of the ladder with everything that was tried on it."""

    step: Step
    """Which."""
    state: State
    """What it came to."""
    checks: tuple[Check, ...] = ()
    """What was tried; empty where ports or the mirror tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer: what is wrong, most important first, and whose it is."""

    at_ns: int
    """When the evidence was complete, nanoseconds since 1970."""
    software: str
    """Version of the product."""
    findings: tuple[Finding, ...]
    """Ranked; empty: nothing was found wrong."""
    withheld: tuple[Withheld, ...]
    """Suspicions that are not spoken, and why."""
    ladder: tuple[Rung, ...]
    """Every rung, bottom up."""

    @property
    def domains(self) -> Domains:
        """Of the finding that ranks first; empty without findings or when it cannot be observed."""
        return self.findings[0].domains if self.findings else ()

    @property
    def named(self) -> frozenset[Domain]:
        """Everybody who is named anywhere."""
        return frozenset(domain for finding in self.findings for domain in finding.domains)

    @property
    def exit_code(self) -> int:
        """0 when nothing is wrong, else the code of the first finding; withheld suspicions alone are not observable."""
        if not self.findings and not self.withheld:
            return 0
        return of_domains.exit_code(self.domains)

"""What was observed, and where: all that a verdict is made of. Plain frozen records, JSON by msgspec. Pure.

Two kinds. A `Check` is one rung of the ladder that was tried (probes, self-tests). `Wire` is what the mirror showed
within a window: ports, signalling, calls and media, each with counts. What was not looked at is None or absent, which
is never the same as zero.

Directions are those of the mirror: `from_lan` left the customer's side, `from_vpn` entered from beyond the VPN router,
`unplaced` could not be told. No record holds a caller's number.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """What a check came to."""

    OK = "ok"
    NG = "ng"
    UNKNOWN = "unknown"
    """It can be observed on this box, and was not, or the answer said nothing."""
    NOT_OBSERVABLE = "not_observable"
    """This box cannot observe it, or is not asked to, and says so: a virtual machine has no SMART."""


class Step(StrEnum):
    """The rungs of the ladder, bottom up."""

    POWER = "power"
    SMART = "smart"
    FILESYSTEM = "filesystem"
    MEMORY = "memory"
    TEMPERATURE = "temperature"
    CLOCK = "clock"
    CERTIFICATES = "certificates"
    MANAGEMENT_LINK = "management_link"
    GATEWAY = "gateway"
    DNS = "dns"
    VPN_NEXT_HOP = "vpn_next_hop"
    CARRIER = "carrier"
    SPAN_LINK = "span_link"
    FRAMES = "frames"
    CAPTURE = "capture"
    """Nothing was dropped between the port and the journal."""
    BOTH_DIRECTIONS = "both_directions"
    SIP = "sip"
    RTP = "rtp"
    PIPELINE = "pipeline"
    """A known capture through the real pipeline, known audio out."""
    DISK_WRITE = "disk_write"
    """Write, fsync, read back, hash."""
    BROKER = "broker"
    UPLOAD = "upload"


OWN_SIDE = (
    Step.POWER,
    Step.SMART,
    Step.FILESYSTEM,
    Step.MEMORY,
    Step.TEMPERATURE,
    Step.CLOCK,
    Step.CERTIFICATES,
    Step.MANAGEMENT_LINK,
    Step.GATEWAY,
    Step.SPAN_LINK,
    Step.FRAMES,
    Step.CAPTURE,
    Step.BOTH_DIRECTIONS,
    Step.PIPELINE,
    Step.DISK_WRITE,
)
"""Checks on our own side: while one of them fails, or is unknown, neither VPN nor carrier is named."""


class Cause(StrEnum):
    """Why a check is not OK, as far as it tells."""

    NONE = ""
    LINK_DOWN = "link_down"
    INTERFACE_MISSING = "interface_missing"
    ARP_UNANSWERED = "arp_unanswered"
    NO_ROUTE = "no_route"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    NAME_UNKNOWN = "name_unknown"
    TLS_EXPIRED = "tls_expired"
    TLS_REFUSED = "tls_refused"
    EXPIRED = "expired"
    EXPIRES_SOON = "expires_soon"
    UNREADABLE = "unreadable"
    NOT_SYNCHRONISED = "not_synchronised"
    STEPPED = "stepped"
    FULL = "full"
    READ_ONLY = "read_only"
    NOT_MOUNTED = "not_mounted"
    FAILING = "failing"
    SLOW = "slow"
    DIFFERS = "differs"
    LOW = "low"
    HOT = "hot"
    UNDER_VOLTAGE = "under_voltage"
    DROPS = "drops"
    NOT_RUNNING = "not_running"
    OVERDUE = "overdue"
    NOT_PERMITTED = "not_permitted"
    NOT_CONFIGURED = "not_configured"
    NO_TRAFFIC = "no_traffic"


class Point(StrEnum):
    """Where something was measured."""

    APPLIANCE = "appliance"
    MANAGEMENT = "management"
    SPAN = "span"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """An interval of real time."""

    begin_ns: int = 0
    """Nanoseconds since 1970."""
    end_ns: int = 0
    """As above; the moment itself when something was measured once."""

    @property
    def length_s(self) -> float:
        """Its length."""
        return (self.end_ns - self.begin_ns) / 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number of a check."""

    name: str
    """What: a word of `figures.FIGURES`."""
    value: float
    """How much."""
    of: float | None = None
    """Of how many; None where that means nothing."""
    unit: str = ""
    """`ms`, `bytes`, `days` ...; empty for plain counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One rung of the ladder, tried at one target."""

    step: Step
    """Which."""
    state: State
    """What it came to."""
    cause: Cause = Cause.NONE
    """Why it is not OK."""
    target: str = ""
    """Interface, address or path that was tried. Of a carrier it is confidential."""
    is_on_link: bool | None = None
    """Whether the target is on the management port's own network; None where that means nothing."""
    figures: tuple[Figure, ...] = ()
    """What was measured."""
    window: Window = field(default_factory=Window)
    """When."""


class Role(StrEnum):
    """What a port is for."""

    SPAN = "span"
    MANAGEMENT = "management"


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One network port over a window: link, and what its counters rose by."""

    name: str
    """Name of the interface."""
    role: Role
    """What it is for."""
    link_up: bool | None = None
    """Whether there is a carrier."""
    speed_mbps: int | None = None
    """Speed of the link."""
    full_duplex: bool | None = None
    """Whether both ends may send at once."""
    received: int | None = None
    """Frames received, by the adapter's count."""
    received_bytes: int | None = None
    """Their bytes."""
    sent: int | None = None
    """Frames sent since the interface appeared: a mirror port never sends."""
    peak_bps: float | None = None
    """Most bits a second within the window."""
    silent_s: float | None = None
    """For how long no frame at all has come; 0 when one came a moment ago."""
    no_unicast_s: float | None = None
    """For how long no frame to one station has come."""
    usual_silence_s: float = 0.0
    """Longest time without any frame after which one came: at night that may be minutes."""
    usual_no_unicast_s: float = 0.0
    """The same, without a frame to one station."""
    group: int | None = None
    """Frames to a group or to everybody while there were no others."""
    foreign: int | None = None
    """Frames to one station other than this box, where they can be counted."""
    kernel_drops: int | None = None
    """Packets for which the ring had no room."""
    nic_drops: int | None = None
    """Frames for which the adapter had no room."""
    crc_errors: int | None = None
    """Frames with a wrong checksum."""
    alignment_errors: int | None = None
    """Frames out of alignment."""
    window: Window = field(default_factory=Window)
    """When."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversations:
    """Pairs of addresses that spoke with each other."""

    pairs: int = 0
    """Pairs with enough frames to tell."""
    one_way: int = 0
    """Of those, seen in one direction only."""
    packets: int = 0
    """Packets of all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """Final responses of one kind to initial requests."""

    status: int
    """Status code."""
    from_lan: bool | None
    """Whether the customer's side answered; None when that cannot be told."""
    count: int
    """Responses, one for each transaction."""
    callees: int
    """Different destinations among them, counted without being kept."""
    servers: tuple[str, ...] = ()
    """Server or User-Agent of those who answered. Of a carrier it is confidential."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SipSeen:
    """Signalling that the mirror showed."""

    window: Window = field(default_factory=Window)
    """When."""
    messages: int = 0
    """Requests and responses."""
    from_lan: int = 0
    """Of those, from the customer's side."""
    from_vpn: int = 0
    """Of those, from beyond."""
    vlans: tuple[int, ...] = ()
    """VLANs that they came on; 0: untagged."""
    conversations: Conversations = field(default_factory=Conversations)
    """Address pairs."""
    finals: tuple[Final, ...] = ()
    """Final responses to initial INVITEs, 401 and 407 left out; also 403 to REGISTER."""
    invites_out: int = 0
    """Initial INVITEs to beyond that are answered, or old enough to be."""
    unanswered_out: int = 0
    """Of those, repeated and nothing back within 32 s."""
    invites_in: int = 0
    """As `invites_out`, from beyond."""
    unanswered_in: int = 0
    """Of those, repeated and nothing back within 32 s."""
    unanswered_unplaced: int = 0
    """Repeated, nothing back, and it cannot be told which way they went."""
    challenge_loops_out: int = 0
    """Requests to beyond that were challenged (401, 407) again and again although they had credentials."""
    challenge_loops_in: int = 0
    """As above, to the customer's side."""
    unacknowledged: int = 0
    """2xx to an INVITE that were repeated with no ACK."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsSeen:
    """Answered calls that the mirror showed, by their media."""

    window: Window = field(default_factory=Window)
    """When."""
    answered: int = 0
    """Calls answered long enough ago for media to have come, none on hold."""
    silent_short: int = 0
    """No RTP either way, and a BYE within seconds."""
    silent_long: int = 0
    """No RTP either way, and the call lasted as calls do."""
    lan_missing: int = 0
    """RTP from beyond only."""
    vpn_missing: int = 0
    """RTP from the customer's side only."""
    vlan_apart: int = 0
    """RTP one way only, and on another VLAN than the call's signalling: there may be a third one."""
    nowhere: int = 0
    """Of one-way calls, those whose customer's side announced an address that its media does not come from (NAT)."""
    one_way_unplaced: int = 0
    """RTP one way only, and it cannot be told which side is missing."""
    durations_s: tuple[float, ...] = ()
    """Answer to end of calls that are over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderClock:
    """One sender's RTP clock against ours."""

    sender: str
    """Its address."""
    ppm: float
    """How much it is fast."""
    span_s: float
    """Over how long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """RTP in one direction."""

    streams: int = 0
    """Streams."""
    packets: int = 0
    """Distinct packets."""
    expected: int = 0
    """What their sequence numbers say was sent."""
    lost: int = 0
    """Absent from all copies, the recorder's own losses included."""
    doubled: int = 0
    """Packets of which a copy came within about 1 ms."""
    vlans: tuple[int, ...] = ()
    """VLANs that they came on; 0: untagged."""
    ef: int = 0
    """Packets marked DSCP EF (46)."""
    best_effort: int = 0
    """Packets marked DSCP 0."""
    jitter_ms: float | None = None
    """Interarrival jitter, the median over streams (RFC 3550)."""
    gap_bins: int = 0
    """Bins of 20 ms with something missing."""
    constant: int = 0
    """Streams that were one octet all the time: digital silence."""
    reported: int = 0
    """Packets about which receivers reported by RTCP."""
    reported_lost: int = 0
    """Of those, lost by the receivers' count."""
    reporters: int = 0
    """Receivers that reported."""
    clocks: tuple[SenderClock, ...] = ()
    """Senders' clocks, where they were measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSeen:
    """RTP that the mirror showed."""

    window: Window = field(default_factory=Window)
    """When."""
    from_lan: Leg = field(default_factory=Leg)
    """Left the customer's side."""
    from_vpn: Leg = field(default_factory=Leg)
    """Entered from beyond."""
    unplaced: Leg = field(default_factory=Leg)
    """It cannot be told which."""
    bins: int = 0
    """Bins of 20 ms in the window."""
    shared_bins: int = 0
    """Bins in which something is missing both ways."""
    conversations: Conversations = field(default_factory=Conversations)
    """Address pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArpSeen:
    """Address resolution that the mirror showed, for addresses that were asked for again and again."""

    window: Window = field(default_factory=Window)
    """When."""
    asked: int = 0
    """Addresses asked for repeatedly."""
    unanswered: int = 0
    """Of those, the configured gateway or VPN next hop, never answering and never heard of otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """What the mirror showed."""

    sip: SipSeen = field(default_factory=SipSeen)
    """Signalling."""
    calls: CallsSeen = field(default_factory=CallsSeen)
    """Calls."""
    media: MediaSeen = field(default_factory=MediaSeen)
    """RTP."""
    arp: ArpSeen | None = None
    """Address resolution; None where it was not looked at."""
    last_from_vpn_ns: int = 0
    """Real time of the latest packet from beyond; 0: none was heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything known at one moment."""

    at_ns: int
    """When it was complete, nanoseconds since 1970."""
    software: str
    """Version of the product."""
    checks: tuple[Check, ...] = ()
    """The ladder's rungs, in any order."""
    ports: tuple[Port, ...] = ()
    """Mirror ports and the management port."""
    wire: Wire | None = None
    """What the mirror showed; None: nobody looked, or what was seen is too old."""

"""One SIP call as a record: what its signalling has told so far, on every hop and in every fork.

Plain slots dataclasses of text, numbers, bytes, lists and dictionaries, so that the table of calls goes into a snapshot
and comes back equal. Nothing here reads a message: `callstate` advances a call, `offeranswer` follows its media.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b

from capture.endpoint import Endpoint

MAX_TEXT = 256
"""Longest number, name, URI or token that is kept as it came."""

NOWHERE = Endpoint(b"", 0)
"""No address."""


class Side(StrEnum):
    """Who spoke: the party that sent the initial INVITE, or the one that was called."""

    CALLER = "caller"
    CALLEE = "callee"

    @property
    def other(self) -> "Side":
        """The opposite side."""
        return Side.CALLEE if self is Side.CALLER else Side.CALLER


class CallState(StrEnum):
    """States of a call; the table of transitions is in `callstate`."""

    TRYING = "trying"
    RINGING = "ringing"
    ANSWERED = "answered"
    ENDED = "ended"
    FAILED = "failed"


class EndCause(StrEnum):
    """Why a call is over."""

    BYE = "bye"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    NO_ANSWER = "no_answer"
    SESSION_EXPIRED = "session_expired"
    MEDIA_TIMEOUT = "media_timeout"
    CAPTURE_ENDED = "capture_ended"


class Outcome(StrEnum):
    """What became of an offer."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(slots=True, kw_only=True)
class Party:
    """One party as From or To names it."""

    number: str = ""
    """User part of the URI, unescaped."""
    display: str = ""
    """Display name."""
    uri: str = ""
    """URI as written."""


@dataclass(slots=True, kw_only=True)
class MediaEpoch:
    """What one side said about one m-line, from `ts_ns` on. Two hops that differ give two epochs of one transaction."""

    ts_ns: int
    """Packet time of the message."""
    side: Side
    """The side that wants to receive here."""
    m_line: int
    """Number of the m-line, from 0; it never changes in a dialog (RFC 3264 section 8)."""
    media: str
    """`audio`, `video`, `image` ..."""
    ip: bytes | None
    """Packed address to receive at; None when the description gives none or a name."""
    port: int
    """RTP port to receive at; 0 refuses the stream."""
    rtcp_port: int
    """RTCP port: announced, equal to `port` under rtcp-mux, else `port` + 1; 0 for a refused stream."""
    direction: str
    """`sendrecv`, `sendonly`, `recvonly` or `inactive`, from the side's own view."""
    protocol: str
    """`RTP/AVP`, `RTP/SAVP`, `udptl` ..."""
    codecs: dict[int, str]
    """Payload type to codec; `PCMU` and `PCMA` mean 8000 Hz mono, other rates are named `PCMU/16000`."""
    ptime_ms: int | None
    """Packet time asked for."""
    crypto: list[tuple[int, str, bytes]]
    """SDES keys (RFC 4568): tag, suite, key and salt."""
    secured: str
    """Keying of SRTP: `sdes`, `dtls`, `zrtp`, `unknown` (SAVP without any), "" for plain RTP."""
    to_tag: str
    """Callee's tag of the dialog in which it was said; "" for the offer of the initial INVITE."""
    provisional: bool
    """First said in a 1xx response, so before the answer; a 2xx that says the same again adds no epoch."""
    transaction: str
    """The exchange that carried it, as in `Exchange.transaction`."""


@dataclass(slots=True, kw_only=True)
class Hold:
    """An interval in which one side had put the other on hold."""

    start_ns: int
    """When the offer was accepted."""
    end_ns: int | None
    """When it was taken back, or the call ended; None while it lasts."""
    by: Side
    """The side that stopped listening."""


@dataclass(slots=True, kw_only=True)
class Refer:
    """A REFER (RFC 3515): one side asked the other to call somebody."""

    ts_ns: int
    """Packet time of the request."""
    by: Side
    """The side that transfers."""
    target: str
    """User part of Refer-To."""
    replaces: str
    """Call-ID of the Replaces header inside Refer-To (attended transfer), "" without."""


@dataclass(slots=True, kw_only=True)
class Exchange:
    """A transaction that can carry an offer and an answer: INVITE with its ACK, UPDATE, or PRACK."""

    requester: Side
    """Who sent the request."""
    cseq: int
    """Its sequence number in the requester's space."""
    method: str
    """INVITE, UPDATE or PRACK."""
    early: bool
    """It began before the call was answered."""
    outcome: Outcome = Outcome.OPEN
    """Accepted by a 2xx, or rejected."""
    offer_by: Side | None = None
    """Who made the offer; None while no description was seen."""
    offer: str = ""
    """Direction of the offered audio, "" when there is none."""
    answer: str = ""
    """Direction of the answered audio, "" when there is none."""
    reviewed: bool = False
    """Its effect on hold has been taken into account."""
    digests: list[bytes] = field(default_factory=list)
    """Digests of the descriptions already heard."""
    branches: list[str] = field(default_factory=list)
    """Via branches of the request, one for each hop: an ACK with one of them acknowledges a failure."""
    failed_tags: list[str] = field(default_factory=list)
    """To tags of failure responses."""

    @property
    def transaction(self) -> str:
        """Name of the exchange, unique in the call: `caller 102 INVITE`."""
        return f"{self.requester} {self.cseq} {self.method}"


@dataclass(slots=True, kw_only=True)
class Negotiation:
    """Bookkeeping of offers and answers, so that nothing counts twice, however often and late it is seen."""

    exchanges: dict[str, Exchange] = field(default_factory=dict)
    """Latest exchanges by `Exchange.transaction`, oldest first, bounded."""
    forgotten_cseq: dict[Side, int] = field(default_factory=dict)
    """Highest sequence number of each side whose exchange was dropped; unknown ones up to it are stale."""
    initial: dict[Side, str] = field(default_factory=dict)
    """Audio direction each side had agreed to at the answer: hold is a change against it."""
    counted_cseq: dict[Side, list[int]] = field(default_factory=dict)
    """Latest sequence numbers of INFO and REFER of each side, ascending, bounded."""


@dataclass(slots=True, kw_only=True)
class Failure:
    """A failure that is not final yet: a retry may come, or another fork may answer."""

    ts_ns: int
    """Packet time of the response or CANCEL."""
    status: int | None
    """Status code; None when it was inferred from CANCEL or ACK."""
    cause: EndCause
    """CANCELLED or REJECTED."""
    retry_awaited: bool
    """The caller itself was told: without a retry within 32 s (timer B) the call has failed."""


@dataclass(slots=True, kw_only=True)
class SipCall:
    """One call: initial INVITE (Call-ID, From tag) with its retries, forks and hops, and the dialog it made."""

    call_id: str
    """Call-ID; a digest stands for the tail of a very long one."""
    from_tag: str
    """From tag of the initial INVITE; of the first message seen when `joined_late`."""
    first_ns: int
    """Packet time of the first message."""
    last_ns: int
    """Packet time of the latest message that counted."""
    invite_source: Endpoint
    """Sender of the first message that went from caller to callee."""
    invite_destination: Endpoint
    """Its receiver."""
    hops: list[tuple[Endpoint, Endpoint]] = field(default_factory=list)
    """Distinct (source, destination) pairs that carried the initial INVITE, in order of sight."""
    transport: str = ""
    """Transport of the first message: `udp` or `tcp`."""
    caller: Party = field(default_factory=Party)
    """From of the initial INVITE."""
    callee: Party = field(default_factory=Party)
    """To of the initial INVITE."""
    dialled: str = ""
    """User part of the first INVITE's Request-URI."""
    asserted: list[str] = field(default_factory=list)
    """Numbers of P-Asserted-Identity (RFC 3325), else of Remote-Party-ID, in the initial INVITE."""
    diversion: list[str] = field(default_factory=list)
    """Numbers of Diversion (RFC 5806), latest diversion first."""
    history: list[str] = field(default_factory=list)
    """Numbers of History-Info (RFC 7044)."""
    privacy: bool = False
    """The caller asked for privacy (RFC 3323), or From is anonymous."""
    user_agents: list[str] = field(default_factory=list)
    """Distinct User-Agent and Server values."""

    state: CallState = CallState.TRYING
    """State by the latest message."""
    attempt_cseq: int = -1
    """Sequence number of the latest initial INVITE; -1 while none was seen."""
    attempt_source: Endpoint = NOWHERE
    """Who sent it first: responses to this address reach the caller."""
    failure: Failure | None = None
    """A failure that is not final yet."""
    ringing_ns: int | None = None
    """First 18x response."""
    answered_ns: int | None = None
    """First 2xx response to the initial INVITE, or the first evidence of it."""
    answer_seen: bool = False
    """The 2xx itself was seen; without it `answered_ns` may be late."""
    acked_ns: int | None = None
    """First ACK of the answer: the caller knows of it."""
    ended_ns: int | None = None
    """End of the call."""
    end_cause: EndCause | None = None
    """Why it ended."""
    ended_by: Side | None = None
    """Who ended it; None for timers."""
    final_status: int | None = None
    """Status code of the final response to the initial INVITE."""
    bye_seen: bool = False
    """A BYE of the winning dialog, or its response, was seen."""
    joined_late: bool = False
    """The recorder came in mid-dialog: no initial INVITE was seen, and who is caller is a guess."""
    winning_tag: str = ""
    """Callee's tag of the dialog that was answered."""
    answered_tags: list[str] = field(default_factory=list)
    """Callee's tags of all answered forks."""
    closed_tags: list[str] = field(default_factory=list)
    """Callee's tags of the forks that had a BYE."""
    session_expires_s: int | None = None
    """Session interval agreed to (RFC 4028)."""
    refreshed_ns: int = 0
    """Latest message of the answered dialog."""

    media: list[MediaEpoch] = field(default_factory=list)
    """What each side said about its media, in order of sight; rejected offers are withdrawn."""
    holds: list[Hold] = field(default_factory=list)
    """Negotiated hold after the answer."""
    negotiation: Negotiation = field(default_factory=Negotiation)
    """Bookkeeping of offers and answers."""

    replaces: str = ""
    """Call-ID of the call that this one replaces (RFC 3891)."""
    replaces_tags: list[str] = field(default_factory=list)
    """to-tag and from-tag of Replaces."""
    transferred_from: str = ""
    """Call-ID of the dialog whose REFER led to this call."""
    refers: list[Refer] = field(default_factory=list)
    """REFER requests in this call."""
    dtmf_info: list[tuple[int, Side, str]] = field(default_factory=list)
    """Digits sent by SIP INFO: (packet time ns, side, digit)."""
    malformed_sdp: int = 0
    """Session descriptions that could not be read."""
    overflow: int = 0
    """Entries left out because a list of this call was full."""

    @property
    def key(self) -> str:
        """Key in the table of calls."""
        return call_key(self.call_id, self.from_tag)

    @property
    def is_over(self) -> bool:
        """The call has ended or failed."""
        return self.state in (CallState.ENDED, CallState.FAILED)

    def held_at(self, ns: int) -> bool:
        """Whether either side had put the other on hold at this packet time."""
        return any(hold.start_ns <= ns and (hold.end_ns is None or ns < hold.end_ns) for hold in self.holds)

    def end(self, ns: int, cause: EndCause, by: Side | None = None) -> None:
        """Ends the call at this packet time; open holds end with it."""
        self.state = CallState.ENDED
        self.ended_ns, self.end_cause, self.ended_by = ns, cause, by
        for hold in self.holds:
            if hold.end_ns is None:
                hold.end_ns = max(ns, hold.start_ns)

    def go_on(self, ns: int) -> None:
        """Takes back an end that was inferred: something of the call was seen at `ns`."""
        for hold in self.holds:
            if hold.end_ns == self.ended_ns:
                hold.end_ns = None
        self.state = CallState.ANSWERED
        self.ended_ns, self.end_cause, self.ended_by = None, None, None
        self.refreshed_ns = ns


def call_key(call_id: str, from_tag: str) -> str:
    """Key of a call in the table."""
    return f"{call_id}\x1f{from_tag}"


def bounded_token(token: str) -> str:
    """A Call-ID or tag to be kept: itself, or its beginning and a digest when it is longer than anything sane."""
    if len(token) <= MAX_TEXT:
        return token
    return f"{token[:MAX_TEXT]}~{blake2b(token.encode('utf-8', 'replace'), digest_size=16).hexdigest()}"

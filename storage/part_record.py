"""One part of a recording: `call.json`, schema `rokubox.part/1` (`schema/part-1.schema.json` is made from this).

It says what was known when the part was cut. All counts and positions are for this part. Pure.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from storage.records import Clock, Dtmf, Hold, Links, Party, Sip
from storage.vocabulary import (
    SAMPLE_RATE_HZ,
    Address,
    CallId,
    Count,
    Direction,
    Duration,
    FillCause,
    Flag,
    Form,
    Law,
    Mos,
    PartNumber,
    PayloadType,
    Pcm,
    Sha256,
    Share,
    Side,
    Source,
    Ssrc,
    Timestamp,
)


class Fill(NamedTuple):
    """A stretch of a stream in which nothing arrived: `[first_sample, samples, cause]`."""

    first_sample: Count
    """Position in this WAV."""
    samples: Count
    """Extent."""
    cause: FillCause
    """Why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRecord:
    """An RTP stream's share of one part. All counts are for this part."""

    ssrc: Ssrc
    """Synchronisation source, `0x%08x`."""
    source: Address
    """Sender, `a.b.c.d:p` or `[v6]:p`."""
    destination: Address
    """Receiver."""
    payload_type: PayloadType
    """RTP payload type of the speech."""
    codec: str
    """RTP encoding name (RFC 3551)."""
    decrypted: bool
    """Whether it was SRTP with keys in the signalling (RFC 4568)."""
    first_sample: Count
    """Position of its first sample in this WAV."""
    samples: Count
    """Extent in this WAV, gaps included."""
    packets: Count
    """Distinct packets used."""
    lost: Count
    """Packets absent from all copies, that the network lost."""
    capture_lost: Count
    """Packets missing within a restart, drop or freeze of the recorder."""
    duplicates: Count
    """Copies of packets already counted, dropped."""
    reordered: Count
    """Packets that came after a later one; they are in their place."""
    too_late: Count
    """Packets left out because their part was closed."""
    jitter_ms: Duration
    """Interarrival jitter at the end of the part (RFC 3550 section 6.4.1)."""
    jitter_max_ms: Duration
    """Its greatest value."""
    longest_gap_ms: Duration
    """Longest stretch of missing packets."""
    drift_ppm: float | None
    """Sender's clock against the recorder's, positive when the sender is fast; null under 60 s."""
    mos: Mos | None
    """Listening quality at the mirror with concealment (ITU-T G.107, Bpl 25.1); null without packets."""
    mos_unconcealed: Mos | None
    """The same without concealment (Bpl 4.3)."""
    silence_share: Share
    """Share of the samples that are silent."""
    clipping_share: Share
    """Share of the samples at the codec's greatest level."""
    rtcp_reported_loss: Count | None
    """Packets lost by the receiver's own count (RFC 3550 section 6.4.1); null without RTCP."""
    rtcp_clock_offset_ms: float | None
    """Sender's wall clock minus the recorder's by its last sender report; null without RTCP."""
    fill: tuple[Fill, ...]
    """Stretches in which nothing arrived, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One channel of the WAV."""

    side: Side
    """Whose speech it carries."""
    one_way: bool
    """Nothing arrived from this side while the other spoke."""
    streams: tuple[StreamRecord, ...]
    """Its RTP streams, in order of their first sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRecord:
    """`call.json`: one part of a recording, as known when it was cut."""

    schema: Literal["rokubox.part/1"] = "rokubox.part/1"
    """Name and version of this form."""
    software: str
    """What wrote it, with its version."""
    config_digest: Sha256 | None
    """SHA-256 of the configuration's text in force at the INVITE; null without a configuration."""
    source: Source
    """Where the packets came from."""
    call_id: CallId
    """The call's id; its first ten digits are in the file name."""
    part: PartNumber
    """Number of the part, from 1."""
    parts_so_far: PartNumber
    """Parts of the call that existed when this one was cut, itself included; final once `ended_at` is given."""
    clock: Clock
    """How far the times can be trusted."""
    started_at: Timestamp
    """First packet of the call: its INVITE, or its first medium when unsignalled."""
    answered_at: Timestamp | None
    """Answer; null when it was not seen or did not come."""
    ended_at: Timestamp | None
    """End of the call; null while it goes on."""
    origin_at: Timestamp
    """Instant of the call's sample 0."""
    first_sample: Count
    """Position of this part's first sample in the call."""
    samples: Count
    """Samples of this WAV, per channel."""
    sample_rate: Literal[8000] = SAMPLE_RATE_HZ
    """Samples per second."""
    form: Form
    """How the part is stored."""
    pcm: Pcm
    """What the samples are."""
    laws: tuple[Law, ...]
    """Companding laws the speech arrived in, in order of first use; exactly one for `pcm` = `g711`."""
    direction: Direction
    """Seen from the contracted line."""
    enterprise: str | None
    """Enterprise ID whose rules asked for the recording; null when none did."""
    line: str | None
    """The contracted line; null when none is concerned."""
    caller: Party
    """Channel 0, left."""
    callee: Party
    """Channel 1, right."""
    dialled: str
    """Number in the first Request-URI, empty when unsignalled."""
    asserted: tuple[str, ...]
    """P-Asserted-Identity values (RFC 3325)."""
    diversion: tuple[str, ...]
    """Diversion values (RFC 5806)."""
    privacy: bool
    """Whether the caller asked not to be shown (RFC 3323)."""
    sip: Sip | None
    """The signalling; null for an unsignalled medium."""
    links: Links
    """Earlier calls this one follows from."""
    holds: tuple[Hold, ...]
    """Holds within this part, in order."""
    dtmf: tuple[Dtmf, ...]
    """Keys pressed within this part, in order."""
    flags: tuple[Flag, ...]
    """What else is worth knowing, sorted."""
    channels: tuple[Channel, Channel]
    """Caller, then callee."""
    wav_sha256: Sha256
    """SHA-256 of the WAV as stored."""

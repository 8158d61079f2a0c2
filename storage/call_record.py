"""One call's account, schema `rokubox.call/1` (`schema/call-1.schema.json` is made from this). Pure."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from storage.records import Clock, Dtmf, Hold, Links, Party, Sip
from storage.vocabulary import (
    DECIDING_REASONS,
    Address,
    CallId,
    Count,
    Direction,
    Duration,
    EndCause,
    Flag,
    Mos,
    Outcome,
    PartName,
    PartNumber,
    PayloadType,
    Percent,
    Reason,
    Sha256,
    Share,
    Side,
    Source,
    Ssrc,
    Timestamp,
)


class TooLate(NamedTuple):
    """Packets of one stream that came after their place was closed: `[ssrc, packets, first_at, last_at]`."""

    ssrc: Ssrc
    """The stream."""
    packets: Count
    """How many were left out of the recording."""
    first_at: Timestamp
    """Capture time of the first."""
    last_at: Timestamp
    """Capture time of the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartEntry:
    """A call record's entry for one of its parts."""

    name: PartName
    """File name of the ZIP or WAV; its day folder follows from its first eight digits."""
    number: PartNumber
    """Number of the part, from 1."""
    wav_sha256: Sha256
    """SHA-256 of the WAV as stored."""
    call_json_sha256: Sha256
    """SHA-256 of `call.json` as stored."""
    first_sample: Count
    """Position of its first sample in the call."""
    samples: Count
    """Samples per channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SideSummary:
    """One side over the whole call."""

    side: Side
    """Which."""
    expected_samples: Count
    """Answer to end, less hold; 0 when no recording was wanted."""
    network_lost_samples: Count
    """Of those, lost in the network."""
    capture_lost_samples: Count
    """Of those, lost by the recorder."""
    packets: Count
    """Distinct packets used."""
    lost: Count
    """Packets lost in the network."""
    capture_lost: Count
    """Packets lost by the recorder."""
    duplicates: Count
    """Copies dropped."""
    reordered: Count
    """Packets that came after a later one."""
    too_late: Count
    """Packets left out."""
    jitter_max_ms: Duration
    """Greatest interarrival jitter of its streams."""
    longest_gap_ms: Duration
    """Longest stretch of missing packets."""
    mos: Mos | None
    """Listening quality with concealment, over the whole side; null without packets."""
    mos_unconcealed: Mos | None
    """The same without concealment."""
    silence_share: Share
    """Share of the samples that are silent."""
    clipping_share: Share
    """Share of the samples at the codec's greatest level."""
    one_way: bool
    """Nothing arrived from this side while the other spoke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnrecordedStream:
    """A medium of the call that is not in any of its parts."""

    side: Side | None
    """Who sent it; null when the signalling does not tell."""
    ssrc: Ssrc | None
    """Synchronisation source; null when it is not RTP."""
    source: Address
    """Sender."""
    destination: Address
    """Receiver."""
    payload_type: PayloadType | None
    """RTP payload type; null when it is not RTP."""
    codec: str
    """RTP encoding name, empty when unknown."""
    packets: Count
    """Packets seen."""
    first_at: Timestamp
    """Capture time of the first."""
    last_at: Timestamp
    """Capture time of the last."""
    reason: Reason
    """Why it is not recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call's account: outcome, reason, figures, parts. Written once, when the call has ended."""

    schema: Literal["rokubox.call/1"] = "rokubox.call/1"
    """Name and version of this form."""
    software: str
    """What wrote it, with its version."""
    config_digest: Sha256 | None
    """SHA-256 of the configuration's text in force at the INVITE; null without a configuration."""
    source: Source
    """Where the packets came from."""
    call_id: CallId
    """The call's id and this file's name."""
    outcome: Outcome
    """Whether the call is in the archive."""
    reasons: tuple[Reason, ...]
    """Why not, or not whole; the first decides. Empty exactly when `recorded`."""
    rule: str | None
    """The recording rule that decided, in words; null without rules."""
    end_cause: EndCause
    """What ended the call."""
    clock: Clock
    """How far the times can be trusted."""
    started_at: Timestamp
    """First packet of the call."""
    answered_at: Timestamp | None
    """Answer; null when it was not seen or did not come."""
    ended_at: Timestamp
    """End of the call."""
    origin_at: Timestamp | None
    """Instant of the call's sample 0; null when nothing was recorded."""
    duration_s: Duration
    """Answer to end (first medium to last when unsignalled); 0 when not answered."""
    expected_samples: Count
    """Sum over sides: answer to end, less hold; 0 when no recording was wanted."""
    network_lost_samples: Count
    """Of those, lost in the network."""
    capture_lost_samples: Count
    """Of those, lost by the recorder."""
    completeness: Percent | None
    """(expected - network loss - capture loss) / expected; null when nothing was expected."""
    capture_completeness: Percent | None
    """(expected - capture loss) / expected: what the recorder answers for."""
    direction: Direction
    """Seen from the contracted line."""
    enterprise: str | None
    """Enterprise ID of the line; null when none is concerned."""
    line: str | None
    """The contracted line; null when none is concerned."""
    caller: Party
    """Who called."""
    callee: Party
    """Who was called."""
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
    """Holds, in order."""
    dtmf: tuple[Dtmf, ...]
    """Keys pressed, in order."""
    codecs: tuple[str, ...]
    """RTP encoding names used or seen, in order of first use."""
    sides: tuple[SideSummary, SideSummary]
    """Caller, then callee."""
    parts: tuple[PartEntry, ...]
    """The recordings, in order."""
    unrecorded: tuple[UnrecordedStream, ...]
    """Media that are in no part."""
    too_late: tuple[TooLate, ...]
    """Packets that were left out, by stream."""
    flags: tuple[Flag, ...]
    """What else is worth knowing, sorted."""

    def __post_init__(self) -> None:
        """Raise ValueError when the first reason is none that can decide for the outcome."""
        deciding = self.reasons[0] if self.reasons else None
        if deciding not in (DECIDING_REASONS[self.outcome] or (None,)):
            raise ValueError(f"outcome {self.outcome} with reasons {', '.join(self.reasons) or 'none'}")

"""The closed sets and field types of `call.json` and the call record. Adding to one is a new version of its schema."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final

from msgspec import Meta

SAMPLE_RATE_HZ: Final = 8000

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
CallId = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
Timestamp = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{9}[+-][0-2][0-9]:[0-5][0-9]$",
        max_length=35,
    ),
]
Ssrc = Annotated[str, Meta(pattern="^0x[0-9a-f]{8}$", max_length=10)]
Address = Annotated[
    str, Meta(pattern=r"^(([0-9]{1,3}\.){3}[0-9]{1,3}|\[[0-9a-f:.]{2,45}\]):[0-9]{1,5}$", max_length=53)
]
PartName = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{8}T[0-9]{6}[+-][0-9]{4}_(in|out|int|unk)_[0-9A-Za-z+.-]{1,32}_[0-9A-Za-z+.-]{1,32}"
        r"_[0-9a-f]{10}_p[0-9]{2,9}\.(zip|wav)$",
        max_length=128,
    ),
]
Digit = Annotated[str, Meta(pattern="^[0-9A-D*#x]$", max_length=1)]
Count = Annotated[int, Meta(ge=0)]
PartNumber = Annotated[int, Meta(ge=1)]
PayloadType = Annotated[int, Meta(ge=0, le=127)]
SipStatus = Annotated[int, Meta(ge=100, le=699)]
Duration = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Mos = Annotated[float, Meta(ge=1, le=4.5)]


class Outcome(StrEnum):
    """How a call ended up in the archive."""

    RECORDED = "recorded"
    PARTLY = "partly"
    NOT_RECORDED = "not_recorded"
    NOT_EXPECTED = "not_expected"


class Reason(StrEnum):
    """Why a call is not `recorded`."""

    NETWORK_LOSS = "network_loss"
    CAPTURE_LOSS = "capture_loss"
    ONE_WAY = "one_way"
    CAPTURE_ENDED = "capture_ended"
    RECORDER_JOINED_LATE = "recorder_joined_late"
    BYE_NOT_SEEN = "bye_not_seen"
    JOURNAL_DAMAGED = "journal_damaged"
    DISK_FULL = "disk_full"
    NO_MEDIA = "no_media"
    UNSUPPORTED_CODEC = "unsupported_codec"
    ENCRYPTED = "encrypted"
    JOURNAL_OVERRUN = "journal_overrun"
    DECODE_FAILED = "decode_failed"
    NOT_ANSWERED = "not_answered"
    RULE_LINE_UNKNOWN = "rule_line_unknown"
    RULE_LINE_OFF = "rule_line_off"
    RULE_PREFIX_1 = "rule_prefix_1"
    RULE_PREFIX_00 = "rule_prefix_00"


DECIDING_REASONS: Final[Mapping[Outcome, tuple[Reason, ...]]] = MappingProxyType(
    {
        Outcome.RECORDED: (),
        Outcome.PARTLY: (
            Reason.NETWORK_LOSS,
            Reason.CAPTURE_LOSS,
            Reason.ONE_WAY,
            Reason.CAPTURE_ENDED,
            Reason.RECORDER_JOINED_LATE,
            Reason.BYE_NOT_SEEN,
            Reason.JOURNAL_DAMAGED,
            Reason.DISK_FULL,
            Reason.UNSUPPORTED_CODEC,
            Reason.ENCRYPTED,
            Reason.DECODE_FAILED,
        ),
        Outcome.NOT_RECORDED: (
            Reason.NO_MEDIA,
            Reason.UNSUPPORTED_CODEC,
            Reason.ENCRYPTED,
            Reason.DISK_FULL,
            Reason.JOURNAL_OVERRUN,
            Reason.CAPTURE_LOSS,
            Reason.DECODE_FAILED,
        ),
        Outcome.NOT_EXPECTED: (
            Reason.NOT_ANSWERED,
            Reason.RULE_LINE_UNKNOWN,
            Reason.RULE_LINE_OFF,
            Reason.RULE_PREFIX_1,
            Reason.RULE_PREFIX_00,
        ),
    }
)
"""The reasons that may stand first for each outcome; `recorded` has none at all."""


class FillCause(StrEnum):
    """Why there is silence, or a tone's place, in the file where no speech arrived."""

    LOSS = "loss"
    CAPTURE_LOSS = "capture_loss"
    COMFORT_NOISE = "comfort_noise"
    DTMF = "dtmf"
    SILENCE_SUPPRESSION = "silence_suppression"
    HOLD = "hold"
    DISCONTINUITY = "discontinuity"


class Direction(StrEnum):
    """The call's direction, seen from the contracted line."""

    IN = "in"
    OUT = "out"
    INT = "int"
    UNK = "unk"


class Side(StrEnum):
    """A party of the call: the caller is channel 0 and left, the callee channel 1 and right."""

    CALLER = "caller"
    CALLEE = "callee"


class Form(StrEnum):
    """How a part lies in the archive: one stored ZIP, or a bare WAV and its sidecar."""

    ZIP = "zip"
    WAV = "wav"


class Pcm(StrEnum):
    """What the samples in the WAV are: linear, or companded exactly as received."""

    PCM16 = "pcm16"
    G711 = "g711"


class Law(StrEnum):
    """The companding law of ITU-T G.711, by its RTP name (RFC 3551)."""

    PCMU = "PCMU"
    PCMA = "PCMA"


class Source(StrEnum):
    """Where a recording came from: a mirror port, capture files, or the carrier's file delivery."""

    SPAN = "span"
    IMPORT = "import"
    DELIVERED = "delivered"


class DtmfSource(StrEnum):
    """How a digit was signalled: RFC 4733 events in RTP, or SIP INFO."""

    RTP = "rtp"
    INFO = "info"


class EndCause(StrEnum):
    """What ended a call."""

    BYE = "bye"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    NO_ANSWER = "no_answer"
    SESSION_EXPIRED = "session_expired"
    MEDIA_TIMEOUT = "media_timeout"
    CAPTURE_ENDED = "capture_ended"
    UNKNOWN = "unknown"


class Flag(StrEnum):
    """Something worth knowing about a call that is not a reason of its outcome."""

    ONE_WAY = "one_way"
    CLOCK_STEP = "clock_step"
    ANSWER_NOT_SEEN = "answer_not_seen"
    DTMF_MASKED = "dtmf_masked"
    CONFIGURATION_MISSING = "configuration_missing"
    MONO = "mono"

"""tshark's text read into an account: EK lines of SIP, RTP stream summary, frame counts, tables of packet fields.

Pure: lines in, records out. Written against tshark 4.0; a line that cannot be read is counted, never guessed at.
"""

import ipaddress
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.auditing.audit import SipEvidence, StreamKey, TsharkAccount
from appliance.auditing.auditrules import Recount, TsharkStream

FIELDS = (
    "frame.protocols",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "udp.srcport",
    "udp.dstport",
    "rtp.ssrc",
    "rtp.seq",
    "rtp.timestamp",
    "rtp.p_type",
)
"""What `recount` reads, tab-separated, in this order; of repeated fields (tunnels) the last, which is the innermost."""

FRAME_FIELDS = ("frame.number", "frame.time_relative", "_ws.col.Protocol", "_ws.col.Info")
"""What `frames` reads, tab-separated."""
MAX_FRAMES = 3
"""So many are shown of a difference."""

_STREAM = re.compile(
    r"\s*\S+\s+\S+\s+(?P<src>\S+)\s+(?P<sport>\d+)\s+(?P<dst>\S+)\s+(?P<dport>\d+)\s+0x(?P<ssrc>[0-9A-Fa-f]{8})"
    r"\s+(?P<payloads>.*?)\s+(?P<packets>\d+)\s+(?P<lost>-?\d+)\s+\("
)
_FRAMES = re.compile(r"\S+\s+frames:(?P<frames>\d+) bytes:\d+")
"""A top line of the protocol hierarchy: one for each link type."""
_MANDATORY = tuple(f"sip_sip_{name}" for name in ("To", "From", "from_tag", "Via", "CSeq_seq", "CSeq_method"))


@dataclass(slots=True)
class _Dialogs:
    """Evidence of one Call-ID while it is gathered."""

    methods: set[str] = field(default_factory=set)
    invited: bool = False
    invite_statuses: set[int] = field(default_factory=set)
    to_tag_requests: set[str] = field(default_factory=set)
    sound: bool = False

    def add(self, message: Mapping[str, Any]) -> None:
        request, cseq = _text(message, "sip_sip_Method"), _text(message, "sip_sip_CSeq_method")
        method = request or cseq
        self.methods |= {method} - {""}
        if request:
            self.invited |= request == "INVITE"
            if message.get("sip_sip_to_tag"):
                self.to_tag_requests.add(request)
        elif cseq == "INVITE":
            self.invite_statuses.add(int(_text(message, "sip_sip_Status-Code") or 0))
        if method == "INVITE":
            self.sound |= cseq == "INVITE" and all(_text(message, name) for name in _MANDATORY)


def account(lines: Iterable[str]) -> TsharkAccount:
    """Read the output of `-T ek -J sip -z rtp,streams -z io,phs`.

    A summary that is missing counts as no frames and no streams; the caller knows whether tshark failed.
    """
    dialogs: dict[str, _Dialogs] = {}
    streams: dict[StreamKey, TsharkStream] = {}
    frames = unreadable = 0
    for line in lines:
        if line.startswith("{"):
            try:
                for message in _messages(line):
                    dialogs.setdefault(_text(message, "sip_sip_Call-ID"), _Dialogs()).add(message)
            except (ValueError, TypeError, AttributeError):
                unreadable += 1
        elif match := _STREAM.match(line):
            _sum_up(streams, match)
        elif match := _FRAMES.match(line):
            frames += int(match["frames"])
    dialogs.pop("", None)
    return TsharkAccount(packets=frames, sip=_evidence(dialogs), streams=streams, unreadable=unreadable)


def recount(lines: Iterable[str]) -> dict[StreamKey, Recount]:
    """Count streams again from lines of `FIELDS`; lines that do not fit, as those of RTP over TCP, are left out."""
    counted: dict[StreamKey, Recount] = {}
    for line in lines:
        values = line.rstrip("\r\n").split("\t")
        if len(values) != len(FIELDS):
            continue
        row = dict(zip(FIELDS, values, strict=True))
        try:
            key = _key(row)
            figures = int(row["rtp.seq"]), int(row["rtp.timestamp"]), int(row["rtp.p_type"])
        except ValueError:
            continue
        counted.setdefault(key, Recount()).add(*figures)
    return {key: recounted.settle() for key, recounted in counted.items()}


def frames(lines: Iterable[str]) -> list[str]:
    """Describe the first frames of lines of `FRAME_FIELDS`; the rest is read and left out."""
    rows = [row for line in lines if len(row := line.rstrip("\r\n").split("\t", 3)) == len(FRAME_FIELDS)]
    return [f"frame {number}, {float(at_s):.3f} s: {name} {told}" for number, at_s, name, told in rows[:MAX_FRAMES]]


def endpoint(address: str, port: int | str) -> str:
    """Write an address and a port as the call record does."""
    parsed = ipaddress.ip_address(address)
    return f"[{parsed}]:{port}" if parsed.version == 6 else f"{parsed}:{port}"


def _messages(line: str) -> Iterator[Mapping[str, Any]]:
    layers = json.loads(line).get("layers", {})
    found = layers.get("sip", [])
    yield from found if isinstance(found, list) else [found]


def _text(message: Mapping[str, Any], name: str) -> str:
    value = message.get(name, "")
    return str(value[0] if isinstance(value, list) and value else value)


def _evidence(dialogs: Mapping[str, _Dialogs]) -> dict[str, SipEvidence]:
    return {
        call_id: SipEvidence(
            methods=frozenset(seen.methods),
            invited=seen.invited,
            invite_statuses=frozenset(seen.invite_statuses),
            to_tag_requests=frozenset(seen.to_tag_requests),
            sound=seen.sound,
        )
        for call_id, seen in dialogs.items()
    }


def _sum_up(streams: dict[StreamKey, TsharkStream], match: re.Match[str]) -> None:
    key = StreamKey(
        int(match["ssrc"], 16), endpoint(match["src"], match["sport"]), endpoint(match["dst"], match["dport"])
    )
    before = streams.get(key, TsharkStream(packets=0, lost=0, payloads=(), lines=0))
    names = tuple(name.strip() for name in match["payloads"].split(","))
    streams[key] = TsharkStream(
        packets=before.packets + int(match["packets"]),
        lost=before.lost + int(match["lost"]),
        payloads=tuple(dict.fromkeys(before.payloads + names)),
        lines=before.lines + 1,
    )


def _key(row: Mapping[str, str]) -> StreamKey:
    protocols = row["frame.protocols"].split(":")
    inner = [name for name in protocols if name in ("ip", "ipv6")]
    family = inner[-1] if inner else "ip"
    return StreamKey(
        int(row["rtp.ssrc"], 0),
        endpoint(row[f"{family}.src"], row["udp.srcport"]),
        endpoint(row[f"{family}.dst"], row["udp.dstport"]),
    )

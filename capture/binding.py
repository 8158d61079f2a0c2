"""Which RTP streams belong to which side of a call: by the addresses in its session descriptions, never by arrival
order.

RTP goes to the address its receiver announced (RFC 3264), so a stream to the callee's address is the caller's voice. A
sender usually sends from where it receives, which decides when the destination was changed by a NAT.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from capture.endpoint import Endpoint
from capture.packets import Extent
from capture.runs import Claim, Run, RunTable, StreamKey
from capture.sipcall import MediaEpoch, Side, SipCall


@dataclass(slots=True, kw_only=True)
class BoundStream:
    """One stream of a call, with the time span in which it is the call's."""

    side: Side
    key: StreamKey
    runs: list[Run]
    from_ns: int
    """First capture time that may belong to the call."""
    until_ns: int
    """Last capture time that may."""
    score: int
    """How well it fits the negotiation."""
    media: str
    """`audio`, `video`, ... as the m-line says."""
    secured: str
    """Keying of SRTP, "" for plain RTP."""
    ends: int = 0
    """Which of its addresses the call announced: 2 for the destination, 1 for the source, 3 for both."""
    leg: str = ""
    """Id of the call, for runs that several legs need."""

    @property
    def interfaces(self) -> frozenset[int]:
        """Those that all its packets came over; empty when that is not known."""
        seen = [run.interfaces for run in self.runs]
        return frozenset().union(*seen) if all(seen) else frozenset()

    def extents(self) -> list[Extent]:
        """Return where the packets lie in the journal, in order."""
        return [extent for run in self.runs for extent in run.extents(self.leg)]


def bind(
    call: SipCall, runs: RunTable, from_ns: int, until_ns: int, leg: str = "", family: str = ""
) -> list[BoundStream]:
    """Find the streams of a call between two capture times, the best fitting first.

    `leg` is the call's id, `family` that of the first leg of the same call: legs may have media in common.
    """
    announced = endpoints(call)
    by_key: dict[StreamKey, list[Run]] = {}
    for endpoint in announced:
        for run in runs.at(endpoint):
            if run.first_ns <= until_ns and run.last_ns >= from_ns and run not in by_key.setdefault(run.key, []):
                by_key[run.key].append(run)
    streams = []
    for key, members in by_key.items():
        ends = 2 * (key[1] in announced) + (key[0] in announced)
        free = [run for run in members if not _is_claimed(run, from_ns, until_ns, family, ends)]
        if free:
            free.sort(key=lambda run: run.first_ns)
            stream = _judge(call, announced, key, free, from_ns, until_ns)
            stream.ends, stream.leg = ends, leg
            streams.append(stream)
    return sorted(streams, key=lambda s: (-s.score, s.runs[0].first_ns, s.key))


def unclaimed_since(call: SipCall, runs: RunTable) -> int:
    """Return the capture time from which media at the call's addresses is not an earlier call's; 0 without one."""
    claims = [claim.high_ns for endpoint in endpoints(call) for run in runs.at(endpoint) for claim in run.claimed]
    return max((high_ns + 1 for high_ns in claims if high_ns < call.first_ns), default=0)


def endpoints(call: SipCall) -> dict[Endpoint, list[MediaEpoch]]:
    """Return the addresses the call announced for media, each with what was said there."""
    table: dict[Endpoint, list[MediaEpoch]] = {}
    for epoch in call.media:
        if epoch.ip is not None and epoch.port:
            table.setdefault(Endpoint(epoch.ip, epoch.port), []).append(epoch)
    return table


def _is_claimed(run: Run, from_ns: int, until_ns: int, family: str, ends: int) -> bool:
    """Whether other calls took the whole of the run's share of this span."""
    claims = [claim for claim in run.claimed if _stands(claim, family, ends)]
    return not any(low <= until_ns and high >= from_ns for low, high in run.free_spans(claims))


def _stands(claim: Claim, family: str, ends: int) -> bool:
    """Whether a claim keeps a call out: not another leg of its own, nor a call that the stream fits less well."""
    return not claim.family or (claim.family != family and claim.ends >= ends)


def _judge(
    call: SipCall,
    announced: dict[Endpoint, list[MediaEpoch]],
    key: StreamKey,
    members: list[Run],
    from_ns: int,
    until_ns: int,
) -> BoundStream:
    """Decide the sender's side and how well the stream fits what was negotiated while it flowed."""
    source, destination, _ = key
    first_ns = max(members[0].first_ns, from_ns)
    received = _in_force(announced.get(destination, ()), first_ns)
    sent = _in_force(announced.get(source, ()), first_ns)
    if received is not None:
        side = received.side.other
        score = 4 + 2 * (sent is not None and sent.side is side)
    else:
        assert sent is not None
        side, score = sent.side, 2
    epoch = received or sent
    assert epoch is not None
    home = _first_audio(call.media)
    score += home is not None and home in (source, destination)
    return BoundStream(
        side=side,
        key=key,
        runs=members,
        from_ns=from_ns,
        until_ns=until_ns,
        score=10 * score - min(epoch.m_line, 9),
        media=epoch.media,
        secured=epoch.secured or (sent.secured if sent is not None else ""),
    )


def _in_force(epochs: Iterable[MediaEpoch], ts_ns: int) -> MediaEpoch | None:
    """Return what was said last before a packet, or first after it: media may come before its description is seen."""
    latest = None
    for epoch in epochs:
        if latest is None or epoch.ts_ns <= ts_ns:
            latest = epoch
    return latest


def _first_audio(media: list[MediaEpoch]) -> Endpoint | None:
    """Return the first audio address of the call: on the path nearest to the caller, when the call is seen on
    several."""
    for epoch in media:
        if epoch.media == "audio" and epoch.ip is not None and epoch.port:
            return Endpoint(epoch.ip, epoch.port)
    return None


def payload_types(call: SipCall, key: StreamKey) -> dict[int, str]:
    """Return the codecs of a stream's payload types: what the receiver announced, then what the sender did."""
    announced = endpoints(call)
    codecs: dict[int, str] = {}
    for endpoint in (key[1], key[0]):
        for epoch in announced.get(endpoint, ()):
            for payload_type, codec in epoch.codecs.items():
                codecs.setdefault(payload_type, codec)
    return codecs


def crypto(call: SipCall, key: StreamKey) -> list[tuple[str, bytes]]:
    """Return the SDES keys that may protect a stream: those of its sender (RFC 4568 section 6.1), latest last."""
    announced = endpoints(call)
    receiver = announced.get(key[1], [])
    sender_side = receiver[0].side.other if receiver else announced[key[0]][0].side
    keys = [
        (suite, key_salt) for epoch in call.media if epoch.side is sender_side for _, suite, key_salt in epoch.crypto
    ]
    return list(dict.fromkeys(keys))


def silent_since(spans: Iterable[tuple[int, int]], from_ns: int, pause_ns: int) -> int:
    """Return the capture time after which media first paused for more than `pause_ns`, or of its last packet so far.

    Args:
        spans: capture times of first and last packet of stretches of media, in order.
        from_ns: what ended before does not count.
        pause_ns: must not be less than `PAUSE_NS`: shorter pauses are not seen.
    """
    last = from_ns
    for first_ns, last_ns in spans:
        if last_ns < from_ns:
            continue
        if first_ns > last + pause_ns:
            break
        last = max(last, last_ns)
    return last

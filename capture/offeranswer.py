"""Offers and answers of a call (RFC 3264), wherever they travel: INVITE, 1xx, 2xx, ACK, PRACK (RFC 3262), UPDATE.

Every description heard becomes epochs of the side that sent it, unless it tells nothing new. A rejected offer is
withdrawn, an accepted exchange decides hold. Media itself is bound elsewhere, from the epochs.
"""

from hashlib import blake2b

from capture.sdp import MediaDescription, SessionDescription
from capture.sdp import parse as parse_sdp
from capture.sipcall import CallState, Exchange, Hold, MediaEpoch, Outcome, Side, SipCall

MAX_EXCHANGES = 32
"""Exchanges remembered for one call."""
MAX_EPOCHS = 512
"""Media epochs of one call; the oldest go first, but what each side said last of each m-line stays."""
MAX_M_LINES = 32
"""m-lines read of one description."""
MAX_DESCRIPTIONS = 32
"""Different descriptions of one exchange (hops and forks)."""
MAX_HOLDS = 1000
"""Hold intervals of one call."""
MAX_WORD = 64
"""Longest codec, suite, media type or protocol that is kept, and longest SRTP key (bytes)."""

_HELD = ("sendonly", "inactive")


def exchange_of(call: SipCall, requester: Side, cseq: int, method: str) -> Exchange | None:
    """The exchange of this transaction, opened when it is new; None when it is too old to be told from a repetition."""
    exchanges = call.negotiation.exchanges
    known = exchanges.get(f"{requester} {cseq} {method}")
    if known is not None:
        return known
    forgotten = call.negotiation.forgotten_cseq
    if cseq <= forgotten.get(requester, -1):
        return None
    exchange = Exchange(requester=requester, cseq=cseq, method=method, early=call.state is not CallState.ANSWERED)
    exchanges[exchange.transaction] = exchange
    if len(exchanges) > MAX_EXCHANGES:
        oldest = exchanges.pop(next(iter(exchanges)))
        forgotten[oldest.requester] = max(forgotten.get(oldest.requester, -1), oldest.cseq)
    return exchange


def hear(
    call: SipCall, exchange: Exchange, body: bytes, *, ts_ns: int, speaker: Side, fork: str, provisional: bool = False
) -> bool:
    """Takes in one session description; False when it was known. `fork` is the callee's tag of its dialog.

    Raises SdpError when the body is no session description.
    """
    digest = blake2b(f"{speaker} {fork}\n".encode() + body, digest_size=8).digest()
    if digest in exchange.digests or exchange.outcome is Outcome.REJECTED:
        return False
    if len(exchange.digests) >= MAX_DESCRIPTIONS:
        call.overflow += 1
        return False
    exchange.digests.append(digest)
    description = parse_sdp(body)
    _take_direction(exchange, speaker, _audio_direction(description))
    for m_line, media in enumerate(description.media[:MAX_M_LINES]):
        epoch = _epoch(media, m_line, exchange, ts_ns=ts_ns, speaker=speaker, fork=fork, provisional=provisional)
        if not _is_known(call, epoch):
            call.media.append(epoch)
    if len(call.media) > MAX_EPOCHS:
        _drop_oldest(call, len(call.media) - MAX_EPOCHS)
    return True


def accept(call: SipCall, exchange: Exchange, ts_ns: int) -> bool:
    """A 2xx response; False when it was known. An offer in the response takes effect with the ACK that answers it."""
    if exchange.outcome is not Outcome.OPEN:
        return False
    exchange.outcome = Outcome.ACCEPTED
    if exchange.offer_by is exchange.requester:
        _review(call, exchange, ts_ns)
    return True


def acknowledge(call: SipCall, exchange: Exchange, ts_ns: int) -> bool:
    """The ACK of a 2xx response, itself seen or not; False when it told nothing new."""
    if exchange.outcome is Outcome.REJECTED or exchange.reviewed:
        return False
    exchange.outcome = Outcome.ACCEPTED
    _review(call, exchange, ts_ns)
    return True


def reject(call: SipCall, exchange: Exchange) -> bool:
    """A failure response inside the dialog: what was offered never held (RFC 3261 section 14.1)."""
    if exchange.outcome is not Outcome.OPEN:
        return False
    exchange.outcome = Outcome.REJECTED
    transaction = exchange.transaction
    call.media[:] = [epoch for epoch in call.media if epoch.transaction != transaction]
    return True


def _drop_oldest(call: SipCall, count: int) -> None:
    call.overflow += count
    latest = {(epoch.side, epoch.m_line): index for index, epoch in enumerate(call.media)}
    kept = set(latest.values())
    dropped = set([index for index in range(len(call.media)) if index not in kept][:count])
    call.media[:] = [epoch for index, epoch in enumerate(call.media) if index not in dropped]


def _take_direction(exchange: Exchange, speaker: Side, direction: str) -> None:
    if exchange.offer_by is None:
        exchange.offer_by, exchange.offer = speaker, direction
    elif speaker is not exchange.offer_by:
        exchange.answer = direction


def _audio_direction(description: SessionDescription) -> str:
    """Direction over all audio that is not refused, "" without any."""
    sends = receives = found = False
    for media in description.media[:MAX_M_LINES]:
        if media.media == "audio" and media.port:
            found = True
            sends |= media.direction in ("sendrecv", "sendonly")
            receives |= media.direction in ("sendrecv", "recvonly") and not _is_nowhere(media.address)
    if not found:
        return ""
    return {(True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly"}.get(
        (sends, receives), "inactive"
    )


def _is_nowhere(address: bytes | None) -> bool:
    """Whether nobody listens there: the older way to say hold (RFC 3264 section 8.4), or a group with music on hold."""
    if address is None:
        return False
    is_group = address[0] == 0xFF if len(address) == 16 else address[0] >> 4 == 0xE
    return is_group or not any(address)


def _review(call: SipCall, exchange: Exchange, ts_ns: int) -> None:
    """Hold after an accepted exchange; one that began before the answer sets what later changes are compared with."""
    exchange.reviewed = True
    if exchange.offer_by is None:
        return
    offerer, answerer = exchange.offer_by, exchange.offer_by.other
    if exchange.early:
        for side, direction in ((offerer, exchange.offer), (answerer, exchange.answer)):
            if direction:
                call.negotiation.initial[side] = direction
        return
    if exchange.offer:
        _set_hold(call, offerer, exchange.offer, ts_ns)
    # To a held offer `inactive` is the polite answer, and says nothing about the answerer's own hold.
    if exchange.answer and not (exchange.offer in _HELD and exchange.answer == "inactive"):
        _set_hold(call, answerer, exchange.answer, ts_ns)


def _set_hold(call: SipCall, side: Side, direction: str, ts_ns: int) -> None:
    initial = call.negotiation.initial
    before = initial.get(side, "")
    if direction not in _HELD and before in _HELD:
        initial[side] = direction
    # A side that never listened (a recording session, music on hold) does not begin a hold by going on so.
    held = direction in _HELD and not (before in _HELD and direction in (before, "sendonly"))
    current = next((hold for hold in call.holds if hold.by is side and hold.end_ns is None), None)
    if held and current is None:
        if len(call.holds) < MAX_HOLDS:
            call.holds.append(Hold(start_ns=ts_ns, end_ns=None, by=side))
        else:
            call.overflow += 1
    elif current is not None and not held:
        current.end_ns = max(ts_ns, current.start_ns)


def _epoch(
    media: MediaDescription, m_line: int, exchange: Exchange, *, ts_ns: int, speaker: Side, fork: str, provisional: bool
) -> MediaEpoch:
    return MediaEpoch(
        ts_ns=ts_ns,
        side=speaker,
        m_line=m_line,
        media=media.media[:MAX_WORD],
        ip=media.address,
        port=media.port,
        rtcp_port=_rtcp_port(media),
        direction=str(media.direction),
        protocol=media.protocol[:MAX_WORD],
        codecs={
            number: _codec_name(codec.name[:MAX_WORD], codec.clock_hz, codec.channels)
            for number, codec in media.codecs.items()
        },
        ptime_ms=media.ptime_ms,
        crypto=[(entry.tag, entry.suite[:MAX_WORD], entry.key_salt[:MAX_WORD]) for entry in media.crypto],
        secured=_keying(media),
        to_tag=fork,
        provisional=provisional,
        transaction=exchange.transaction,
    )


def _rtcp_port(media: MediaDescription) -> int:
    if not media.port:
        return 0
    if media.rtcp_port is not None:
        return media.rtcp_port
    return media.port if media.rtcp_mux else (media.port + 1) & 0xFFFF


def _codec_name(name: str, clock_hz: int, channels: int) -> str:
    if name not in ("PCMU", "PCMA") or (clock_hz, channels) == (8000, 1):
        return name
    return f"{name}/{clock_hz}" if channels == 1 else f"{name}/{clock_hz}/{channels}"


def _keying(media: MediaDescription) -> str:
    if media.fingerprint and (not media.crypto or "TLS" in media.protocol):
        return "dtls"
    if media.crypto:
        return "sdes"
    if media.zrtp:
        return "zrtp"
    return "unknown" if "SAVP" in media.protocol else ""


def _is_known(call: SipCall, new: MediaEpoch) -> bool:
    """Whether this side already said the same: in this transaction (another hop), or in its latest one before."""
    baseline = ""
    for epoch in reversed(call.media):
        if epoch.side is not new.side or epoch.m_line != new.m_line or epoch.to_tag not in ("", new.to_tag):
            continue
        if epoch.transaction != new.transaction:
            baseline = baseline or epoch.transaction
            if epoch.transaction != baseline:
                return False
        if _is_same(epoch, new):
            return True
    return False


def _is_same(one: MediaEpoch, other: MediaEpoch) -> bool:
    return (
        one.port == other.port
        and one.ip == other.ip
        and one.direction == other.direction
        and one.codecs == other.codecs
        and one.rtcp_port == other.rtcp_port
        and one.crypto == other.crypto
        and one.ptime_ms == other.ptime_ms
        and one.protocol == other.protocol
        and one.secured == other.secured
        and one.media == other.media
    )

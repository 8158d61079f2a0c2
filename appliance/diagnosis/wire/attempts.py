"""Initial requests and what became of them: repeated, answered, refused, challenged (RFC 3261). Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from appliance.diagnosis.evidence import Final
from appliance.diagnosis.wire.placement import Origin
from capture.sip import SipMessage

NS = 1_000_000_000
WINDOW_NS = 300 * NS
MAX_ATTEMPTS = 20_000
TIMER_B_NS = 32 * NS
"""Nothing back for so long: the transaction has failed (RFC 3261 section 17.1.1.2)."""
APART_NS = 100 * 1_000_000
"""The same message again sooner is a copy of the mirror's; timer T1 is 500 ms."""
LEAST_SENDS = 3
UNACKNOWLEDGED_SENDS = 4
"""2xx sent so often without ACK: 0, 0.5, 1.5, 3.5 s (section 13.3.1.4)."""
LOOPS = 2
"""Challenges of a request that had credentials already; one may be a stale nonce."""
_CHALLENGES = (401, 407, 422)
_PLACES = {Origin.LAN: True, Origin.VPN: False, Origin.UNPLACED: None}
_MAX_SERVERS = 4


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One initial request, by Call-ID, From tag and sequence number."""

    method: str
    origin: Origin
    """Who asked."""
    first_ns: int
    last_ns: int
    transport: str
    callee: int
    """Hash of the destination, to count different ones."""
    sends: int = 1
    answered: bool = False
    """Anything came back."""
    final: int | None = None
    final_origin: Origin = Origin.UNPLACED
    server: str = ""
    accepts: int = 0
    """How often its 2xx was sent."""
    accept_ns: int = 0
    acked: bool = False
    had_credentials: bool = False
    is_cancelled: bool = False


@dataclass(slots=True, kw_only=True)
class Attempts:
    """All attempts of the last minutes; oldest first."""

    table: dict[tuple[str, str, int], Attempt] = field(default_factory=dict)
    challenged: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """Challenges in spite of credentials, by Call-ID and method: times."""
    challengers: dict[tuple[str, str], Origin] = field(default_factory=dict)
    """Who asked in vain."""

    def take(self, ts_ns: int, origin: Origin, transport: str, message: SipMessage) -> None:
        """Take in one message of INVITE or REGISTER; others tell nothing here."""
        self._forget(ts_ns)
        if message.method == "ACK":
            self._acknowledge(message)
        elif message.method == "CANCEL" and message.is_request:
            for key in self._invites_of(message):
                self.table[key].is_cancelled = True
        elif message.method in ("INVITE", "REGISTER"):
            key = (message.call_id, message.from_tag, message.cseq)
            if message.status is None:
                self._request(ts_ns, key, origin, transport, message)
            else:
                self._response(ts_ns, key, origin, message)

    def _request(
        self, ts_ns: int, key: tuple[str, str, int], origin: Origin, transport: str, message: SipMessage
    ) -> None:
        attempt = self.table.get(key)
        if attempt is not None:
            if ts_ns - attempt.last_ns >= APART_NS:
                attempt.sends += 1
                attempt.last_ns = ts_ns
            return
        if message.to_tag or len(self.table) >= MAX_ATTEMPTS:
            return  # within a dialog
        self.table[key] = Attempt(
            method=message.method,
            origin=origin,
            first_ns=ts_ns,
            last_ns=ts_ns,
            transport=transport,
            callee=hash(message.to.uri),
            had_credentials=any(message.first(name) for name in ("authorization", "proxy-authorization")),
        )

    def _response(self, ts_ns: int, key: tuple[str, str, int], origin: Origin, message: SipMessage) -> None:
        attempt, status = self.table.get(key), message.status or 0
        if attempt is None:
            return
        attempt.answered = True
        if status < 200:
            return
        if 200 <= status < 300:
            self.challenged.pop((key[0], message.method), None)
            if ts_ns - attempt.accept_ns >= APART_NS:
                attempt.accepts += 1
                attempt.accept_ns = ts_ns
        if attempt.final is not None:
            return
        attempt.final, attempt.final_origin = status, origin
        attempt.server = (message.first("server") or message.first("user-agent") or "")[:80]
        if status in (401, 407) and attempt.had_credentials and not _is_stale(message):
            times = self.challenged.setdefault((key[0], message.method), [])
            times.append(ts_ns)
            self.challengers[key[0], message.method] = attempt.origin

    def _acknowledge(self, message: SipMessage) -> None:
        attempt = self.table.get((message.call_id, message.from_tag, message.cseq))
        if attempt is not None:
            attempt.acked = True

    def _invites_of(self, message: SipMessage) -> Iterator[tuple[str, str, int]]:
        key = (message.call_id, message.from_tag, message.cseq)
        if key in self.table:
            yield key

    def _forget(self, now_ns: int) -> None:
        while self.table:
            oldest = next(iter(self.table))
            if self.table[oldest].first_ns >= now_ns - WINDOW_NS and len(self.table) < MAX_ATTEMPTS:
                return
            del self.table[oldest]
            if len(self.table) < MAX_ATTEMPTS // 2 and self.table[next(iter(self.table))].first_ns > now_ns:
                return

    def _invites(self, origin: Origin, now_ns: int) -> list[Attempt]:
        """Those that are answered or old enough to be, but for challenges, whose request comes again."""
        return [
            attempt
            for attempt in self.table.values()
            if attempt.method == "INVITE"
            and attempt.origin is origin
            and attempt.final not in _CHALLENGES
            and (attempt.answered or now_ns - attempt.first_ns >= TIMER_B_NS)
        ]

    def outcome(self, origin: Origin, now_ns: int) -> tuple[int, int]:
        """Return how many INVITEs of a side are to be counted, and how many of them got no answer at all."""
        invites = self._invites(origin, now_ns)
        return len(invites), sum(_is_unanswered(attempt) for attempt in invites)

    def finals(self) -> tuple[Final, ...]:
        """Return final responses to INVITE, and refusals of REGISTER, by status and side."""
        found: dict[tuple[int, bool | None], list[Attempt]] = {}
        for attempt in self.table.values():
            if attempt.final is None or attempt.final in _CHALLENGES:
                continue
            if attempt.method == "INVITE" or attempt.final == 403:
                found.setdefault((attempt.final, _PLACES[attempt.final_origin]), []).append(attempt)
        return tuple(
            Final(
                status=status,
                from_lan=from_lan,
                count=len(those),
                callees=len({attempt.callee for attempt in those}),
                servers=tuple(sorted({attempt.server for attempt in those if attempt.server}))[:_MAX_SERVERS],
            )
            for (status, from_lan), those in sorted(found.items(), key=lambda each: (each[0][0], str(each[0][1])))
        )

    def loops(self, origin: Origin, now_ns: int) -> int:
        """Return how many requests of a side were challenged again and again."""
        for key, times in list(self.challenged.items()):
            if times[-1] < now_ns - WINDOW_NS:
                del self.challenged[key]
                self.challengers.pop(key, None)
        return sum(
            len(times) >= LOOPS and self.challengers.get(key) is origin for key, times in self.challenged.items()
        )

    def unacknowledged(self) -> int:
        """Return how many answers were repeated and not acknowledged."""
        return sum(
            attempt.accepts >= UNACKNOWLEDGED_SENDS and not attempt.acked
            for attempt in self.table.values()
            if attempt.method == "INVITE"
        )


def _is_unanswered(attempt: Attempt) -> bool:
    if attempt.answered or attempt.is_cancelled:
        return False
    return attempt.transport == "tcp" or attempt.sends >= LEAST_SENDS


def _is_stale(message: SipMessage) -> bool:
    challenges = (message.first("www-authenticate") or "") + (message.first("proxy-authenticate") or "")
    return "stale=true" in challenges.lower().replace('"', "").replace(" ", "")

"""Call records of all kinds, and the slow way to search and sum them up."""

import random
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from storage.call_record import CallRecord, PartEntry, SideSummary
from storage.index.numbers import searchable
from storage.index.query import Query, Sort
from storage.index.rows import PartRow, Role, day_number
from storage.index.writer import IndexWriter
from storage.records import Dtmf, Hold, Link, Links, Party
from storage.timestamps import instant_ns, rfc3339
from storage.vocabulary import DECIDING_REASONS, Direction, DtmfSource, Outcome, Reason, Side
from tests.storage.samples import DIGEST, START_NS, TOKYO, call_record, side_summary

SECOND_NS = 1_000_000_000
LINES = (("E1", "0355500001"), ("E1", "+81355500002"), ("E2", "0355500001"), (None, None))
NUMBERS = (
    "0312345678",
    "+81312345678",
    "0312345679",
    "09011112222",
    "1840698765432",
    "0698765432",
    "110",
    "0044123456",
    "2001",
    "anonymous",
    "",
)
ZONES = (TOKYO, TOKYO, TOKYO, ZoneInfo("America/St_Johns"))


def records(count: int, seed: int) -> list[CallRecord]:
    """Different calls within ten days."""
    chance = random.Random(seed)
    return [_record(chance) for _ in range(count)]


def _record(chance: random.Random) -> CallRecord:
    outcome = chance.choice(list(Outcome))
    reasons: tuple[Reason, ...] = ()
    if DECIDING_REASONS[outcome]:
        more = chance.sample(list(Reason), chance.choice((0, 0, 1, 2)))
        reasons = tuple(dict.fromkeys((chance.choice(DECIDING_REASONS[outcome]), *more)))
    start_ns = START_NS + chance.randrange(10 * 86_400) * SECOND_NS + chance.choice((0, 1))
    length_s = chance.choice((0.0, 0.5, 30.0, 61.0, 7200.0, 100_000.0))
    zone = chance.choice(ZONES)
    enterprise, line = chance.choice(LINES)
    moses = [chance.choice((None, 3.0, 4.25, 4.4)) for _ in range(2)]
    call_id = chance.randbytes(32).hex()
    number = [chance.choice(NUMBERS) for _ in range(5)]
    return call_record(
        call_id=call_id,
        outcome=outcome,
        reasons=reasons,
        started_at=rfc3339(start_ns, zone),
        ended_at=rfc3339(start_ns + int((length_s + chance.choice((0, 5))) * SECOND_NS), zone),
        duration_s=length_s,
        direction=chance.choice(list(Direction)),
        enterprise=enterprise,
        line=line,
        caller=Party(number=number[0], display="山田", uri=""),
        callee=Party(number=number[1], display="", uri=""),
        dialled=number[2],
        asserted=(number[3],) if chance.random() < 0.2 else (),
        diversion=(f"<sip:{number[4]}@192.0.2.1>;reason=busy",) if chance.random() < 0.2 else (),
        links=Links(second_leg_of=Link(call_id=DIGEST, sip_call_id=None)) if chance.random() < 0.1 else Links(),
        holds=(Hold(0, 8000, Side.CALLER),) * chance.choice((0, 0, 1, 2)),
        dtmf=tuple(_key(at) for at in range(chance.choice((0, 0, 0, 3)))),
        completeness=chance.choice((None, 99.5, 100.0)),
        sides=tuple(_summary(side, mos) for side, mos in zip((Side.CALLER, Side.CALLEE), moses, strict=True)),
        parts=tuple(_entry(call_id, number) for number in range(1, chance.choice((1, 2, 3)))),
    )


def _key(at: int) -> Dtmf:
    return Dtmf(side=Side.CALLER, digit="5", first_sample=at * 800, samples=400, source=DtmfSource.RTP)


def _summary(side: Side, mos: float | None) -> SideSummary:
    return replace(side_summary(side), mos=mos)


def _entry(call_id: str, number: int) -> PartEntry:
    stem = f"20260102T030405+0900_out_anonymous_anonymous_{call_id[:10]}_p{number:02d}"
    return PartEntry(
        name=f"{stem}.zip", number=number, wav_sha256=DIGEST, call_json_sha256=DIGEST, first_sample=0, samples=8000
    )


def part_rows(record: CallRecord) -> tuple[PartRow, ...]:
    """Parts as if they lay in the archive."""
    return tuple(
        PartRow(number=part.number, day=day_number(part.name), samples=part.samples, size_bytes=1000 + part.number)
        for part in record.parts
    )


def matching(calls: Iterable[CallRecord], query: Query, held: frozenset[str] = frozenset()) -> list[str]:
    """Ids of the calls that a query is to find."""
    found = [call for call in calls if _matches(call, query, call.call_id in held)]
    key = {
        Sort.TIME: lambda call: instant_ns(call.started_at),
        Sort.LENGTH: lambda call: call.duration_s,
        Sort.QUALITY: mos,
    }
    if query.sort is Sort.QUALITY:
        found = [call for call in found if mos(call) is not None]
    return [call.call_id for call in sorted(found, key=key[query.sort], reverse=query.descending)]


def mos(call: CallRecord) -> float | None:
    """The worse side's."""
    return min((side.mos for side in call.sides if side.mos is not None), default=None)


def _matches(call: CallRecord, query: Query, held: bool) -> bool:
    started_ns, quality = instant_ns(call.started_at), mos(call)
    return (
        (not query.lines or searchable(call.line or "") in query.lines)
        and (query.enterprise is None or (call.enterprise or "") == query.enterprise)
        and (query.number is None or _has_number(call, query))
        and (query.from_ns is None or started_ns >= query.from_ns)
        and (query.to_ns is None or started_ns < query.to_ns)
        and (not query.directions or call.direction in query.directions)
        and (not query.outcomes or call.outcome in query.outcomes)
        and (not query.reasons or bool(set(query.reasons) & set(call.reasons)))
        and (query.least_ms is None or call.duration_s * 1000 >= query.least_ms)
        and (query.most_ms is None or call.duration_s * 1000 <= query.most_ms)
        and (query.least_mos is None or (quality is not None and quality >= query.least_mos))
        and (query.most_mos is None or (quality is not None and quality <= query.most_mos))
        and (query.dtmf is None or bool(call.dtmf) == query.dtmf)
        and (query.holds is None or bool(call.holds) == query.holds)
        and (query.legal_hold is None or held == query.legal_hold)
        and not query.in_progress
    )


def _has_number(call: CallRecord, query: Query) -> bool:
    assert query.number is not None
    said = {
        Role.CALLER: (call.caller.number, *call.asserted),
        Role.CALLEE: (call.callee.number, call.dialled),
        Role.DIVERTING: call.diversion,
    }
    forms = {searchable(number) for role, numbers in said.items() if role & query.number.roles for number in numbers}
    if query.number.prefix:
        return any(form and form.startswith(query.number.searchable) for form in forms)
    return query.number.searchable in forms


def expected_sums(calls: Iterable[CallRecord]) -> dict[tuple[int, str, str, str], tuple[int, int]]:
    """Calls and milliseconds by local date of the start, enterprise, line and outcome."""
    sums: defaultdict[tuple[int, str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for call in calls:
        key = day_number(call.started_at), call.enterprise or "", call.line or "", call.outcome.value
        sums[key][0] += 1
        sums[key][1] += round(call.duration_s * 1000)
    return {key: (calls, length_ms) for key, (calls, length_ms) in sums.items()}


def most_at_once(spans: Iterable[tuple[int, int]]) -> int:
    """Most of these (start, end) at one time, looked at in every start."""
    spans = list(spans)
    return max((sum(begin <= at < max(end, begin + 1) for begin, end in spans) for at, _ in spans), default=0)


def dates(call: CallRecord) -> Iterator[int]:
    """Local dates in which the call went on."""
    offset = datetime.fromisoformat(call.started_at[:19] + call.started_at[29:]).tzinfo
    day = datetime.fromisoformat(call.started_at[:10])
    last = datetime.fromtimestamp(instant_ns(call.ended_at) // SECOND_NS, offset).replace(tzinfo=None)
    while day <= last:
        yield day_number(day.strftime("%Y-%m-%d"))
        day += timedelta(days=1)


def content(path: Path) -> dict[str, list[tuple]]:
    """Every table, its rows in order; lines, numbers and calls by name, since their numbering may differ."""
    with IndexWriter(path):
        pass  # works out the most calls at one time, where that was left to readers
    connection = sqlite3.connect(path)
    lines = "JOIN lines l ON l.id = %s.line"
    select = {
        "calls": f"SELECT c.call_id, c.started_ns, c.ended_ns, c.offset_min, c.day, l.enterprise, l.line, c.direction,"
        f" c.outcome, c.reasons, c.deciding, c.length_ms, c.mos, c.completeness, c.dtmf, c.holds, c.caller, c.callee"
        f" FROM calls c {lines % 'c'}",
        "parts": "SELECT call_id, number, p.day, samples, size_bytes FROM parts p JOIN calls USING (n)",
        "parties": "SELECT m.searchable, call_id, p.started_ns, roles, l.line, p.outcome FROM parties p"
        f" JOIN calls USING (n) JOIN numbers m ON m.id = p.number {lines % 'p'}",
        "numbers": "SELECT searchable FROM numbers",
        "reasons": "SELECT reason, r.started_ns, call_id FROM reasons r JOIN calls USING (n)",
        "legal_holds": "SELECT call_id, name FROM legal_holds JOIN calls USING (n)",
        "links": "SELECT earlier, call_id, kind FROM links JOIN calls USING (n)",
        "overnight": "SELECT o.day, call_id FROM overnight o JOIN calls USING (n)",
        "daily": "SELECT d.day, coalesce(l.enterprise, ''), coalesce(l.line, '*'), outcome, calls, incoming, outgoing,"
        " length_ms, peak FROM daily d LEFT JOIN lines l ON l.id = d.line",
    }
    found = {name: sorted(connection.execute(text).fetchall(), key=repr) for name, text in select.items()}
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    return found

"""A million calls as a busy site makes them, as rows of the index. Everything follows from the number of the call."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from storage.index.numbers import searchable
from storage.index.rows import DIRECTIONS, OUTCOMES, REASONS, CallRow, PartRow, Role, bits, place
from storage.timestamps import NS_PER_S
from storage.vocabulary import Direction, Outcome, Reason

LINES = 200
CUSTOMERS = 60_000
DAYS = 1000
FIRST = datetime(2024, 1, 1)
OFFSET_MIN = 540
FIRST_NS = (int(FIRST.timestamp()) - OFFSET_MIN * 60) * NS_PER_S
DAY_NS = 86_400 * NS_PER_S
AREAS = ("03", "06", "052", "011", "092", "045", "090", "080", "070", "0120")
_OUTCOMES = (
    (0.80, Outcome.RECORDED, ()),
    (0.90, Outcome.NOT_EXPECTED, (Reason.NOT_ANSWERED,)),
    (0.95, Outcome.NOT_EXPECTED, (Reason.RULE_PREFIX_1,)),
    (0.985, Outcome.PARTLY, (Reason.NETWORK_LOSS, Reason.ONE_WAY)),
    (0.995, Outcome.NOT_RECORDED, (Reason.ENCRYPTED,)),
    (1.0, Outcome.NOT_RECORDED, (Reason.NO_MEDIA,)),
)


def line(number: int) -> str:
    """A contracted line."""
    return f"03{5550_0000 + number:08d}"


def customer(number: int) -> str:
    """Somebody outside, whose number lies anywhere in its area."""
    area = AREAS[number % len(AREAS)]
    scattered = number * 2_654_435_761 % 10**8
    return (area + f"{scattered:08d}")[: 11 if area[:2] in ("09", "08", "07") else 10]


def rows(count: int, seed: int = 1) -> Iterator[CallRow]:
    """Calls in order of time, over `DAYS` days, most of them in office hours."""
    chance = random.Random(seed)
    for number in range(count):
        day = number * DAYS // count
        office_s = min(max(chance.gauss(13.0, 2.5), 0.0), 23.9) * 3600
        yield row(chance, FIRST_NS + day * DAY_NS + int(office_s * NS_PER_S) + number % 1000, day)


def row(chance: random.Random, started_ns: int, day: int) -> CallRow:
    """One call that starts at this instant."""
    inside, outside = line(int(chance.random() ** 2 * LINES)), customer(int(chance.random() ** 3 * CUSTOMERS))
    outgoing = chance.random() < 0.5
    dice = chance.random()
    outcome, reasons = next((outcome, reasons) for below, outcome, reasons in _OUTCOMES if dice <= below)
    talked = outcome is not Outcome.NOT_EXPECTED
    length_ms = int(chance.expovariate(1 / 150_000)) + 1000 if talked else 0
    local = FIRST + timedelta(days=day)
    today = local.year * 10000 + local.month * 100 + local.day
    parts = PartRow(number=1, day=today, samples=length_ms * 8, size_bytes=length_ms * 32 + 4000)
    caller, callee = (inside, outside) if outgoing else (outside, inside)
    return CallRow(
        call_id=chance.randbytes(32),
        started_ns=started_ns,
        ended_ns=started_ns + (length_ms + 8000) * 1_000_000,
        offset_min=OFFSET_MIN,
        day=today,
        enterprise="E1",
        line=inside,
        direction=place(Direction.OUT if outgoing else Direction.IN, DIRECTIONS),
        outcome=place(outcome, OUTCOMES),
        reasons=bits(reasons),
        deciding=place(reasons[0], REASONS) if reasons else 0,
        length_ms=length_ms,
        mos=round(chance.uniform(3.2, 4.41), 2) if talked else None,
        completeness=100.0 if talked else None,
        dtmf=int(chance.random() < 0.15),
        holds=int(chance.random() < 0.08),
        caller=caller,
        callee=callee,
        numbers=((searchable(caller), Role.CALLER.value), (searchable(callee), Role.CALLEE.value)),
        links=(),
        parts=(parts,) if outcome in (Outcome.RECORDED, Outcome.PARTLY) else (),
    )

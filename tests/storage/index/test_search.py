"""Searching: whatever index is walked, the answers are those of a slow filter over the call records."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.index.plan import Drive, Facts, choose
from storage.index.query import After, NumberMatch, Query, Sort
from storage.index.reader import Hit, IndexReader
from storage.index.rows import Role
from storage.index.statement import build
from storage.index.writer import IndexWriter
from storage.vocabulary import Direction, Outcome, Reason
from tests.storage.index.archives import SECOND_NS, matching, part_rows, records
from tests.storage.samples import START_NS

CALLS = records(400, seed=4)
HELD = frozenset(call.call_id for call in CALLS[::17])


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexReader]:
    path = tmp_path_factory.mktemp("index") / "index.sqlite"
    with IndexWriter(path) as writer:
        for call in CALLS:
            writer.add(call, part_rows(call))
        writer.hold(HELD, "case 1")
    with IndexReader(path) as reader:
        yield reader


def some(values: type[Outcome] | type[Reason] | type[Direction]) -> st.SearchStrategy:
    return st.lists(st.sampled_from(list(values)), max_size=3, unique=True).map(tuple)


INSTANTS = st.none() | st.integers(0, 10 * 86_400).map(lambda seconds: START_NS + seconds * SECOND_NS)
MAYBE = st.none() | st.none() | st.booleans()
NUMBERS = st.builds(
    NumberMatch,
    searchable=st.sampled_from(["0312345678", "0698765432", "110", "03", "0", "00", "2001", "anon", "999"]),
    prefix=st.booleans(),
    roles=st.sampled_from([Role.CALLER, Role.CALLEE, Role.CALLER | Role.CALLEE | Role.DIVERTING]),
)
QUERIES = st.builds(
    Query,
    number=st.none() | NUMBERS,
    lines=st.lists(st.sampled_from(["0355500001", "0355500002", "0399999999"]), max_size=2, unique=True).map(tuple),
    enterprise=st.none() | st.none() | st.sampled_from(["E1", "E2", "E3", ""]),
    from_ns=INSTANTS,
    to_ns=INSTANTS,
    directions=some(Direction),
    outcomes=some(Outcome),
    reasons=some(Reason),
    least_ms=st.none() | st.sampled_from([0, 1, 500, 30_000]),
    most_ms=st.none() | st.sampled_from([0, 500, 30_000, 7_200_000]),
    least_mos=st.none() | st.sampled_from([3.0, 4.0]),
    most_mos=st.none() | st.sampled_from([3.0, 4.3]),
    dtmf=MAYBE,
    holds=MAYBE,
    legal_hold=MAYBE,
    sort=st.sampled_from(Sort),
    descending=st.booleans(),
    limit=st.just(1000),
)
MODEST = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MODEST
@given(query=QUERIES)
def test_answers_are_those_of_a_slow_filter(reader: IndexReader, query: Query) -> None:
    page = reader.search(query)
    expected = matching(CALLS, query, HELD)
    assert {hit.call_id for hit in page.hits} == set(expected)
    assert len(page.hits) == len(expected)
    assert page.after is None


@MODEST
@given(query=QUERIES)
def test_every_way_to_walk_gives_the_same(reader: IndexReader, query: Query) -> None:
    facts = reader.facts(query)
    ways = [Drive.ORDER, Drive.TIME, *(drive for drive, _ in facts.counts)]
    found = [answers(reader, query, facts, drive) for drive in ways]
    assert all(each == found[0] for each in found)


def answers(reader: IndexReader, query: Query, facts: Facts, drive: Drive) -> list[int]:
    text, parameters = build(query, facts, drive)
    return [row[0] for row in reader._connection.execute(text, parameters)]


@MODEST
@given(query=QUERIES, limit=st.integers(1, 60))
def test_pages_together_are_the_whole(reader: IndexReader, query: Query, limit: int) -> None:
    whole = reader.search(query).hits
    paged: list[Hit] = []
    after: After | None = None
    while True:
        page = reader.search(replace(query, limit=limit, after=after))
        assert len(page.hits) <= limit
        paged += page.hits
        if page.after is None:
            break
        after = page.after
    assert [hit.call_id for hit in paged] == [hit.call_id for hit in whole]
    assert len(paged) == len(matching(CALLS, query, HELD))


@MODEST
@given(query=QUERIES)
def test_order(reader: IndexReader, query: Query) -> None:
    value = {Sort.TIME: "started_ns", Sort.LENGTH: "length_ms", Sort.QUALITY: "mos"}[query.sort]
    values = [getattr(hit, value) for hit in reader.search(query).hits]
    assert values == sorted(values, reverse=query.descending)


def test_a_hit_tells_what_the_record_does(reader: IndexReader) -> None:
    for call in CALLS[:50]:
        (hit,) = reader.calls(call.call_id[:12])
        assert hit.call_id == call.call_id
        assert hit.started_at.isoformat(timespec="microseconds") == call.started_at[:26] + call.started_at[29:]
        assert (hit.outcome, hit.direction) == (call.outcome, call.direction)
        assert set(hit.reasons) == set(call.reasons)
        assert hit.reasons[:1] == call.reasons[:1]
        assert hit.length_ms == round(call.duration_s * 1000)
        assert (hit.enterprise, hit.line) == (call.enterprise or "", call.line or "")
        assert (hit.caller, hit.callee) == (call.caller.number, call.callee.number or call.dialled)
        assert (hit.dtmf, hit.holds, hit.completeness) == (len(call.dtmf), len(call.holds), call.completeness)
        assert hit.parts == part_rows(call)
        assert hit.legal_holds == (("case 1",) if call.call_id in HELD else ())


def test_links_are_found_from_the_earlier_call(reader: IndexReader) -> None:
    later = [call for call in CALLS if call.links.second_leg_of]
    assert later
    expected = sorted(("second_leg_of", call.call_id) for call in later)
    assert sorted(reader.followers("c0" * 32)) == expected


def facts(total: int, **counts: int) -> Facts:
    return Facts(
        everything=10**6,
        total=total,
        counts=tuple((Drive(name), count) for name, count in counts.items()),
        line_ids=(1,),
    )


@pytest.mark.parametrize(
    ("query", "known", "drive"),
    [
        (Query(), facts(10**6), Drive.ORDER),
        (Query(lines=("1",)), facts(10**6, line=5000), Drive.LINE),
        (Query(number=NumberMatch(searchable="1")), facts(10**6, number=20), Drive.NUMBER),
        (Query(number=NumberMatch(searchable="0", prefix=True)), facts(10**6, number=10**6), Drive.ORDER),
        (Query(number=NumberMatch(searchable="0", prefix=True)), facts(10**6, number=300), Drive.NUMBER),
        (Query(lines=("1",), outcomes=(Outcome.PARTLY,)), facts(10**6, line=500_000, outcome=100), Drive.OUTCOME),
        (Query(lines=("1",), outcomes=(Outcome.PARTLY,)), facts(10**6, line=100, outcome=500_000), Drive.LINE),
        (Query(lines=("1",), sort=Sort.LENGTH), facts(10**6, line=100), Drive.LINE),
        (Query(lines=("1",), sort=Sort.LENGTH), facts(10**6, line=900_000), Drive.ORDER),
        (Query(legal_hold=True), facts(10**6, legal_hold=3), Drive.LEGAL_HOLD),
        (Query(sort=Sort.LENGTH, from_ns=0), facts(4000), Drive.TIME),
        (Query(sort=Sort.LENGTH, from_ns=0), facts(900_000), Drive.ORDER),
        (Query(least_ms=10**7), facts(10**6, length=10), Drive.LENGTH),
        (Query(least_ms=1), facts(10**6, length=900_000), Drive.ORDER),
        (Query(), facts(0), Drive.ORDER),
    ],
)
def test_the_cheapest_way_is_taken(query: Query, known: Facts, drive: Drive) -> None:
    assert choose(query, known) is drive

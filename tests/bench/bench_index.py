"""The index with a million calls: every named query, its pages, the totals; and the rate of `rokubox reindex`.

    python -m tests.bench.bench_index [--quick] [--json]

The rows are made up (`index_rows`), the files that reindexing reads are real ones (`index_files`). A query is opened
like a command does it, in a connection of its own, and asked from what is known of the terms to the last hit; the
median of the runs counts, in a warm page cache. About 3 minutes on an idle machine.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.table import Table

from storage.archive import Archive
from storage.errors import DamagedRecordError
from storage.index import rebuild
from storage.index.query import NumberMatch, Query, Sort
from storage.index.reader import IndexReader
from storage.index.totals import Per, TotalsQuery
from storage.index.writer import IndexWriter
from storage.vocabulary import Direction, Outcome, Reason
from tests.bench.bench_import import Figure, NotMeasurable
from tests.bench.index_files import write_archive
from tests.bench.index_rows import CUSTOMERS, DAY_NS, DAYS, FIRST_NS, customer, line, rows

RUNS = 5
BATCH = 50_000
"""Rows made up at once, while the clock stands."""
PAGES = 5
"""Looked at behind the first one; the slowest counts."""
LIMIT_MS = 50.0
RATE = 5000.0
MIDDLE = DAYS // 2


def _day(number: int) -> int:
    return FIRST_NS + number * DAY_NS


def _prefix(digits: str) -> NumberMatch:
    return NumberMatch(searchable=digits, prefix=True)


BUSY, QUIET = (line(3),), (line(150),)
FREQUENT, SELDOM = NumberMatch(searchable=customer(7)), NumberMatch(searchable=customer(CUSTOMERS - 9_999))
LOST = (Outcome.NOT_RECORDED,)
QUERIES = {
    "newest": Query(),
    "oldest": Query(descending=False),
    "line": Query(lines=BUSY),
    "quiet line": Query(lines=QUIET),
    "two lines": Query(lines=BUSY + QUIET),
    "number": Query(number=FREQUENT),
    "seldom number": Query(number=SELDOM),
    "line as number": Query(number=NumberMatch(searchable=BUSY[0])),
    "prefix, 2 digits": Query(number=_prefix("03")),
    "prefix, 4 digits": Query(number=_prefix(FREQUENT.searchable[:4])),
    "prefix, 6 digits": Query(number=_prefix(FREQUENT.searchable[:6])),
    "prefix of nobody": Query(number=_prefix("0999")),
    "day": Query(from_ns=_day(MIDDLE), to_ns=_day(MIDDLE + 1)),
    "month": Query(from_ns=_day(MIDDLE), to_ns=_day(MIDDLE + 30)),
    "outcome": Query(outcomes=LOST),
    "usual outcome": Query(outcomes=(Outcome.RECORDED,)),
    "two outcomes": Query(outcomes=(*LOST, Outcome.PARTLY)),
    "reason": Query(reasons=(Reason.ENCRYPTED,)),
    "direction": Query(directions=(Direction.IN,)),
    "line + month": Query(lines=BUSY, from_ns=_day(MIDDLE), to_ns=_day(MIDDLE + 30)),
    "line + outcome": Query(lines=BUSY, outcomes=LOST),
    "quiet line + outcome": Query(lines=QUIET, outcomes=LOST),
    "line + number": Query(lines=BUSY, number=FREQUENT),
    "line + prefix": Query(lines=BUSY, number=_prefix(FREQUENT.searchable[:5])),
    "quiet line + wide prefix": Query(lines=QUIET, number=_prefix("06")),
    "number + month": Query(number=FREQUENT, from_ns=_day(MIDDLE), to_ns=_day(MIDDLE + 30)),
    "number + outcome": Query(number=FREQUENT, outcomes=LOST),
    "prefix + month": Query(number=_prefix(FREQUENT.searchable[:5]), from_ns=_day(MIDDLE), to_ns=_day(MIDDLE + 30)),
    "prefix + outcome": Query(number=_prefix(FREQUENT.searchable[:5]), outcomes=LOST),
    "wide prefix + outcome": Query(number=_prefix("06"), outcomes=LOST),
    "outcome + month": Query(outcomes=LOST, from_ns=_day(MIDDLE), to_ns=_day(MIDDLE + 30)),
    "line + outcome + month": Query(lines=BUSY, outcomes=LOST, from_ns=_day(MIDDLE), to_ns=_day(MIDDLE + 30)),
    "line + outcome + month + prefix": Query(
        lines=BUSY, outcomes=LOST, number=_prefix("09"), from_ns=_day(MIDDLE), to_ns=_day(MIDDLE + 30)
    ),
    "longest": Query(sort=Sort.LENGTH),
    "longest of a line": Query(lines=BUSY, sort=Sort.LENGTH),
    "longest of a day": Query(from_ns=_day(MIDDLE), to_ns=_day(MIDDLE + 1), sort=Sort.LENGTH),
    "longest of a number": Query(number=FREQUENT, sort=Sort.LENGTH),
    "poorest": Query(sort=Sort.QUALITY, descending=False),
    "poorest of a quiet line": Query(lines=QUIET, sort=Sort.QUALITY, descending=False),
    "longer than 20 min": Query(least_ms=1_200_000),
    "MOS below 3.25": Query(most_mos=3.25),
    "keys and holds": Query(dtmf=True, holds=True),
}
TOTALS = {
    "totals by month": TotalsQuery(per=Per.MONTH),
    "totals by day": TotalsQuery(),
    "totals by day and outcome": TotalsQuery(by_outcome=True),
    "totals of a line by month": TotalsQuery(per=Per.MONTH, lines=BUSY),
    "totals of a month by line": TotalsQuery(per=Per.MONTH, by_line=True, first_day=20250501, last_day=20250531),
    "totals of a month by line and outcome": TotalsQuery(
        per=Per.MONTH, by_line=True, by_outcome=True, first_day=20250501, last_day=20250531
    ),
}


def _median_ms(work: Callable[[], object]) -> float:
    took = []
    for _ in range(RUNS):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def _search(path: Path, query: Query) -> None:
    with IndexReader(path) as index:
        index.search(query)


def _sum_up(path: Path, query: TotalsQuery) -> None:
    with IndexReader(path) as index:
        index.totals(query)


def _pages_ms(path: Path, query: Query) -> float:
    """The slowest of the pages behind the first."""
    slowest = 0.0
    with IndexReader(path) as index:
        after = index.search(query).after
    for _ in range(PAGES):
        if after is None:
            break
        further = replace(query, after=after)
        slowest = max(slowest, _median_ms(partial(_search, path, further)))
        with IndexReader(path) as index:
            after = index.search(further).after
    return slowest


def queries(path: Path) -> list[Figure]:
    """Every query and its pages, and the totals."""
    found: dict[str, float] = {}
    for name, query in QUERIES.items():
        found[name] = _median_ms(partial(_search, path, query))
        if slowest := _pages_ms(path, query):
            found[f"{name}, slowest page"] = slowest
    for name, totals in TOTALS.items():
        found[name] = _median_ms(partial(_sum_up, path, totals))
    return [Figure(name=f"{name}, ms", value=ms, target=LIMIT_MS, stretch=LIMIT_MS / 5) for name, ms in found.items()]


def filling(path: Path, calls: int) -> list[Figure]:
    """Make the index of a million calls, as reindexing does once the files are read."""
    took = 0.0
    made = rows(calls)
    with IndexWriter(path, filling=True) as index:
        while batch := list(islice(made, BATCH)):
            began = time.perf_counter()
            for row in batch:
                index.put(row)
            took += time.perf_counter() - began
        began = time.perf_counter()
        index.finish_filling()
    took += time.perf_counter() - began
    return [
        Figure(name=f"{calls:,} rows written and indexed, rows/s", value=calls / took, target=None, stretch=None),
        Figure(name="size of the index, bytes a call", value=path.stat().st_size / calls, target=None, stretch=None),
    ]


def purging(path: Path) -> list[Figure]:
    """Remove a call so that no byte of it stays."""
    with IndexReader(path) as reader:
        (hit,) = reader.search(Query(limit=1)).hits
    with IndexWriter(path) as index:
        index.remove([hit.call_id])
        index.commit()
        began = time.perf_counter()
        index.purge()
        took = time.perf_counter() - began
    return [Figure(name="written anew without a trace of what was removed, s", value=took, target=None, stretch=None)]


def reindexing(root: Path, calls: int) -> list[Figure]:
    """Rebuild from files."""
    write_archive(root, calls)
    damaged: list[DamagedRecordError] = []
    began, cpu = time.perf_counter(), time.process_time()
    count = rebuild.rebuild(Archive(root), 0, lambda _first: (), damaged.append, lambda _done, _total: None)
    took, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    if damaged or count != calls:
        raise NotMeasurable(f"{count} calls in the index, {calls} expected; {len(damaged)} damaged")
    return [
        Figure(name=name, value=value, target=RATE, stretch=2 * RATE, at_least=True)
        for name, value in (
            (f"reindex of {calls:,} calls, calls/s", calls / took),
            ("reindex, calls per CPU second", calls / cpu_s),
        )
    ]


def table(figures: Sequence[Figure], calls: int) -> Table:
    """The result for people."""
    shown = Table(title=f"the index with {calls:,} calls: median of {RUNS}")
    shown.add_column("figure")
    for heading in ("measured", "target", "stretch"):
        shown.add_column(heading, justify="right")
    shown.add_column("")
    for figure in figures:
        limits = ["" if limit is None else f"{limit:,g}" for limit in (figure.target, figure.stretch)]
        shown.add_row(figure.name, f"{figure.value:,.1f}", *limits, figure.verdict())
    return shown


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 0, or 1 when something could not be measured."""
    parser = argparse.ArgumentParser(description="Measure the index.")
    parser.add_argument("--calls", type=int, default=1_000_000, help="calls in the index (default: a million)")
    parser.add_argument("--files", type=int, default=50_000, help="call records to reindex (default: 50,000)")
    parser.add_argument("--quick", action="store_true", help="100,000 calls, 5,000 files: says little, takes seconds")
    parser.add_argument("--folder", type=Path, help="where index and archive are made (default: bench-out)")
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    wanted = parser.parse_args(argv)
    calls, files = (100_000, 5_000) if wanted.quick else (wanted.calls, wanted.files)
    parent = wanted.folder or Path("bench-out")
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix="index-") as folder:
        path = Path(folder) / "index.sqlite"
        try:
            figures = reindexing(Path(folder) / "archive", files)
            figures += [*filling(path, calls), *queries(path), *purging(path)]
        except NotMeasurable as error:
            print(error, file=sys.stderr)
            return 1
    if wanted.json:
        print(json.dumps({"calls": calls, "figures": [asdict(each) | {"verdict": each.verdict()} for each in figures]}))
    else:
        Console().print(table(figures, calls))
    return 0


if __name__ == "__main__":
    sys.exit(main())

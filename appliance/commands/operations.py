"""`rokubox operations`: the monthly operations report."""

import argparse
import re
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.errors import ConfigurationError
from appliance.failures import INPUT, OK

if TYPE_CHECKING:
    from appliance.config import Configuration
    from appliance.outages.levels import Month
    from appliance.outages.monthly import Operations, Work
    from storage.archive import Archive

MAX_WORKS = 1000
EPILOG = """\
Availability against 99.7 %, outages with time to repair (2 h) and to notification (30 min) and what is refund-relevant,
traffic, ports in use, works done. One HTML page, ready to be printed, and two CSV files.
月次運用報告書（稼働率、障害、トラフィック、使用回線数、実施作業）を作成します。

examples:
  rokubox operations --month 2026-01 --config rokubox.toml --output reports
"""


def add(commands: Commands) -> None:
    """Declare `rokubox operations`."""
    parser = command(
        commands,
        "operations",
        help="write the monthly operations report 月次運用報告",
        description="Write the monthly operations report: HTML and CSV.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    parser.add_argument("--month", type=_month, metavar="YYYY-MM", help="which month (default: the last one)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder that it is written to")
    parser.add_argument("--language", choices=("ja", "en", "both"), default="both", help="its language")
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="no report was written")


def _month(text: str) -> tuple[int, int]:
    if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no month; write one like 2026-01")
    return int(text[:4]), int(text[5:])


def _run(arguments: argparse.Namespace) -> int:
    from appliance.diagnosis.report import signing
    from appliance.diagnosis.report.repair import Box
    from appliance.outages import levels, monthly
    from appliance.show.labels import Language
    from storage.archive import Archive

    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    year, month = arguments.month or _last_month(configuration)
    span = levels.Month.of(year, month, configuration.zone)
    if span.begin_ns > time.time_ns():
        raise ConfigurationError("--month: that month has not begun")
    found = _gather(archive, span, year * 100 + month)
    key = signing.read_key(Path(configuration.storage.device_key or archive.ledger / "device.key"))
    site = configuration.site
    box = Box(
        customer=site.customer,
        site=site.site,
        serial=site.serial,
        zone=configuration.zone,
        key_fingerprint=signing.fingerprint(key),
    )
    languages = {"ja": (Language.JA,), "en": (Language.EN,), "both": (Language.JA, Language.EN)}[arguments.language]
    stem = f"operations_{site.serial or 'rokubox'}_{found.month}".replace("/", "_")
    page = monthly.report(box, found, levels.shipped(), languages)
    written = signing.write(page, arguments.output / f"{stem}.html", key)
    written += signing.write(monthly.outages_csv(found.outages, box), arguments.output / f"{stem}_outages.csv", None)
    written += signing.write(monthly.traffic_csv(found.days), arguments.output / f"{stem}_traffic.csv", None)
    for path in written:
        print(path)
    return OK


def _last_month(configuration: "Configuration") -> tuple[int, int]:
    today = datetime.now(configuration.zone)
    return (today.year, today.month - 1) if today.month > 1 else (today.year - 1, 12)


def _gather(archive: "Archive", span: "Month", month: int) -> "Operations":
    from appliance.outages import levels
    from appliance.outages.book import OutageBook
    from appliance.outages.monthly import Operations
    from appliance.version import software
    from storage.index.reader import IndexReader
    from storage.index.totals import Per, TotalsQuery

    now_ns, shipped = time.time_ns(), levels.shipped()
    concerned = [each for each in OutageBook(archive).outages() if each.within(span.begin_ns, span.end_ns)]
    first, last = month * 100 + 1, month * 100 + 31
    with IndexReader(archive.index) as index:
        days = index.totals(TotalsQuery(first_day=first, last_day=last))
        outcomes = index.totals(TotalsQuery(first_day=first, last_day=last, per=Per.MONTH, by_outcome=True))
    return Operations(
        month=f"{month // 100:04}-{month % 100:02}",
        sums=levels.sums(concerned, span, now_ns),
        outages=tuple(levels.judge(each, shipped, now_ns) for each in concerned),
        days=tuple(days),
        outcomes=tuple(outcomes),
        works=tuple(_works(archive, span)[-MAX_WORKS:]),
        software=software(),
    )


def _works(archive: "Archive", span: "Month") -> "list[Work]":
    """What was done to the box within a month, as the ledger tells it."""
    from appliance.outages.monthly import Work
    from storage.ledger.entries import Configuration, Erasure, Export, Hold, Key, Trial
    from storage.ledger.view import LedgerView
    from storage.timestamps import instant_ns

    return [
        Work(at=line.entry.at, kind=line.entry.kind, who=line.entry.who, why=line.entry.why)
        for line in LedgerView(archive.ledger).lines()
        if isinstance(line.entry, Configuration | Erasure | Export | Hold | Key | Trial)
        and span.begin_ns <= instant_ns(line.entry.at) < span.end_ns
    ]

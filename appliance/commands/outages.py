"""`rokubox outages`: the outage ledger, and the entry of when an outage was reported to the provider."""

import argparse
import json
import time
from datetime import datetime, tzinfo

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.custody import attribution
from appliance.errors import ConfigurationError
from appliance.failures import INPUT, OK

EPILOG = """\
The agent enters when an outage began, was detected, was told to the NOC, and was over. When it was reported to the
provider only you know: refunds count from then on.
障害台帳です。通信事業者へ申告した時刻は --reported で記録してください（返還条件の起算点になります）。

examples:
  rokubox outages --config rokubox.toml
  rokubox outages --reported telephony-1767225600 --at "2026-01-01 09:30"
  rokubox outages --json | jq 'select(.reported == null)'
"""


def add(commands: Commands) -> None:
    """Declare `rokubox outages`."""
    parser = command(
        commands,
        "outages",
        help="list outages, and enter when one was reported 障害台帳",
        description="List outages, held against service levels, or enter when one was reported to the provider.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    parser.add_argument("--reported", metavar="ID", help="this outage was reported to the provider")
    parser.add_argument("--at", metavar="TIME", help="when, local time YYYY-MM-DD HH:MM (default: now)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    attribution.arguments(parser, needs_why=False)
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="nothing was entered")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.outages.book import OutageBook
    from storage.archive import Archive

    configuration = configuration_of(arguments)
    book = OutageBook(Archive(archive_of(arguments, configuration)))
    if arguments.reported:
        _report(arguments, book, configuration.zone)
    elif arguments.at:
        raise ConfigurationError("--at goes with --reported ID")
    else:
        _list(arguments, book, configuration.zone)
    return OK


def _report(arguments: argparse.Namespace, book: "object", zone: tzinfo) -> None:
    from appliance.outages.book import OutageBook
    from appliance.outages.outage import Line, Mark

    assert isinstance(book, OutageBook)
    known = {outage.id: outage for outage in book.outages()}
    outage = known.get(arguments.reported)
    if outage is None:
        raise ConfigurationError(f"--reported: there is no outage {arguments.reported!r}; `rokubox outages` lists them")
    if outage.reported_ns is not None:
        raise ConfigurationError(f"{outage.id}: was reported already; what is entered stays")
    at_ns = time.time_ns() if arguments.at is None else _instant_ns(arguments.at, zone)
    if at_ns < outage.began_ns:
        raise ConfigurationError("--at: that is before the outage began")
    book.add([Line(outage=outage.id, mark=Mark.REPORTED, at_ns=at_ns, who=attribution.who(arguments))])


def _instant_ns(text: str, zone: tzinfo) -> int:
    try:
        return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * 1_000_000_000
    except ValueError:
        raise ConfigurationError(f"--at: {text!r} is no time; write one like '2026-01-31 09:30'") from None


def _list(arguments: argparse.Namespace, book: "object", zone: tzinfo) -> None:
    from appliance.diagnosis import texts
    from appliance.diagnosis.report.repair import at
    from appliance.outages import levels, planned
    from appliance.outages.book import OutageBook
    from appliance.presentation.terminal import printable
    from appliance.show.labels import Language

    assert isinstance(book, OutageBook)
    shipped, now_ns = levels.shipped(), time.time_ns()
    for outage in book.outages():
        judged = levels.judge(outage, shipped, now_ns)
        times = {
            "began": outage.began_ns,
            "detected": outage.detected_ns,
            "notified": outage.notified_ns,
            "reported": outage.reported_ns,
            "ended": outage.ended_ns,
        }
        shown = {name: None if ns is None else at(ns, zone) for name, ns in times.items()}
        if arguments.json:
            document = {"id": outage.id, "service": outage.service, "domains": outage.domains, "rows": outage.rows}
            levels_met = {"repair_ok": judged.repair_ok, "notification_ok": judged.notification_ok}
            print(json.dumps({**document, **shown, **levels_met, "refunds": dict(judged.refunds)}, ensure_ascii=False))
            continue
        whose = texts.domains(outage.domains, Language.BOTH)
        what = planned.title(outage.rows[-1], Language.BOTH)
        print(printable(f"{outage.id}  {whose}  {what}"))
        print("  " + ", ".join(f"{name} {told or '-'}" for name, told in shown.items()))

"""A stretch of time given on the command line, in local time of the site."""

import argparse
import re
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from appliance.errors import ConfigurationError

NS_PER_S = 1_000_000_000
_FORM = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?)?")


def arguments(group: Any) -> None:
    """Declare `--from`, `--to` and `--day`."""
    group.add_argument("--from", dest="first", type=_time, metavar="TIME", help="started then or later")
    group.add_argument("--to", dest="last", type=_time, metavar="TIME", help="started before; a date alone is included")
    group.add_argument("--day", type=_time, metavar="DATE", help="started on this date")


def _time(text: str) -> str:
    try:
        if not _FORM.fullmatch(text):
            raise ValueError
        datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: 2026-01-02, or 2026-01-02T15:04") from None
    return text


def dates(arguments: argparse.Namespace) -> tuple[int, int]:
    """First and last date, as YYYYMMDD, where only dates make sense. Raises ConfigurationError."""
    first, last = _ends(arguments)
    if any(text is not None and "T" in text for text in (first, last)):
        raise ConfigurationError("totals are of whole days: give dates without a time")
    return (0 if first is None else _number(first), 99991231 if last is None else _number(last))


def instants(arguments: argparse.Namespace, zone: ZoneInfo) -> tuple[int | None, int | None]:
    """First instant, and the first one behind, in nanoseconds since 1970. Raises ConfigurationError."""
    first, last = _ends(arguments)
    first_ns = None if first is None else _instant_ns(datetime.fromisoformat(first), zone)
    if last is None:
        return first_ns, None
    end = datetime.fromisoformat(last)
    try:
        return first_ns, _instant_ns(end if "T" in last else end + timedelta(days=1), zone)
    except OverflowError:
        return first_ns, None


def _ends(arguments: argparse.Namespace) -> tuple[str | None, str | None]:
    if arguments.day is not None and (arguments.first is not None or arguments.last is not None):
        raise ConfigurationError("give --day, or --from and --to")
    first, last = (arguments.day, arguments.day) if arguments.day else (arguments.first, arguments.last)
    if first is not None and last is not None and last[:10] < first[:10]:
        raise ConfigurationError("--to lies before --from")
    return first, last


def _instant_ns(local: datetime, zone: ZoneInfo) -> int:
    """Clamped to what the index can hold."""
    return min(max(int(local.replace(tzinfo=zone).timestamp()), 0) * NS_PER_S, (1 << 63) - 1)


def _number(text: str) -> int:
    return int(text.replace("-", ""))

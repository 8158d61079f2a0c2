"""Instants as text: RFC 3339 with nanoseconds and the site's offset, and the local time in file names.

Pure. The site's zone is always an argument; the zone of the process never matters.
"""

from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

NS_PER_S = 1_000_000_000
_MINUTE_S = 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_S = 253_402_214_400
"""9999-12-31 00:00 UTC. Only a forged capture carries later times; they are shown as this one."""


def local_time(instant_ns: int, zone: ZoneInfo) -> datetime:
    """The instant to the second (rounded down) in `zone`, its offset in whole minutes.

    RFC 3339 and file names cannot show an offset with seconds; the tz database has a few from before 1972.
    """
    seconds = min(max(instant_ns // NS_PER_S, 0), _LATEST_S)
    return datetime.fromtimestamp(seconds, _offset(seconds // _MINUTE_S, zone))


@lru_cache(maxsize=256)
def _offset(minute: int, zone: ZoneInfo) -> timezone:
    """The offset that holds in a minute since 1970; it never changes within one."""
    offset = datetime.fromtimestamp(minute * _MINUTE_S, zone).utcoffset() or timedelta()
    return timezone(timedelta(minutes=offset // timedelta(minutes=1)))


def rfc3339(instant_ns: int, zone: ZoneInfo) -> str:
    """`2026-01-02T03:04:05.123456789+09:00` for nanoseconds since 1970 (RFC 3339 section 5.6)."""
    local = local_time(instant_ns, zone).isoformat()
    return f"{local[:19]}.{max(instant_ns, 0) % NS_PER_S:09d}{local[19:]}"


def instant_ns(text: str) -> int:
    """Nanoseconds since 1970 of what `rfc3339` wrote. Raises ValueError for anything else."""
    minute, second, fraction = text[14:16], text[17:19], text[20:29]
    digits = minute + second + fraction
    if len(text) != 35 or text[19] != "." or not (digits.isascii() and digits.isdigit()):
        raise ValueError("not a time with nanoseconds and offset")
    if text[13] != ":" or text[16] != ":" or minute > "59" or second > "59":
        raise ValueError("not a time of day")
    return (_hour_s(text[:13], text[29:]) + int(minute) * _MINUTE_S + int(second)) * NS_PER_S + int(fraction)


@lru_cache(maxsize=1024)
def _hour_s(hour: str, offset: str) -> int:
    """Seconds since 1970 of a full hour: many times are within a few."""
    return (datetime.fromisoformat(f"{hour}:00:00{offset}") - _EPOCH) // timedelta(seconds=1)

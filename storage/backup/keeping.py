"""What backups are called and which are kept. Pure."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

_NAME = re.compile(r"rokubox-(\d{8}T\d{6}Z)\.tar\.gz")
_TIME = "%Y%m%dT%H%M%SZ"


def name(at: datetime) -> str:
    """What a backup made at this time is called."""
    return f"rokubox-{at.astimezone(UTC).strftime(_TIME)}.tar.gz"


def made_at(name: str) -> datetime | None:
    """When the backup of this name was made; None when it is none."""
    match = _NAME.fullmatch(name)
    try:
        return datetime.strptime(match[1], _TIME).replace(tzinfo=UTC) if match else None
    except ValueError:
        return None


def outdated(names: Iterable[str], today: date | None, keep_days: int) -> list[str]:
    """The backups to be removed: older than `keep_days`, and never the newest.

    `today` is None while the clock is not confirmed: then none is.
    """
    by_time = sorted((at, name) for name in names if (at := made_at(name)) is not None)
    if today is None:
        return []
    return [name for at, name in by_time[:-1] if at.date() < today - timedelta(days=keep_days)]


def newest(names: Iterable[str]) -> datetime | None:
    """When the newest of these backups was made; None when none of them is one."""
    return max((at for name in names if (at := made_at(name)) is not None), default=None)


def is_due(names: Iterable[str], local_now: datetime, hour: int) -> bool:
    """Whether a backup is to be made: it is past the hour, and none was made since that hour of the last day."""
    latest = newest(names)
    due = local_now.replace(hour=hour, minute=0, second=0, microsecond=0)
    if due > local_now:
        due -= timedelta(days=1)
    return latest is None or latest < due

"""Which backups are kept, and when one is due."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.backup.keeping import is_due, made_at, name, outdated

TOKYO = ZoneInfo("Asia/Tokyo")


def test_names() -> None:
    at = datetime(2026, 1, 2, 2, 0, 5, tzinfo=TOKYO)
    assert name(at) == "rokubox-20260101T170005Z.tar.gz"
    assert made_at(name(at)) == at
    for other in ("rokubox-20261301T170005Z.tar.gz", ".rokubox-20260101T170005Z.tar.gz.tmp-1", "photo.jpg"):
        assert made_at(other) is None


NAMES = [name(datetime(2026, month, 1, tzinfo=UTC)) for month in (1, 2, 3)]


@pytest.mark.parametrize(
    ("today", "old"),
    [
        (date(2026, 4, 4), 0),
        (date(2026, 4, 5), 1),
        (date(2026, 6, 1), 2),
        (date(2099, 1, 1), 2),
        (None, 0),
    ],
)
def test_three_months_and_never_the_newest(today: date | None, old: int) -> None:
    assert outdated([*reversed(NAMES), "photo.jpg"], today, 93) == NAMES[:old]


@given(st.lists(st.dates(date(2020, 1, 1), date(2030, 1, 1)), max_size=20), st.dates(), st.integers(1, 3653))
def test_what_goes_is_old(days: list[date], today: date, keep_days: int) -> None:
    names = [name(datetime(day.year, day.month, day.day, tzinfo=UTC)) for day in days]
    gone = outdated(names, today, keep_days)
    assert all((today - made_at(one).date()).days > keep_days for one in gone)  # type: ignore[union-attr]
    assert not names or max(names) not in gone or names.count(max(names)) > 1


@pytest.mark.parametrize(
    ("made", "now", "due"),
    [
        (None, "2026-01-02T12:00", True),
        ("2026-01-01T02:00", "2026-01-02T01:59", False),
        ("2026-01-01T02:00", "2026-01-02T02:00", True),
        ("2026-01-02T02:00", "2026-01-02T23:00", False),
        ("2026-01-01T12:00", "2026-01-02T01:00", False),
        ("2026-01-01T12:00", "2026-01-02T02:01", True),
    ],
)
def test_once_a_night(made: str | None, now: str, due: bool) -> None:
    names = [name(datetime.fromisoformat(made).replace(tzinfo=TOKYO))] if made else ["photo.jpg"]
    assert is_due(names, datetime.fromisoformat(now).replace(tzinfo=TOKYO), 2) is due


def test_a_box_that_was_off_at_night_makes_it_in_the_morning() -> None:
    names = [name(datetime(2026, 1, 1, 2, tzinfo=TOKYO))]
    morning = datetime(2026, 1, 2, 8, tzinfo=TOKYO)
    assert is_due(names, morning, 2)
    assert not is_due([*names, name(morning)], morning + timedelta(hours=1), 2)

import time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.timestamps import instant_ns, local_time, rfc3339
from tests.storage.samples import START_NS, TOKYO


@pytest.mark.parametrize(
    ("instant", "zone", "text"),
    [
        (START_NS, "Asia/Tokyo", "2026-01-02T03:04:05.123456789+09:00"),
        (START_NS, "UTC", "2026-01-01T18:04:05.123456789+00:00"),
        (START_NS, "America/St_Johns", "2026-01-01T14:34:05.123456789-03:30"),
        (1_792_887_600 * 10**9, "Europe/Berlin", "2026-10-25T02:20:00.000000000+02:00"),
        (1_792_891_200 * 10**9, "Europe/Berlin", "2026-10-25T02:20:00.000000000+01:00"),
        (0, "Africa/Monrovia", "1969-12-31T23:15:00.000000000-00:45"),
        (-1, "UTC", "1970-01-01T00:00:00.000000000+00:00"),
        (2**64 * 10**9, "Asia/Tokyo", "9999-12-31T09:00:00.000000000+09:00"),
    ],
)
def test_written(instant, zone, text):
    assert rfc3339(instant, ZoneInfo(zone)) == text


@given(
    st.integers(0, 4_000_000_000 * 10**9), st.sampled_from(["Asia/Tokyo", "UTC", "America/St_Johns", "Asia/Kolkata"])
)
@settings(max_examples=100, deadline=None)
def test_read_back(instant, zone):
    assert instant_ns(rfc3339(instant, ZoneInfo(zone))) == instant


@pytest.mark.parametrize(
    "text", ["", "2026-01-02", "2026-01-02T03:04:05.123456789+09:0x", "2026-19-02T03:04:05.000000000Z"]
)
def test_not_a_time(text):
    with pytest.raises(ValueError, match=r".+"):
        instant_ns(text)


def test_the_zone_of_the_process_does_not_matter(monkeypatch):
    try:
        for zone in ("America/New_York", "Asia/Kathmandu"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            assert local_time(START_NS, TOKYO).strftime("%Y%m%dT%H%M%S%z") == "20260102T030405+0900"
    finally:
        monkeypatch.undo()
        time.tzset()

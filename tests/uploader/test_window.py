from datetime import datetime

import pytest

from uploader.window import Window


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("22:00-05:00", ("22:00", "23:59", "00:00", "04:59"), ("21:59", "05:00", "12:00")),
        ("01:00-05:00", ("01:00", "04:59"), ("00:59", "05:00", "23:00")),
        ("00:00-23:59", ("00:00", "23:58"), ("23:59",)),
    ],
)
def test_from_one_minute_to_another_also_over_midnight(text: str, inside: tuple[str], outside: tuple[str]) -> None:
    window = Window.parse(text)
    for times, expected in ((inside, True), (outside, False)):
        for time in times:
            assert window.is_open(datetime.strptime(time, "%H:%M")) is expected, time


@pytest.mark.parametrize("text", ["", "22-05", "24:00-05:00", "22:60-05:00", "22:00-22:00", "22:00 - 05:00"])
def test_what_is_no_window(text: str) -> None:
    with pytest.raises(ValueError, match="22"):
        Window.parse(text or "22")

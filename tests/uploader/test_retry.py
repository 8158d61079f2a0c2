from hypothesis import given
from hypothesis import strategies as st

from uploader import retry
from uploader.throttle import Throttle


def test_waits_double_up_to_an_hour() -> None:
    assert [retry.wait_s(failures, 0.9999999) // 1 for failures in (1, 2, 3, 7, 8, 500)] == [
        29,
        59,
        119,
        1919,
        3599,
        3599,
    ]


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_takes_up_to_half(failures: int, fraction: float) -> None:
    longest_s = retry.wait_s(failures, 1.0)
    assert longest_s / 2 <= retry.wait_s(failures, fraction) <= longest_s <= retry.MOST_S


@given(st.floats(0.1, 1e9), st.floats(0, 1, exclude_max=True))
def test_what_the_target_asks_for_is_honoured_for_a_day(asked_s: float, fraction: float) -> None:
    waited_s = retry.wait_s(1, fraction, asked_s)
    assert waited_s >= min(asked_s, retry.MOST_ASKED_S)
    assert waited_s <= retry.MOST_ASKED_S + retry.FIRST_S


def test_a_throttle_spreads_what_goes_through_evenly() -> None:
    throttle = Throttle(1000)
    assert [throttle.wait_s(500, 10.0) for _ in range(4)] == [0, 0.5, 1.0, 1.5]
    assert throttle.wait_s(500, 20.0) == 0  # nothing is saved up while nothing is sent
    assert throttle.wait_s(500, 20.0) == 0.5
    assert Throttle(0).wait_s(1 << 40, 0.0) == 0

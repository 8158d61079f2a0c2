from appliance.supervision.backoff import Backoff


def test_early_deaths_take_it_up_to_the_longest_delay() -> None:
    backoff = Backoff([0, 1, 5], calm_s=10)
    assert [backoff.after(9.9) for _ in range(5)] == [0, 1, 5, 5, 5]


def test_each_calm_time_takes_it_back_by_a_delay() -> None:
    backoff = Backoff([0, 1, 2, 5], calm_s=10)
    assert [backoff.after(lived_s) for lived_s in (0, 0, 0, 0, 10, 29, 10, 0)] == [0, 1, 2, 5, 2, 1, 1, 2]


def test_a_long_life_takes_it_back_to_the_start() -> None:
    backoff = Backoff([0, 1, 2, 5], calm_s=10)
    assert [backoff.after(lived_s) for lived_s in (0, 0, 0, 1e9, 0)] == [0, 1, 2, 0, 1]

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.quality import BPL_CONCEALED, BPL_UNCONCEALED, burst_ratio, listening_mos


@pytest.mark.parametrize(("loss_percent", "mos"), [(0, 4.41), (0.5, 4.14), (1, 3.83), (2, 3.26), (5, 2.17), (10, 1.48)])
def test_published_scores_without_concealment(loss_percent: float, mos: float) -> None:
    assert listening_mos(loss_percent / 100, bpl=BPL_UNCONCEALED) == pytest.approx(mos, abs=0.005)


def test_concealment_is_the_default() -> None:
    assert listening_mos(0.02) == listening_mos(0.02, 1.0, BPL_CONCEALED)
    assert listening_mos(0.02) == pytest.approx(4.23, abs=0.005)


def test_bursts_sound_worse_than_scattered_loss() -> None:
    assert listening_mos(0.05, 2.0) < listening_mos(0.05, 1.0)


def test_burst_ratio_below_one_counts_as_one() -> None:
    assert listening_mos(0.05, 0.3) == listening_mos(0.05, 1.0)


@given(loss=st.floats(0, 1), more=st.floats(0, 1), bursts=st.floats(1, 1000), bpl=st.sampled_from([4.3, 25.1]))
@settings(max_examples=100, deadline=None)
def test_scores_are_bounded_and_fall_with_loss(loss: float, more: float, bursts: float, bpl: float) -> None:
    low, high = sorted([loss, more])
    better, worse = listening_mos(low, bursts, bpl), listening_mos(high, bursts, bpl)
    assert 1.0 <= worse <= better <= 4.5


@pytest.mark.parametrize(
    ("lost", "received", "loss_runs", "ratio"),
    [
        (0, 1000, 0, 1.0),
        (10, 990, 10, 1.0),  # never two in a row: no burst
        (100, 900, 10, 9.0),  # runs of 10 where random loss gives 1 / 0.9
        (100, 900, 90, 1.0),  # exactly random
        (500, 500, 1, 250.0),
        (1000, 0, 1, 1.0),  # a ratio to an endless run says nothing
    ],
)
def test_burst_ratio(lost: int, received: int, loss_runs: int, ratio: float) -> None:
    assert burst_ratio(lost, received, loss_runs) == pytest.approx(ratio)

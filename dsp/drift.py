"""Drift of a sender's sampling clock against ours, from arrival times and RTP timestamps.

The transit time of a packet is a constant, plus what queues added, minus drift times elapsed time. Queues only add, so
the least transit of a window of packets is nearly free of them. Three views of the windows are fitted by weighted least
squares, and the one whose residuals promise the smallest error of slope is taken:

- the least transit of each second, which one packet with a wrong time cannot bend far;
- the least transit of each eighth of the stretch, exact when jitter has a firm floor;
- the mean of each second, exact when jitter is symmetric and small.

A path so congested that its least delay wanders gives no figure. One whose least delay changes once, for good, inside
the stretch, or rises steadily, cannot be told from drift.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MIN_EXTENT_S = 60
"""A shorter stretch says nothing about parts per million."""
MAX_ERROR_PPM = 50
"""A slope with a larger standard error is the path's doing, not the clock's."""
_MIN_WINDOWS = 30
"""Seconds that must hold packets: a few comfort-noise packets an hour apart are not a measurement."""
_LONG_WINDOWS = 8
_SECOND_NS = 1e9


def drift_ppm(arrival_ns: npt.NDArray[np.int64], rtp_time: npt.NDArray[np.int64], clock_hz: int = 8000) -> float | None:
    """Parts per million by which the sender's clock is fast (positive) or slow; None when there is too little to tell.

    `arrival_ns` is in nanoseconds, `rtp_time` in unwrapped ticks of `clock_hz`, both of shape `(n,)`, in order of
    arrival, without packets whose timestamp is not their sending time and without a re-anchoring of the time line.
    """
    if len(arrival_ns) == 0 or np.ptp(rtp_time) < MIN_EXTENT_S * clock_hz or np.ptp(arrival_ns) < MIN_EXTENT_S * 1e9:
        return None
    media_ns = (rtp_time - rtp_time.min()) * (_SECOND_NS / clock_hz)
    transit_ns = (arrival_ns - arrival_ns[0]) - media_ns
    seconds = _windows(media_ns, _SECOND_NS)
    if len(seconds) < _MIN_WINDOWS:
        return None
    slope, _ = _least_line(media_ns, transit_ns, seconds)
    correction, error = _best_line(media_ns, transit_ns - slope * media_ns, seconds)
    slope += correction
    return -slope / (1 + slope) * 1e6 if error * 1e6 <= MAX_ERROR_PPM else None


def _best_line(media_ns: Floats, transit_ns: Floats, seconds: npt.NDArray[np.intp]) -> tuple[float, float]:
    """The view with the least standard error; the transit is levelled already, so that wide windows serve."""
    fits = [_least_line(media_ns, transit_ns, seconds), _mean_line(media_ns, transit_ns, seconds)]
    eighths = _windows(media_ns, (media_ns.max() + 1) / _LONG_WINDOWS)
    if len(eighths) > _LONG_WINDOWS // 2:
        fits.append(_least_line(media_ns, transit_ns, eighths))
    return min(fits, key=lambda fit: fit[1])


def _windows(media_ns: Floats, width_ns: float) -> npt.NDArray[np.intp]:
    """Index of the first packet of each window. Reordering at an edge makes small extra windows, which weigh little."""
    number = np.floor_divide(media_ns, width_ns)
    return np.concatenate([[0], np.flatnonzero(np.diff(number)) + 1])


def _sizes(first: npt.NDArray[np.intp], total: int) -> Floats:
    return np.diff(first, append=total).astype(np.float64)


def _least_line(media_ns: Floats, transit_ns: Floats, first: npt.NDArray[np.intp]) -> tuple[float, float]:
    """The error of a least value falls with the number of packets, so its weight rises with the square."""
    size = _sizes(first, len(media_ns))
    return _line(np.add.reduceat(media_ns, first) / size, np.minimum.reduceat(transit_ns, first), size**2)


def _mean_line(media_ns: Floats, transit_ns: Floats, first: npt.NDArray[np.intp]) -> tuple[float, float]:
    size = _sizes(first, len(media_ns))
    return _line(np.add.reduceat(media_ns, first) / size, np.add.reduceat(transit_ns, first) / size, size)


def _line(x: Floats, y: Floats, weight: Floats) -> tuple[float, float]:
    """Slope of the weighted least squares line and the slope's standard error."""
    # Sums, not dot products: those wake the threads of numpy's BLAS, which cost more than they bring.
    weight = weight / weight.sum()
    dx = x - (weight * x).sum()
    dy = y - (weight * y).sum()
    spread = float((weight * dx**2).sum())
    slope = float((weight * dx * dy).sum()) / spread
    residual = float((weight * (dy - slope * dx) ** 2).sum())
    return slope, (residual / spread / (len(x) - 2)) ** 0.5

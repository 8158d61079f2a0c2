"""Listening quality after ITU-T G.107 (the E-model) and G.113 Appendix I, for G.711.

Only packet loss counts: a passive tap cannot see one-way delay, so Id is 0 and the result is a listening quality at the
place of measurement. G.107 checked its loss formula up to 20 % loss; beyond that the figure only says "very bad".
"""

BPL_CONCEALED = 25.1
"""Packet-loss robustness of G.711 with the concealment of its Appendix I (G.113 table I.4)."""
BPL_UNCONCEALED = 4.3
"""Packet-loss robustness of G.711 with silence in place of what was lost."""

_R_DEFAULT = 93.2
"""Transmission rating with all G.107 default values and no delay."""


def burst_ratio(lost: int, received: int, loss_runs: int) -> float:
    """BurstR of G.107: mean run of lost packets over the mean run, 1 / (1 - p), that random loss of that share gives.

    `loss_runs` counts the runs of consecutive lost packets. Never below 1; 1 when nothing, or everything, was lost.
    """
    if lost <= 0 or loss_runs <= 0 or received <= 0:
        return 1.0
    return max(1.0, lost / loss_runs * (received / (lost + received)))


def listening_mos(loss_share: float, burst_ratio: float = 1.0, bpl: float = BPL_CONCEALED) -> float:
    """Mean opinion score, 1 to 4.5, of G.711 that lost `loss_share` (0 to 1) of its packets.

    `burst_ratio` below 1 counts as 1; `bpl` is one of the two constants of this module.
    """
    loss_percent = 100 * min(max(loss_share, 0.0), 1.0)
    impairment = 95 * loss_percent / (loss_percent / max(burst_ratio, 1.0) + bpl)
    return _score(_R_DEFAULT - impairment)


def _score(rating: float) -> float:
    """MOS of a transmission rating (G.107 Annex B); below 6.5 its cubic would dip under 1."""
    if rating < 6.5:
        return 1.0
    if rating > 100:
        return 4.5
    return 1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6

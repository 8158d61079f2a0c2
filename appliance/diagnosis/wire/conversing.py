"""Pairs of addresses and how much each said to the other. Pure."""

from collections.abc import Iterable

from appliance.diagnosis.evidence import Conversations

MAX_PAIRS = 20_000
Pairs = dict[tuple[bytes, bytes], list[int]]
"""Packets from the lower address to the higher, and back."""


def note(pairs: Pairs, source: bytes, destination: bytes, packets: int = 1) -> None:
    """Count packets."""
    back = source > destination
    key = (destination, source) if back else (source, destination)
    counts = pairs.get(key)
    if counts is None:
        if len(pairs) >= MAX_PAIRS:
            return
        counts = pairs[key] = [0, 0]
    counts[back] += packets


def total(windows: Iterable[Pairs], least: int) -> Conversations:
    """Sum up; pairs with fewer than `least` packets tell nothing of directions."""
    sums: Pairs = {}
    for pairs in windows:
        for key, (there, back) in pairs.items():
            counts = sums.setdefault(key, [0, 0])
            counts[0] += there
            counts[1] += back
    told = [counts for counts in sums.values() if sum(counts) >= least]
    return Conversations(
        pairs=len(told),
        one_way=sum(0 in counts for counts in told),
        packets=sum(map(sum, told)),
    )

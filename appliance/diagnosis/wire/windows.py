"""Counts over a sliding window of packet time, in buckets. Pure."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Sliding(Generic[T]):
    """The accumulators of the last `buckets` stretches of `bucket_ns`; time that jumps back goes into the latest."""

    def __init__(self, fresh: Callable[[], T], *, bucket_ns: int, buckets: int) -> None:
        self._fresh = fresh
        self._bucket_ns = bucket_ns
        self._kept: deque[tuple[int, T]] = deque(maxlen=buckets)
        self._buckets = buckets

    def at(self, ns: int) -> T:
        """Return the accumulator of a time."""
        number = ns // self._bucket_ns
        if not self._kept or number > self._kept[-1][0]:
            self._kept.append((number, self._fresh()))
        return self._kept[-1][1]

    def within(self, now_ns: int) -> Iterator[T]:
        """Return the accumulators of the window that ends now."""
        oldest = now_ns // self._bucket_ns - self._buckets + 1
        return (each for number, each in self._kept if number >= oldest)

    def begin_ns(self, now_ns: int) -> int:
        """Return when the window that ends now begins: not before the first that was counted."""
        oldest = (now_ns // self._bucket_ns - self._buckets + 1) * self._bucket_ns
        return max(oldest, self._kept[0][0] * self._bucket_ns) if self._kept else now_ns

"""Memory stays with the process: arrays of megabytes come and go with every batch of packets.

By default glibc gives each such array back to the kernel and asks for it again, and every page of it is then faulted in
and cleared anew: a fifth of the time spent in the kernel.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30
"""More than is ever free at a time."""


def keep() -> None:
    """Let the allocator keep what is freed (mallopt(3)); without glibc nothing changes."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)

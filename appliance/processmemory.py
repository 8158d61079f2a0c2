"""How the process uses memory and processors: arrays of megabytes come and go with every batch of packets.

By default glibc gives each such array back to the kernel and asks for it again, and every page of it is then faulted in
and cleared anew: a fifth of the time spent in the kernel. And nothing here multiplies matrices, but the threads of
numpy's BLAS spin for a while when they are started.
"""

import ctypes
import gc
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30
"""More than is ever free at a time."""
_YOUNG_OBJECTS = 50_000
"""What assembly makes it also lets go of; cycles are few."""


def before_numpy() -> None:
    """To be called before numpy is imported."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def keep() -> None:
    """Let the allocator keep what is freed (mallopt(3)), and look for cycles seldom; without glibc the former is as
    ever."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)

"""Fixed-size fields read at many offsets of one buffer at once."""

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]


def gather(buffer: Octets, start: IntArray, size: int) -> Octets:
    """Copy `size` bytes at each offset: shape `(n, size)`. Offsets must leave `size` bytes in the buffer."""
    windows = np.lib.stride_tricks.as_strided(
        buffer[:size].view(f"V{size}"), shape=(len(buffer) - size + 1,), strides=(1,), writeable=False
    )
    return windows[start].view(np.uint8).reshape(-1, size)


def be16(buffer: Octets, start: IntArray) -> IntArray:
    """Read a big-endian 16-bit field at each offset."""
    return gather(buffer, start, 2).view(">u2")[:, 0].astype(np.int64)

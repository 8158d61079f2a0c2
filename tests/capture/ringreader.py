"""Takes over a ring and tells what is in it, block by block, until it is killed; run as a program by the tests of the
ring.

A block is told in one record on the standard output: its number, how many frames, their lengths, the frames. It is
handed back only after that.
"""

import select
import struct
import sys

import numpy as np

from capture import ringblock
from capture.ring import Ring, RingSettings

HEAD = struct.Struct("=QI")
"""Number of the block, frames in it; the lengths follow as 32-bit numbers."""


def main(fileno: int, interface_name: str, ring_bytes: int, block_bytes: int) -> None:
    """Read for ever."""
    settings = RingSettings(ring_bytes=ring_bytes, block_bytes=block_bytes, timeout_ms=10)
    ring = Ring.adopt(fileno, interface_name, settings)
    poll = select.poll()
    poll.register(ring.fileno(), select.POLLIN)
    while True:
        if not ring.ready():
            poll.poll()
            continue
        number = ring.sequence
        batch = ringblock.batch(ring.copy(1), 0)
        frames = [batch.buffer[s : s + n].tobytes() for s, n in zip(batch.start, batch.captured, strict=True)]
        sizes = batch.captured.astype(np.uint32)
        sys.stdout.buffer.write(HEAD.pack(number, len(frames)) + sizes.tobytes() + b"".join(frames))
        sys.stdout.buffer.flush()
        ring.release(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

"""Ring blocks packed by hand as the kernel lays them out (Linux `include/uapi/linux/if_packet.h`)."""

import struct
from collections.abc import Sequence

BLOCK_HEADER = struct.Struct("=6IQ4I")
PACKET_HEADER = struct.Struct("=6I2H2I2H8x")
MAC = 82
START_S = 1_767_287_045


def packet(
    data: bytes,
    *,
    number: int = 0,
    wire: int | None = None,
    tag: tuple[int, int, int] = (0, 0, 0),
    ts_ns: int | None = None,
) -> bytes:
    """A packet without its header's first word; `tag` is status, control information, protocol."""
    seconds, ns = (START_S + number, 7 * number) if ts_ns is None else divmod(ts_ns, 1_000_000_000)
    status, control, protocol = tag
    size = -(-(MAC + len(data)) // 8) * 8
    wire = len(data) if wire is None else wire
    head = PACKET_HEADER.pack(0, seconds, ns, len(data), wire, 1 | status, MAC, MAC + 14, 0, control, protocol, 0)
    return (head + b"\xaa" * (MAC - len(head)) + data).ljust(size, b"\x00")


def block(packets: Sequence[bytes], *, sequence: int = 1, rest: bytes = b"") -> bytes:
    """The used part of a block; the last packet has no next one."""
    body = b"".join(
        (len(data) if place + 1 < len(packets) else 0).to_bytes(4, "little") + data[4:]
        for place, data in enumerate(packets)
    )
    return BLOCK_HEADER.pack(1, 48, 1, len(packets), 48, 48 + len(body), sequence, 0, 0, 0, 0) + body + rest

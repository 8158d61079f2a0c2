"""What answers at the gateway and at the carrier: names, time, SIP OPTIONS. `python -m tests.faults.services NAME`."""

import select
import socket
import struct
import sys
import time
from collections.abc import Callable

import dns.message

Answer = Callable[[bytes], bytes | None]


def names(request: bytes) -> bytes | None:
    """DNS: no error, no data."""
    return dns.message.make_response(dns.message.from_wire(request)).to_wire()


def clock(request: bytes) -> bytes | None:
    """SNTP."""
    now = time.time() + 2_208_988_800
    stamp = struct.pack("!II", int(now), int(now % 1 * 2**32))
    return b"\x24\x01" + bytes(30) + stamp + stamp if len(request) >= 48 else None


def options(request: bytes) -> bytes | None:
    """SIP: whatever is asked is not allowed, but for requests that are no OPTIONS: they get nothing."""
    if not request.startswith(b"OPTIONS"):
        return None
    kept = [line for line in request.split(b"\r\n") if line.startswith((b"Via", b"From", b"To", b"Call-ID", b"CSeq"))]
    return b"\r\n".join([b"SIP/2.0 405 Method Not Allowed", *kept, b"Content-Length: 0", b"", b""])


SERVED: dict[str, tuple[int, Answer]] = {"names": (53, names), "clock": (123, clock), "options": (5060, options)}


def main() -> None:
    served: dict[socket.socket, Answer] = {}
    for name in sys.argv[1:]:
        port, answer = SERVED[name]
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind(("", port))
        served[opened] = answer
    print("ready", flush=True)
    while True:
        for opened in select.select(list(served), [], [])[0]:
            request, sender = opened.recvfrom(4096)
            if (told := served[opened](request)) is not None:
                opened.sendto(told, sender)


if __name__ == "__main__":
    main()

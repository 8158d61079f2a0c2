"""A transport address: packed IP address and port."""

import ipaddress
from typing import NamedTuple


class Endpoint(NamedTuple):
    """One end of a UDP or TCP flow."""

    ip: bytes
    """Packed address, 4 bytes (IPv4) or 16 bytes (IPv6), network order."""
    port: int
    """Port number, 0 to 65535."""

    def __str__(self) -> str:
        """`192.0.2.1:5060` or `[2001:db8::1]:5060`."""
        address = ipaddress.ip_address(self.ip)
        return f"[{address}]:{self.port}" if address.version == 6 else f"{address}:{self.port}"

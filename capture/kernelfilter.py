"""The filter that the kernel runs on a mirror port: what is not telephony never reaches user space.

| passes                                                                                         |
|------------------------------------------------------------------------------------------------|
| UDP from or to a SIP port, or whose payload begins like RTP, RTCP, STUN, DTLS, ZRTP or SIP      |
| TCP from or to a SIP port                                                                      |
| fragments of UDP and TCP, and over IPv6 those that begin with one more extension header: they   |
| need a closer look                                                                             |
| the tunnels that are configured, whatever is in them                                           |

All that with up to `MAX_VLAN_TAGS` tags and in PPPoE, over IPv4 and IPv6, there behind up to
`MAX_EXTENSION_HEADERS` extension headers. `Intake` keeps nothing else, save TCP
connections that turn out to carry SIP on a port that is not configured. The kernel takes the outermost tag out of the
frame before it runs the filter, so that tags may be there or not.

In a packet cut short the checks that need the fewest bytes come first: a load behind the end refuses the packet.
"""

from collections.abc import Iterable, Iterator, Mapping

from capture.bpf import Assembler
from capture.errors import FilterError
from capture.frames import (
    IPV6_AUTHENTICATION,
    IPV6_EXTENSIONS,
    IPV6_FRAGMENT,
    MAX_EXTENSION_HEADERS,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
)
from capture.linklayer import ETHERTYPE_IPV4, ETHERTYPE_IPV6, MAX_VLAN_TAGS
from capture.sipwire import METHODS, SIPS_PORT
from capture.tunnels import PROTOCOL_GRE, TZSP_PORT, VXLAN_PORTS

SNAP_BYTES = 0x40000
TUNNEL_PROTOCOLS = {"erspan": (PROTOCOL_GRE,), "gre": (PROTOCOL_GRE,), "ipip": (4, 41)}
"""IP protocol numbers of each tunnel that has one."""
TUNNEL_PORTS = {"vxlan": VXLAN_PORTS, "tzsp": (TZSP_PORT,)}
"""UDP destination ports of each tunnel that has some."""
_ETHERTYPE_PPPOE_SESSION = 0x8864
_VLAN_ETHERTYPES = (0x8100, 0x88A8, 0x9100)
_PPP_IPV4 = 0x0021
_PPP_IPV6 = 0x0057
_ETHERTYPE_AT = 12
_ETHERNET_BYTES = 14
_VLAN_BYTES = 4
_PPPOE_BYTES = 8
_IPV6_BYTES = 40
_MORE_FRAGMENTS_OR_OFFSET = 0x3FFF
_PAYLOAD_AT = 8
_STUN_COOKIE = 0x2112A442
_ZRTP_COOKIE = 0x5A525450


def program(sip_ports: frozenset[int], *, tunnels: frozenset[str]) -> bytes:
    """Compile the filter for Ethernet frames: an array of `struct sock_filter`.

    `tunnels` are names of `TUNNEL_PROTOCOLS` and `TUNNEL_PORTS`.

    Raises:
        FilterError: an unknown tunnel, or more ports than fit.
    """
    unknown = tunnels - TUNNEL_PROTOCOLS.keys() - TUNNEL_PORTS.keys()
    if unknown:
        raise FilterError(f"unknown tunnel {', '.join(sorted(unknown))}")
    code = Assembler()
    _link_layer(code)
    protocols = _numbers(TUNNEL_PROTOCOLS, tunnels)
    _ipv4(code, protocols)
    _ipv6(code, protocols)
    # Calls under TLS cannot be read, but their handshakes must be seen to say so.
    _tcp(code, sip_ports | {SIPS_PORT})
    _udp(code, sip_ports, _numbers(TUNNEL_PORTS, tunnels))
    return code.assemble()


def _numbers(table: Mapping[str, tuple[int, ...]], tunnels: frozenset[str]) -> list[int]:
    return sorted({number for name in tunnels for number in table.get(name, ())})


def _link_layer(code: Assembler) -> None:
    """Tags and PPPoE; X goes to the IP header."""
    code.set_index(0)
    for tags in range(MAX_VLAN_TAGS + 1):
        code.load_half(_ETHERTYPE_AT)
        code.if_equal(ETHERTYPE_IPV4, "ethernet ipv4")
        code.if_equal(ETHERTYPE_IPV6, "ethernet ipv6")
        code.if_equal(_ETHERTYPE_PPPOE_SESSION, "pppoe")
        if tags == MAX_VLAN_TAGS:
            break
        for ethertype in _VLAN_ETHERTYPES:
            code.if_equal(ethertype, f"tag {tags}")
        code.answer(0)
        code.label(f"tag {tags}")
        code.advance_index(_VLAN_BYTES)
    code.answer(0)
    code.label("pppoe")
    code.advance_index(_PPPOE_BYTES)
    code.load_half(_ETHERTYPE_AT)
    code.if_equal(_PPP_IPV4, "ethernet ipv4")
    code.if_equal(_PPP_IPV6, "ethernet ipv6")
    code.answer(0)
    for version in ("ipv4", "ipv6"):
        code.label(f"ethernet {version}")
        code.advance_index(_ETHERNET_BYTES)
        code.jump(version)


def _ipv4(code: Assembler, tunnel_protocols: Iterable[int]) -> None:
    code.label("ipv4")
    code.load_byte(9)
    for protocol in tunnel_protocols:
        code.if_equal(protocol, "ipv4 pass")
    for protocol, name in ((PROTOCOL_UDP, "udp"), (PROTOCOL_TCP, "tcp")):
        code.if_equal(protocol, f"ipv4 {name}")
    code.answer(0)
    for name in ("udp", "tcp"):
        code.label(f"ipv4 {name}")
        code.load_half(6)
        code.if_any_bit(_MORE_FRAGMENTS_OR_OFFSET, "ipv4 pass")
        code.load_byte(0)
        code.bit_and(0x0F)
        code.shift_left(2)
        code.advance_index_by_accumulator()
        code.jump(name)
    code.label("ipv4 pass")
    code.answer(SNAP_BYTES)


def _ipv6(code: Assembler, tunnel_protocols: Iterable[int]) -> None:
    """The number of what X points at is stored. Each extension header is looked at by instructions of its own: a
    program cannot go back."""
    code.label("ipv6")
    code.load_byte(6)
    code.store()
    code.advance_index(_IPV6_BYTES)
    for header in range(MAX_EXTENSION_HEADERS):
        _ipv6_extension(code, header)
    code.label(f"ipv6 {MAX_EXTENSION_HEADERS}")
    code.recall()
    for protocol in tunnel_protocols:
        code.if_equal(protocol, "ipv6 pass")
    for protocol, name in ((PROTOCOL_UDP, "udp"), (PROTOCOL_TCP, "tcp")):
        code.if_equal(protocol, f"ipv6 {name}")
    code.answer(0)
    code.label("ipv6 fragment")
    code.load_byte(0)
    for protocol in (PROTOCOL_UDP, PROTOCOL_TCP, *tunnel_protocols, *IPV6_EXTENSIONS):
        code.if_equal(protocol, "ipv6 pass")
    code.answer(0)
    code.label("ipv6 pass")
    code.answer(SNAP_BYTES)
    for name in ("udp", "tcp"):
        code.label(f"ipv6 {name}")
        code.jump(name)


def _ipv6_extension(code: Assembler, header: int) -> None:
    """Go on behind an extension header (RFC 8200 section 4), or to the end of the search when it is none."""
    here, following = f"ipv6 {header}", f"ipv6 {header + 1}"
    code.label(here)
    code.recall()
    for protocol in IPV6_EXTENSIONS:
        kind = {IPV6_FRAGMENT: "fragment", IPV6_AUTHENTICATION: "authentication"}.get(protocol, "options")
        code.if_equal(protocol, f"{here} {kind}")
    code.jump(f"ipv6 {MAX_EXTENSION_HEADERS}")
    code.label(f"{here} fragment")
    code.jump("ipv6 fragment")
    for kind, fixed, shift in (("options", 1, 3), ("authentication", 2, 2)):
        code.label(f"{here} {kind}")
        code.load_byte(0)
        code.store()
        code.load_byte(1)
        code.add(fixed)
        code.shift_left(shift)
        code.advance_index_by_accumulator()
        code.jump(following)


def _tcp(code: Assembler, sip_ports: frozenset[int]) -> None:
    code.label("tcp")
    for port_at in (0, 2):
        code.load_half(port_at)
        _pass_ports(code, "tcp", port_at, sip_ports)
    code.answer(0)


def _udp(code: Assembler, sip_ports: frozenset[int], tunnel_ports: Iterable[int]) -> None:
    code.label("udp")
    code.load_half(0)
    _pass_ports(code, "udp", 0, sip_ports)
    code.load_half(2)
    _pass_ports(code, "udp", 2, sip_ports.union(tunnel_ports))
    code.load_byte(_PAYLOAD_AT)
    code.if_at_least(0xC0, "other version")
    code.if_at_least(0x80, "pass")
    code.label("other version")
    code.if_greater(25, "text")
    code.if_at_least(20, "dtls")
    code.if_equal(0x10, "zrtp")
    code.if_greater(3, "refuse", "stun")
    _pass_value(code, "stun", _PAYLOAD_AT + 4, _STUN_COOKIE)
    _pass_value(code, "zrtp", _PAYLOAD_AT + 4, _ZRTP_COOKIE)
    code.label("dtls")
    code.load_byte(_PAYLOAD_AT + 1)
    code.if_equal(0xFE, "pass", "refuse")
    code.label("text")
    code.load_word(_PAYLOAD_AT)
    for word in sorted({int.from_bytes((name + b" ")[:4], "big") for name in (*METHODS, b"SIP/")}):
        code.if_equal(word, "pass")
    code.label("refuse")
    code.answer(0)
    code.label("pass")
    code.answer(SNAP_BYTES)


def _pass_value(code: Assembler, label: str, offset: int, word: int) -> None:
    code.label(label)
    code.load_word(offset)
    code.if_equal(word, "pass", "refuse")


def _pass_ports(code: Assembler, protocol: str, port_at: int, ports: Iterable[int]) -> None:
    """Let the packet pass when A is one of the ports. Each range ends the program itself: with many of them, the end is
    out of a condition's reach."""
    for first, last in _ranges(ports):
        beyond = f"{protocol} {port_at} not {first}"
        code.if_at_least(first, None, beyond)
        code.if_greater(last, beyond)
        code.answer(SNAP_BYTES)
        code.label(beyond)


def _ranges(ports: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Unite neighbours: first and last port of each run, in order."""
    run: list[int] = []
    for port in sorted(set(ports)):
        if run and port != run[-1] + 1:
            yield run[0], run[-1]
            run = []
        run.append(port)
    if run:
        yield run[0], run[-1]

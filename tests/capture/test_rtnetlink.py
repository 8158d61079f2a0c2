"""rtnetlink: messages by construction, every field; contradictions by their message; nothing but its own error."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture import rtnetlink
from capture.errors import RtnetlinkError
from capture.rtnetlink import Address, DumpEnd, Link, LinkGone, Message, MessageType

RUNNING = 0x1 | 0x40 | 0x10000
AF_INET, AF_INET6, AF_BRIDGE = 2, 10, 7


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body + bytes(-len(body) % 4)


def link(
    kind: int = MessageType.NEW_LINK, *, family: int = 0, ifindex: int = 7, flags: int = 0, more: bytes = b""
) -> bytes:
    return message(kind, struct.pack("=BxHiII", family, 1, ifindex, flags, 0) + more)


def address(
    family: int, packed: bytes, more: bytes = b"", *, scope: int = 0, flags: int = 0x80, gone: bool = False
) -> bytes:
    kind = MessageType.DELETE_ADDRESS if gone else MessageType.NEW_ADDRESS
    return message(kind, struct.pack("=BBBBi", family, 24, flags, scope, 7) + attribute(1, packed) + more)


NAME = attribute(3, b"span0\0")
MTU = attribute(4, struct.pack("=I", 9000))
MAC = attribute(1, bytes.fromhex("021122334455"))
PERMANENT = attribute(54, bytes.fromhex("0a1122334455"))
UNKNOWN = attribute(0x8000 | 26, attribute(2, b"nested"))
V4, V6, LINK_LOCAL = (
    bytes([192, 0, 2, 1]),
    bytes.fromhex("20010db8" + "00" * 11 + "05"),
    b"\xfe\x80" + bytes(13) + b"\x01",
)


@pytest.mark.parametrize(
    ("datagram", "messages"),
    [
        (b"", []),
        (
            link(flags=RUNNING, more=UNKNOWN + NAME + MTU + MAC),
            [Link(ifindex=7, name="span0", flags=RUNNING, mtu=9000, mac="02:11:22:33:44:55")],
        ),
        (link(more=MAC + NAME + PERMANENT), [Link(ifindex=7, name="span0", flags=0, mtu=0, mac="0a:11:22:33:44:55")]),
        (link(more=attribute(1, bytes(6)) + NAME), [Link(ifindex=7, name="span0", flags=0, mtu=0, mac="")]),
        (link(MessageType.DELETE_LINK, more=NAME), [LinkGone(ifindex=7)]),
        (link(MessageType.DELETE_LINK, family=AF_BRIDGE, more=NAME), []),
        (link(family=AF_BRIDGE, more=NAME), []),
        (address(AF_INET, V4), [Address(ifindex=7, address="192.0.2.1/24", gone=False, automatic=False)]),
        (
            address(AF_INET, bytes([192, 0, 2, 9]), attribute(2, V4), flags=0, gone=True),
            [Address(ifindex=7, address="192.0.2.1/24", gone=True, automatic=False)],
        ),
        (address(AF_INET6, V6), [Address(ifindex=7, address="2001:db8::5/24", gone=False, automatic=False)]),
        (address(AF_INET6, V6, flags=0), [Address(ifindex=7, address="2001:db8::5/24", gone=False, automatic=True)]),
        (
            address(AF_INET6, LINK_LOCAL, scope=253),
            [Address(ifindex=7, address="fe80::1/24", gone=False, automatic=True)],
        ),
        (address(45, b"\x08"), []),
        (message(24, b"a route"), []),
        (message(3, struct.pack("=i", 0), flags=0x12), [DumpEnd(error=0, interrupted=True)]),
        (message(2, struct.pack("=i", -95) + bytes(16)), [DumpEnd(error=95, interrupted=False)]),
        (
            message(24, b"odd") + link(MessageType.DELETE_LINK) + message(3, bytes(4)),
            [LinkGone(ifindex=7), DumpEnd(error=0, interrupted=False)],
        ),
    ],
)
def test_messages(datagram: bytes, messages: list[Message]) -> None:
    assert rtnetlink.parse(datagram) == messages


@pytest.mark.parametrize(
    ("datagram", "error"),
    [
        (bytes(15), "15 bytes after the last message"),
        (link()[:-1], "message at byte 0 is 32 bytes long, 31 are there"),
        (struct.pack("=IHHII", 15, 16, 0, 0, 0), "message at byte 0 is 15 bytes long, 16 are there"),
        (message(16, bytes(12)), "a link message of 12 bytes"),
        (message(20, bytes(4)), "an address message of 4 bytes"),
        (link(more=struct.pack("=HH", 9, 3) + b"eth0"), "attribute of 9 bytes where 8 are left"),
        (link(more=struct.pack("=HH", 3, 3)), "attribute of 3 bytes where 4 are left"),
        (address(AF_INET, b"\x01\x02"), "an address of 2 bytes"),
        (address(AF_INET, V6), "an address of 16 bytes"),
    ],
)
def test_contradictions(datagram: bytes, error: str) -> None:
    with pytest.raises(RtnetlinkError, match=f"^{error}$"):
        rtnetlink.parse(datagram)


@pytest.mark.parametrize(("flags", "up"), [(0, False), (0x1, False), (0x10000, False), (0x10001, True)])
def test_up_needs_the_administrator_and_a_carrier(flags: int, up: bool) -> None:
    assert Link(ifindex=1, name="a", flags=flags, mtu=1500, mac="").up is up


def test_requests() -> None:
    assert rtnetlink.dump_request(MessageType.GET_LINK, 5) == struct.pack("=IHHII16x", 32, 18, 0x301, 5, 0)
    assert rtnetlink.dump_request(MessageType.GET_ADDRESS, 6) == struct.pack("=IHHII8x", 24, 22, 0x301, 6, 0)


WHOLE = link(flags=RUNNING, more=NAME + MTU + PERMANENT + UNKNOWN) + address(AF_INET6, V6) + message(3, bytes(4))


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_every_truncation(size: int) -> None:
    with suppress(RtnetlinkError):
        assert len(rtnetlink.parse(WHOLE[:size])) < 3


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=8))
def test_mangled_messages_raise_nothing_else(changes: list[tuple[int, int]]) -> None:
    mangled = bytearray(WHOLE)
    for place, value in changes:
        mangled[place] = value
    with suppress(RtnetlinkError):
        rtnetlink.parse(bytes(mangled))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_raise_nothing_else(datagram: bytes) -> None:
    with suppress(RtnetlinkError):
        rtnetlink.parse(datagram)

"""The watch on real interfaces: what is done to them with `ip` is told, in order, and nothing else is."""

import os
import select
import socket
import subprocess
from pathlib import Path

import pytest

from capture import adapters, routesocket
from capture.errors import RtnetlinkError
from capture.linkstate import LinkEvent
from capture.linkwatch import LinkWatch
from tests.capture.private_network import in_private_network, ip, veth

PATIENCE_MS = 5000
MAC = "02:11:22:33:44:55"


def told(watch: LinkWatch, last: str) -> list[tuple[str, str, str]]:
    """What is told up to the first event of the kind `last`, and all that is there with it: kind, port, detail."""
    events: list[LinkEvent] = []
    while not any(event.kind == last for event in events):
        readable = _readable(watch, PATIENCE_MS)
        assert readable, f"waited for {last}, came {events}"
        events += watch.read()
    return [(str(event.kind), event.interface, event.detail) for event in events]


def quiet(watch: LinkWatch) -> list[LinkEvent]:
    """What is told although nothing should be."""
    events: list[LinkEvent] = []
    while _readable(watch, 200):
        events += watch.read()
    return events


def _readable(watch: LinkWatch, wait_ms: int) -> bool:
    poll = select.poll()
    for fileno in watch.filenos():
        poll.register(fileno, select.POLLIN)
    return bool(poll.poll(wait_ms))


def batch(lines: list[str]) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


def number_of(interface: str) -> int:
    return int(Path(f"/sys/class/net/{interface}/ifindex").read_text())


@in_private_network
def test_the_first_read_tells_what_is_there() -> None:
    veth("span0", "sw0")
    ip("link set dev span0 up")
    ip("address add 192.0.2.1/24 dev span0")
    with LinkWatch(["span0", "span1"]) as watch:
        kinds = [(event.kind, event.detail) for event in watch.read() if ":" not in event.detail]
        assert kinds == [
            ("added", f"interface {number_of('span0')}, MTU 1500"),
            ("up", "carrier"),
            ("address", "192.0.2.1/24"),
        ]
        link = watch.link("span0")
        assert link is not None
        assert link.mac == Path("/sys/class/net/span0/address").read_text().strip()
        assert watch.link("span1") is None


@in_private_network
def test_life_of_a_port() -> None:
    with LinkWatch(["span0"]) as watch:
        assert watch.read() == []
        veth("span0", "sw0")
        assert [kind for kind, *_ in told(watch, "added")] == ["added"]
        first = number_of("span0")
        Path("/proc/sys/net/ipv6/conf/span0/disable_ipv6").write_text("1")
        ip("link set dev span0 up")
        assert told(watch, "up") == [("up", "span0", "carrier")]
        ip("link set dev span0 mtu 9000")
        assert told(watch, "mtu") == [("mtu", "span0", "1500 -> 9000")]
        ip("link set dev sw0 down")
        assert told(watch, "down") == [("down", "span0", "no carrier")]
        ip("link set dev sw0 up")
        assert told(watch, "up") == [("up", "span0", "carrier")]
        ip("link set dev span0 down")
        assert told(watch, "down") == [("down", "span0", "set down")]
        ip("link set dev span0 name eth7")
        assert told(watch, "renamed") == [("renamed", "span0", "span0 is now eth7")]
        ip("address add 192.0.2.1/24 dev eth7")
        assert told(watch, "address") == [("address", "span0", "192.0.2.1/24")]
        ip("link del eth7")
        assert told(watch, "removed") == [("removed", "span0", f"interface {first}")]
        veth("span0", "sw0")
        assert told(watch, "added") == [("added", "span0", f"interface {number_of('span0')}, MTU 1500")]
        assert number_of("span0") != first
        assert quiet(watch) == []


@in_private_network
def test_ipv6_configures_itself_when_it_is_left_on() -> None:
    veth("span0", "sw0")
    with LinkWatch(["span0"]) as watch:
        watch.read()
        ip("link set dev span0 up")
        details = [detail for kind, _, detail in told(watch, "address") if kind == "address"]
        assert [detail[:6] for detail in details] == ["fe80::"]


@in_private_network
def test_an_adapter_that_comes_back_under_another_name() -> None:
    veth("span0", "sw0", f"address {MAC}")
    with LinkWatch(["span0"]) as watch:
        watch.read()
        ip("link del span0")
        assert [kind for kind, *_ in told(watch, "removed")] == ["removed"]
        veth("eth3", "sw3")
        assert quiet(watch) == []
        veth("eth4", "sw4", f"address {MAC}")
        told(watch, "added")
        link = watch.link("span0")
        assert link is not None
        assert (link.name, link.ifindex) == ("eth4", number_of("eth4"))


@in_private_network
def test_an_interface_that_gets_the_ports_name_brings_its_addresses() -> None:
    veth("eth0", "sw0")
    ip("address add 2001:db8::1/64 dev eth0")
    with LinkWatch(["span0"]) as watch:
        assert watch.read() == []
        ip("link set dev eth0 name span0")
        assert ("address", "span0", "2001:db8::1/64") in told(watch, "address")


@in_private_network
def test_other_interfaces_and_bridges_are_nobodys_business() -> None:
    veth("span0", "sw0")
    ip("link add br0 type bridge")
    with LinkWatch(["span0"]) as watch:
        watch.read()
        ip("link set dev sw0 mtu 1400")
        ip("address add 192.0.2.1/24 dev sw0")
        ip("link set dev span0 master br0")
        ip("link set dev span0 nomaster")
        ip("link del br0")
        assert quiet(watch) == []


@in_private_network
def test_more_than_the_socket_can_hold() -> None:
    veth("span0", "sw0")
    veth("span1", "sw1")
    lines = [f"link set dev span0 mtu {mtu}" for mtu in range(1000, 1400)]
    lines += ["link del span1", "link set dev span0 name eth5", "address add 192.0.2.1/24 dev eth5"]
    with LinkWatch(["span0", "span1"]) as watch, routesocket.Notifications() as witness:
        watch.read()
        batch(lines)
        with pytest.raises(RtnetlinkError, match="lost"):
            witness.read()
        assert witness.read() == []
        events = watch.read()
        assert [(event.kind, event.interface, event.detail) for event in events] == [
            ("removed", "span1", f"interface {events[0].ifindex}"),
            ("renamed", "span0", "span0 is now eth5"),
            ("mtu", "span0", "1500 -> 1399"),
            ("address", "span0", "192.0.2.1/24"),
        ]
        assert quiet(watch) == []


def test_slots_of_the_adapters_of_this_machine() -> None:
    """Real adapters have a slot each, virtual interfaces none."""
    plugged = {entry.name for entry in Path("/sys/class/net").iterdir() if (entry / "device").exists()}
    watch = adapters.AdapterWatch()
    present = watch.present()
    watch.close()
    assert {ifindex for ifindex, _ in present} == {number_of(name) for name in plugged}
    assert len({slot for _, slot in present}) == len(plugged)


@in_private_network
def test_the_kernels_events_are_heard_where_there_is_no_udevd() -> None:
    watch = adapters.AdapterWatch()
    fileno = watch.fileno()
    assert fileno is not None
    assert watch.read() == []
    veth("span0", "sw0")
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    assert poll.poll(PATIENCE_MS)
    assert watch.read() == []  # Heard, and virtual: plugged in nowhere.
    watch.close()


@in_private_network
def test_lost_kernel_events_do_not_end_the_watch() -> None:
    veth("eth1", "sw0")
    watch = adapters.AdapterWatch()
    fileno = watch.fileno()
    assert fileno is not None
    with socket.socket(fileno=os.dup(fileno)) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    batch([f"link set dev eth{number} name eth{number + 1}" for number in range(1, 200)])
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    assert poll.poll(0)[0][1] & select.POLLERR
    assert watch.read() == []
    fileno = watch.fileno()
    assert fileno is not None
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    assert not poll.poll(0)
    ip("link set dev eth200 name span0")
    assert poll.poll(PATIENCE_MS)[0][1] == select.POLLIN
    watch.close()

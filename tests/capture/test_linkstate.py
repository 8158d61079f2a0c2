"""Events from link states: each row of the module's table, recognition by name, MAC and slot, and resync."""

from capture.linkstate import LinkEvent, LinkTable
from capture.rtnetlink import Address, Link, LinkGone

UP = 0x10001
NO_CARRIER = 0x1
MAC = "0a:11:22:33:44:55"


def link(ifindex: int, name: str, *, flags: int = 0, mtu: int = 1500, mac: str = "") -> Link:
    return Link(ifindex=ifindex, name=name, flags=flags, mtu=mtu, mac=mac)


def address(ifindex: int, text: str, *, gone: bool = False) -> Address:
    return Address(ifindex=ifindex, address=text, gone=gone, automatic=False)


def told(events: list[LinkEvent]) -> list[tuple[str, str, str, int, str]]:
    return [(str(event.kind), event.interface, event.name, event.ifindex, event.detail) for event in events]


def table_with(*links: Link | LinkGone) -> LinkTable:
    table = LinkTable(["span0", "span1"])
    for one in links:
        table.apply(one)
    return table


def test_a_port_appears_with_its_carrier() -> None:
    table = LinkTable(["span0"])
    assert told(table.apply(link(1, "eth0", flags=UP))) == []
    assert told(table.apply(link(2, "span0", flags=UP))) == [
        ("added", "span0", "span0", 2, "interface 2, MTU 1500"),
        ("up", "span0", "span0", 2, "carrier"),
    ]
    assert table.link("span0") == link(2, "span0", flags=UP)


def test_changes_of_a_port() -> None:
    table = table_with(link(2, "span0", flags=UP))
    assert told(table.apply(link(2, "span0", flags=NO_CARRIER))) == [("down", "span0", "span0", 2, "no carrier")]
    assert told(table.apply(link(2, "span0", flags=0))) == []
    assert told(table.apply(link(2, "span0", flags=UP, mtu=9000))) == [
        ("mtu", "span0", "span0", 2, "1500 -> 9000"),
        ("up", "span0", "span0", 2, "carrier"),
    ]
    assert told(table.apply(link(2, "span0", flags=0, mtu=9000))) == [("down", "span0", "span0", 2, "set down")]
    assert told(table.apply(link(2, "eth9", mtu=9000))) == [("renamed", "span0", "eth9", 2, "span0 is now eth9")]
    assert told(table.apply(LinkGone(ifindex=9))) == []
    assert told(table.apply(LinkGone(ifindex=2))) == [("removed", "span0", "eth9", 2, "interface 2")]
    assert table.link("span0") is None


def test_a_renamed_port_is_not_mistaken_for_one_that_takes_its_name() -> None:
    table = table_with(link(2, "span0", flags=UP), link(2, "eth9", flags=UP))
    assert told(table.apply(link(3, "span0", flags=UP))) == []
    assert table.link("span0") == link(2, "eth9", flags=UP)


def test_a_replugged_adapter_is_known_by_its_mac_until_the_system_has_named_it() -> None:
    table = table_with(link(2, "span0", mac=MAC), LinkGone(ifindex=2))
    assert told(table.apply(link(3, "eth0", mac="0a:00:00:00:00:01"))) == []
    assert told(table.apply(link(4, "eth1", mac=MAC))) == [("added", "span0", "eth1", 4, "interface 4, MTU 1500")]
    assert told(table.apply(link(4, "span0", mac=MAC))) == [("renamed", "span0", "span0", 4, "eth1 is now span0")]


def test_a_port_without_mac_is_not_known_by_it() -> None:
    table = table_with(link(2, "span0"), LinkGone(ifindex=2))
    assert told(table.apply(link(3, "eth0"))) == []


def test_the_name_comes_before_the_mac() -> None:
    table = table_with(link(2, "span0", mac=MAC), LinkGone(ifindex=2))
    assert [event.interface for event in table.apply(link(3, "span1", mac=MAC))] == ["span1"]


def test_another_adapter_in_the_slot_of_a_missing_one_takes_its_place() -> None:
    table = table_with(link(2, "span0", mac=MAC), link(3, "span1", mac="0a:00:00:00:00:01"))
    assert not table.locate(2, "pci-0000:01:00.0/0")
    assert not table.locate(3, "pci-0000:02:00.0/0")
    table.apply(LinkGone(ifindex=2))
    assert not table.locate(8, "pci-0000:03:00.0/0")
    assert table.locate(9, "pci-0000:01:00.0/0")
    present = [link(3, "span1", mac="0a:00:00:00:00:01"), link(8, "eth8"), link(9, "eth9", mac="0a:00:00:00:00:09")]
    assert told(table.resync(present, [])) == [("added", "span0", "eth9", 9, "interface 9, MTU 1500")]


def test_an_address_is_told_once() -> None:
    table = table_with(link(2, "span0"))
    assert told(table.apply(address(1, "192.0.2.1/24"))) == []
    assert told(table.apply(address(2, "192.0.2.1/24"))) == [("address", "span0", "span0", 2, "192.0.2.1/24")]
    assert told(table.apply(address(2, "192.0.2.1/24"))) == []
    assert told(table.apply(address(2, "192.0.2.1/24", gone=True))) == []
    assert [event.kind for event in table.apply(address(2, "192.0.2.1/24"))] == ["address"]


def test_resync_tells_what_was_missed() -> None:
    table = table_with(link(2, "span0", flags=UP), link(3, "span1", flags=UP))
    table.apply(address(3, "192.0.2.1/24"))
    events = table.resync(
        [link(1, "lo", flags=UP), link(3, "eth9", flags=NO_CARRIER), link(7, "span0", flags=UP, mtu=9000)],
        [address(1, "127.0.0.1/8"), address(3, "192.0.2.1/24"), address(3, "192.0.2.2/24"), address(7, "192.0.2.7/24")],
    )
    assert told(events) == [
        ("removed", "span0", "span0", 2, "interface 2"),
        ("renamed", "span1", "eth9", 3, "span1 is now eth9"),
        ("down", "span1", "eth9", 3, "no carrier"),
        ("added", "span0", "span0", 7, "interface 7, MTU 9000"),
        ("up", "span0", "span0", 7, "carrier"),
        ("address", "span1", "eth9", 3, "192.0.2.2/24"),
        ("address", "span0", "span0", 7, "192.0.2.7/24"),
    ]


def test_resync_of_the_same_tells_nothing_and_forgets_addresses_that_went() -> None:
    table = table_with(link(2, "span0", flags=UP))
    table.apply(address(2, "192.0.2.1/24"))
    assert told(table.resync([link(2, "span0", flags=UP)], [address(2, "192.0.2.1/24")])) == []
    assert told(table.resync([link(2, "span0", flags=UP)], [])) == []
    assert [event.kind for event in table.apply(address(2, "192.0.2.1/24"))] == ["address"]

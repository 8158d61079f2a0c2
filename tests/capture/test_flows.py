"""Flow numbers are those a dictionary would give, whatever collides; a flow is told by everything the wire shows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture import frames as layers
from capture.flows import FLOW, WORDS, FlowTable, Words, flow_words
from capture.linklayer import VLAN_PRESENT
from capture.records import LINK_RAW, RecordBatch
from tests.capture.batches import HERE, HERE_6, THERE, THERE_6, batch_of, frame_of, rtp
from tests.traffic.pcapwriter import Address, Link, Wire, mac, packed

BOUNDED = settings(max_examples=100, deadline=None)


def words_of(batch: RecordBatch) -> Words:
    frames = layers.parse(batch)
    rows = np.arange(len(batch))
    return flow_words(batch, frames, rows)


def records_of(batch: RecordBatch) -> np.ndarray:
    table = FlowTable(bits=10)
    return table.records(table.number(words_of(batch)))


def identity(version: int, values: tuple[int, ...]) -> np.ndarray:
    """A flow record as eight words: few distinct values a field, so that many records share most of them."""
    record = np.zeros(1, FLOW)
    mac_byte, vlan, source, destination, low, port, ssrc, interface = values
    record["mac"][:, 0], record["vlan_outer"], record["interface"] = mac_byte, vlan, interface
    record["source"][:, 3], record["destination"][:, 3] = source, destination
    if version == 6:
        record["source"][:, 15], record["destination"][:, 15] = low, low // 2
    record["source_port"][:, 1], record["ssrc"][:, 3], record["version"] = port, ssrc, version
    return record.view(np.uint64)


small = st.integers(0, 2)
identities = st.builds(identity, st.sampled_from([4, 4, 6]), st.tuples(*[small] * 8))
batches = st.lists(st.lists(identities, min_size=1, max_size=32), min_size=1, max_size=12)


class _Reference:
    """The same, with a dictionary."""

    def __init__(self, capacity: int) -> None:
        self.numbers: dict[bytes, int] = {}
        self.capacity = capacity
        self.resets = 0

    def number(self, rows: list[bytes]) -> list[int]:
        if len(self.numbers.keys() | set(rows)) > self.capacity:
            self.numbers.clear()
            self.resets += 1
        return [self.numbers.setdefault(row, len(self.numbers)) for row in rows]


@pytest.mark.parametrize("bits", [6, 7, 12])
@BOUNDED
@given(content=batches)
def test_numbers_are_those_of_a_dictionary(bits, content):
    table, reference = FlowTable(bits=bits), _Reference(1 << (bits - 1))
    for batch in content:
        words = np.ascontiguousarray(np.stack(batch, axis=1))
        rows = [record.tobytes() for record in batch]
        numbers, expected = table.number(words), reference.number(rows)
        assert table.resets == reference.resets
        # The order of new numbers is the table's own affair; which rows share one is not.
        assert _pairs(numbers.tolist()) == _pairs(expected)
        assert [record.tobytes() for record in table.records(numbers)] == rows
        assert len(set(numbers.tolist())) <= table.capacity
        assert table.number(words).tolist() == numbers.tolist()


def _pairs(numbers: list[int]) -> list[int]:
    """Where each number appears first."""
    return [numbers.index(number) for number in numbers]


@BOUNDED
@given(content=batches)
def test_a_number_stays_until_the_table_is_reset(content):
    table = FlowTable(bits=12)
    known: dict[bytes, int] = {}
    for batch in content:
        numbers = table.number(np.ascontiguousarray(np.stack(batch, axis=1))).tolist()
        for record, number in zip(batch, numbers, strict=True):
            assert known.setdefault(record.tobytes(), number) == number
    assert table.resets == 0
    assert len(set(known.values())) == len(known)


def test_an_anycast_address_is_not_taken_for_another_of_its_network():
    network = identity(6, (0, 0, 1, 1, 0, 1, 1, 0))
    for low in range(1, 200):
        host, table = identity(6, (0, 0, 1, 1, low, 1, 1, 0)), FlowTable(bits=2)
        numbers = [int(table.number(record[:, None].copy())[0]) for record in (host, network, host)]
        assert numbers == [0, 1, 0]


def test_a_full_table_starts_afresh():
    table = FlowTable(bits=5)
    words = np.zeros((WORDS, 40), np.uint64)
    words[6] = np.arange(40)
    first = table.number(words[:, :16].copy())
    assert sorted(first.tolist()) == list(range(16))
    assert table.resets == 0
    second = table.number(words[:, 16:32].copy())
    assert table.resets == 1
    assert sorted(second.tolist()) == list(range(16))
    assert (table.records(second).view(np.uint64).reshape(-1, WORDS)[:, 6] == np.arange(16, 32)).all()


def test_nothing_to_number():
    assert FlowTable(bits=4).number(np.zeros((WORDS, 0), np.uint64)).shape == (0,)


class TestRecord:
    def test_ipv4(self):
        wire = Wire(vlans=(100, 7), ttl=57)
        record = records_of(batch_of([frame_of(rtp(1, 2, ssrc=0xA1B2C3D4), wire=wire)], interfaces=[3]))[0]
        assert record["mac"].tobytes() == mac(THERE.host) + mac(HERE.host)
        assert (record["vlan_outer"], record["vlan_inner"]) == (VLAN_PRESENT | 100, VLAN_PRESENT | 7)
        assert record["source"].tobytes() == packed(HERE.host) + bytes(12)
        assert record["destination"].tobytes() == packed(THERE.host) + bytes(12)
        assert record["source_port"].tobytes() == HERE.port.to_bytes(2, "big")
        assert record["destination_port"].tobytes() == THERE.port.to_bytes(2, "big")
        assert record["ssrc"].tobytes() == bytes.fromhex("a1b2c3d4")
        assert (record["interface"], record["tunnel"], record["version"]) == (3, 0, 4)
        assert (record["tos"], record["ttl"], record["reserved"]) == (0xB8, 57, 0)

    def test_ipv6_without_ethernet(self):
        frame = frame_of(rtp(1, 2), HERE_6, THERE_6, Wire(link=Link.RAW, ttl=200))
        record = records_of(batch_of([frame], link_type=LINK_RAW))[0]
        assert not record["mac"].any()
        assert record["source"].tobytes() == packed(HERE_6.host)
        assert record["destination"].tobytes() == packed(THERE_6.host)
        assert (record["version"], record["tos"], record["ttl"]) == (6, 0xB8, 200)

    def test_mixed_batch(self):
        frames = [frame_of(rtp(1, 2)), frame_of(rtp(1, 2), HERE_6, THERE_6), frame_of(rtp(9, 9))]
        records = records_of(batch_of(frames))
        assert records["version"].tolist() == [4, 6, 4]
        assert records[0] == records[2]
        assert not records["source"][0, 4:].any()

    @pytest.mark.parametrize(
        ("other", "interface"),
        [
            (frame_of(rtp(1, 2)), 1),
            (frame_of(rtp(1, 2), wire=Wire(ttl=63)), 0),
            (frame_of(rtp(1, 2), wire=Wire(mac_seed=1)), 0),
            (frame_of(rtp(1, 2), wire=Wire(vlans=(0,))), 0),
            (frame_of(rtp(1, 2, ssrc=1)), 0),
            (frame_of(rtp(1, 2), Address(HERE.host, 5006)), 0),
            (frame_of(rtp(1, 2), HERE, Address("198.51.100.21", THERE.port)), 0),
        ],
        ids=["interface", "TTL", "MAC", "VLAN 0", "SSRC", "port", "address"],
    )
    def test_what_makes_another_flow(self, other, interface):
        records = records_of(batch_of([frame_of(rtp(1, 2)), other], interfaces=[0, interface]))
        assert records[0] != records[1]

    def test_sequence_time_and_payload_do_not(self):
        records = records_of(batch_of([frame_of(rtp(1, 2)), frame_of(rtp(7, 9, b"x", payload_type=0))]))
        assert records[0] == records[1]

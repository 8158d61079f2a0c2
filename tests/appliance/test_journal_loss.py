"""What the journal does not give back is the recorder's loss: at its time, in the figures, and by its name."""

from pathlib import Path
from typing import Any

import pytest

from capture import journal, journalscan
from capture.events import EventKind
from capture.journal import Event
from tests.appliance.journals import assemble, damage, write_journal
from tests.archive_reading import call_records, stored_parts
from tests.scenario import CALLER, call, causes, is_media
from tests.traffic.calls import play
from tests.traffic.pcapwriter import Frame, Packet, packed

FIRST_ROW = journal.HEADER.itemsize + 2 * journal.EXTENT.itemsize
"""Where the packets of a block with two streams begin."""


@pytest.fixture(scope="module")
def packets() -> list[Packet]:
    """A call of 6 s."""
    return play(call()).packets


def only(archive: Path) -> dict[str, Any]:
    (record,) = call_records(archive)
    return record


def lost(record: dict[str, Any]) -> list[tuple[int, int]]:
    """Samples of each side that the network lost, and that the recorder did."""
    return [(side["network_lost_samples"], side["capture_lost_samples"]) for side in record["sides"]]


def test_damaged_media_are_the_recorders_loss(packets: list[Packet], tmp_path: Path) -> None:
    addresses = write_journal(tmp_path / "journal", packets)
    damage(tmp_path / "journal", addresses[5], FIRST_ROW + 100)
    assemble(tmp_path)
    record = only(tmp_path)
    assert (record["outcome"], record["reasons"]) == ("partly", ["capture_loss", "journal_damaged"])
    (one_network, one_capture), other = sorted(lost(record), reverse=True, key=lambda each: each[1])
    assert one_network == 0
    assert 3000 <= one_capture <= 4500
    assert other == (0, 0)
    (part,) = stored_parts(tmp_path)
    assert {cause for side in (0, 1) for cause in causes(part, side)} == {"capture_loss"}


@pytest.mark.parametrize("offset", [20, journal.HEADER.itemsize + 5])
def test_a_block_that_cannot_be_read_is_the_recorders_loss(packets: list[Packet], tmp_path: Path, offset: int) -> None:
    addresses = write_journal(tmp_path / "journal", packets)
    damage(tmp_path / "journal", addresses[5], offset)
    assemble(tmp_path)
    record = only(tmp_path)
    assert (record["outcome"], record["reasons"]) == ("partly", ["capture_loss", "journal_damaged"])
    for network, captured in lost(record):
        assert network == 0
        assert 3000 <= captured <= 4500


def test_a_block_in_quarantine_is_the_recorders_loss(packets: list[Packet], tmp_path: Path) -> None:
    addresses = write_journal(tmp_path / "journal", packets)
    (tmp_path / "quarantine").mkdir()
    (tmp_path / "quarantine" / f"{addresses[5]:016x}.rkj").touch()
    assemble(tmp_path)
    record = only(tmp_path)
    assert (record["outcome"], record["reasons"]) == ("partly", ["capture_loss"])
    assert all(network == 0 and 3000 <= captured <= 4500 for network, captured in lost(record))


def test_what_was_forgotten_before_it_was_written_is_the_recorders_loss(packets: list[Packet], tmp_path: Path) -> None:
    """Assembly has seen the first half of the call, and the journal forgets it before the call ends."""
    middle = packets[len(packets) // 2].ts_ns
    write_journal(tmp_path / "journal", [each for each in packets if each.ts_ns < middle], tail_s=0.5)
    assemble(tmp_path)
    assert call_records(tmp_path) == []
    write_journal(tmp_path / "journal", [each for each in packets if each.ts_ns >= middle], continued=1)
    journalscan.path_of(tmp_path / "journal", 0).unlink()
    assemble(tmp_path)
    record = only(tmp_path)
    assert (record["outcome"], record["reasons"]) == ("partly", ["capture_loss", "journal_overrun"])
    for network, captured in lost(record):
        assert network == 0
        assert captured > 2 * 8000


def test_a_call_whose_media_were_forgotten_before_they_were_read(packets: list[Packet], tmp_path: Path) -> None:
    """Assembly was away from the answer to just before the end."""
    answered, ends = (next(each.ts_ns for each in packets if start in each.payload[:40]) for start in (b"ACK", b"BYE"))
    write_journal(tmp_path / "journal", [each for each in packets if each.ts_ns <= answered], tail_s=0)
    assemble(tmp_path)
    between = [each for each in packets if answered < each.ts_ns < ends]
    write_journal(tmp_path / "journal", between, tail_s=0, continued=1)
    write_journal(tmp_path / "journal", [each for each in packets if each.ts_ns >= ends], continued=1)
    for number in (0, 1):
        journalscan.path_of(tmp_path / "journal", number).unlink()
    assemble(tmp_path)
    record = only(tmp_path)
    assert (record["outcome"], record["reasons"]) == ("not_recorded", ["journal_overrun"])
    assert record["network_lost_samples"] == 0
    assert record["capture_completeness"] == 0


def test_loss_elsewhere_stays_the_networks(packets: list[Packet], tmp_path: Path) -> None:
    """A gap of the network's beside one of the journal's."""
    begin = packets[0].ts_ns
    left = [each for each in packets if not 4.0e9 < each.ts_ns - begin < 4.5e9 or each.payload[:1] != b"\x80"]
    addresses = write_journal(tmp_path / "journal", left)
    damage(tmp_path / "journal", addresses[9], FIRST_ROW + 100)
    assemble(tmp_path)
    record = only(tmp_path)
    assert set(record["reasons"]) == {"network_loss", "capture_loss", "journal_damaged"}
    assert all(3500 <= network <= 4500 for network, _ in lost(record))


def port_of(frame: Frame) -> int:
    """What the caller sends is seen at one mirror port, what the callee sends at another one."""
    return 0 if frame.octets[26:30] == packed(CALLER.rtp.host) else 1


DROPS = [(4.0, EventKind.COUNTERS, {"packets": 50}), (5.0, EventKind.COUNTERS, {"packets": 50, "drops": 50})]
DEAF = [(4.0, EventKind.INTERFACE, {"up": 0}), (5.0, EventKind.INTERFACE, {"up": 1})]


def in_trouble(begin: int, number: int, told: list[tuple[float, EventKind, dict[str, int]]]) -> list[Event]:
    """What is told of a port, when both had carried something."""
    carried = [Event(ts_ns=begin, kind=EventKind.COUNTERS, detail={"interface": each, "packets": 1}) for each in (0, 1)]
    return carried + [
        Event(ts_ns=begin + round(at_s * 1e9), kind=kind, detail={"interface": number, **detail})
        for at_s, kind, detail in told
    ]


@pytest.mark.parametrize("told", [DROPS, DEAF], ids=["drops", "deaf"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_port_in_trouble_is_no_excuse_for_another_one(
    packets: list[Packet], tmp_path: Path, number: int, told: list[tuple[float, EventKind, dict[str, int]]]
) -> None:
    """A second of both sides is missing, and one of two ports is to blame for its own."""
    begin = packets[0].ts_ns
    left = [each for each in packets if not 4.0e9 < each.ts_ns - begin < 5.0e9 or not is_media(each)]
    write_journal(tmp_path / "journal", left, port_of=port_of, told=in_trouble(begin, number, told))
    assemble(tmp_path)
    expected = [(8000, 0), (8000, 0)]
    expected[number] = (0, 8000)
    assert lost(only(tmp_path)) == [pytest.approx(each, abs=200) for each in expected]
    (part,) = stored_parts(tmp_path)
    blamed = [{"loss"}, {"loss"}]
    blamed[number] = {"capture_loss"}
    assert [set(causes(part, side)) for side in (0, 1)] == blamed


@pytest.mark.parametrize("told", [DROPS, DEAF], ids=["drops", "deaf"])
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(("from_s", "until_s"), [(0.0, 5.0), (4.0, 60.0)], ids=["begins late", "ends early"])
def test_nor_where_the_streams_of_the_other_one_do_not_reach(
    packets: list[Packet],
    tmp_path: Path,
    number: int,
    told: list[tuple[float, EventKind, dict[str, int]]],
    from_s: float,
    until_s: float,
) -> None:
    """Both sides begin late, or end early, and one of two ports is to blame for its own side, and while it lasts."""
    begin = packets[0].ts_ns
    left = [each for each in packets if not from_s * 1e9 < each.ts_ns - begin < until_s * 1e9 or not is_media(each)]
    write_journal(tmp_path / "journal", left, port_of=port_of, told=in_trouble(begin, number, told))
    assemble(tmp_path)
    record = only(tmp_path)
    of_port, of_other = (lost(record)[each] for each in (number, 1 - number))
    assert sum(of_port) == pytest.approx(sum(of_other), abs=200)
    assert of_port[1] == pytest.approx(8000, abs=2000), "with the margin of what is known"
    assert of_other[1] == 0

"""The same call in every wrapping, seen twice, cut short, or in fragments: the recording is always the same."""

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.cli import main
from tests.archive_reading import call_records, evidence_digest, stored_parts
from tests.recorded_truth import differences
from tests.scenario import CALLEE, CALLER, SECOND_NS, call, causes, do_import, media, moved, streams
from tests.traffic.calls import PlayedCall, play
from tests.traffic.media import impaired
from tests.traffic.pcapwriter import Frame, Link, Transport, Wire, frames_of, seen_twice, write_pcap
from tests.traffic.signalling import Side

LONG_INVITE = (("Subject", "x" * 3000),)


def damaged(call_id: str = "call@example", **changes: object) -> PlayedCall:
    """A call with loss, reordering and duplicates on one side."""
    script = impaired(media(8.0, 1), loss=0.02, reordered=0.02, seed=3)
    return play(replace(call(call_id, talk_s=8.0), caller_media=replace(script, twice=frozenset({30, 31})), **changes))  # type: ignore[arg-type]


WIRES = {
    "raw": Wire(link=Link.RAW),
    "loopback": Wire(link=Link.NULL),
    "linux cooked": Wire(link=Link.SLL),
    "linux cooked 2": Wire(link=Link.SLL2),
    "vlan": Wire(vlans=(10,)),
    "vlan in vlan": Wire(vlans=(100, 10)),
    "pppoe": Wire(pppoe_session=7),
    "pppoe in vlan": Wire(vlans=(10,), pppoe_session=7),
}


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("name", WIRES)
def test_every_wrapping(name: str, transport: Transport, tmp_path: Path) -> None:
    played = damaged(transport=transport, headers=LONG_INVITE)
    found = do_import(tmp_path, frames_of(played.packets, WIRES[name]), link=WIRES[name].link)
    assert differences(found.archive, [played]) == []
    assert found.only["outcome"] == "partly"


@pytest.mark.parametrize("transport", Transport)
def test_ipv6(transport: Transport, tmp_path: Path) -> None:
    played = damaged(
        transport=transport,
        headers=LONG_INVITE,
        caller=moved(CALLER, host="2001:db8::11"),
        callee=moved(CALLEE, host="2001:db8::20"),
    )
    found = do_import(tmp_path, played.packets)
    assert differences(found.archive, [played]) == []
    assert streams(found.part, 0)[0]["source"] == "[2001:db8::11]:16384"


@pytest.mark.parametrize("segment", [40, 536, 1400])
def test_sip_over_tcp_in_segments_of_any_size(segment: int, tmp_path: Path) -> None:
    played = damaged(transport=Transport.TCP, compact=True)
    found = do_import(tmp_path, frames_of(played.packets, Wire(tcp_segment_bytes=segment)))
    assert differences(found.archive, [played]) == []


def test_media_in_fragments(tmp_path: Path) -> None:
    """A link with an absurdly small MTU fragments everything, speech too."""
    played = damaged()
    found = do_import(tmp_path, frames_of(played.packets, Wire(mtu=140)))
    assert differences(found.archive, [played]) == []


def test_doubled_mirror(tmp_path: Path) -> None:
    """Both ports of a switch are mirrored: each packet comes again, routed on."""
    played = damaged()
    found = do_import(tmp_path, seen_twice(played.packets, Wire()))
    record = found.only
    truths = [truth for truths in played.truths.values() for truth in truths]
    for side, truth in zip(record["sides"], truths, strict=True):
        assert (side["lost"], side["packets"]) == (truth.lost, truth.packets)
        assert side["duplicates"] == truth.packets + 2 * truth.duplicates
    doubled = {
        side: tuple(replace(truth, duplicates=truth.packets + 2 * truth.duplicates) for truth in each)
        for side, each in played.truths.items()
    }
    assert differences(found.archive, [replace(played, truths=doubled)]) == []


@pytest.mark.parametrize("other", [Wire(vlans=(20,)), Wire(vlans=(10,), mac_seed=3)], ids=["other VLAN", "other MAC"])
def test_copies_on_another_vlan_fill_each_others_holes(other: Wire, tmp_path: Path) -> None:
    """Lost is what is absent from all copies."""
    played = play(call(talk_s=8.0))
    here = [packet for place, packet in enumerate(played.packets) if packet.payload[0] >> 6 != 2 or place % 10]
    there = [packet for place, packet in enumerate(played.packets) if packet.payload[0] >> 6 != 2 or place % 10 != 5]
    late = [Frame(ts_ns + 700_000, octets) for ts_ns, octets in frames_of(there, other)]
    frames = sorted([*frames_of(here, Wire(vlans=(10,))), *late], key=lambda frame: frame.ts_ns)
    found = do_import(tmp_path, frames)
    assert [side["lost"] for side in found.only["sides"]] == [0, 0]
    assert found.only["outcome"] == "recorded"
    assert all(side["duplicates"] > 200 for side in found.only["sides"])
    assert len(found.parts) == 1


def test_copies_in_two_files(tmp_path: Path) -> None:
    """Two mirrors, two files, one input."""
    played = play(call(talk_s=8.0))
    for name, keep in (("a.pcap", 0), ("b.pcap", 5)):
        kept = [p for place, p in enumerate(played.packets) if p.payload[0] >> 6 != 2 or place % 10 != keep]
        write_pcap(tmp_path / name, frames_of(kept))
    archive = tmp_path / "archive"
    assert main(["import", str(tmp_path / "b.pcap"), str(tmp_path / "a.pcap"), "--output", str(archive)]) == 0
    (record,) = call_records(archive)
    assert [side["lost"] for side in record["sides"]] == [0, 0]
    assert record["outcome"] == "recorded"


@pytest.mark.parametrize("transport", Transport)
def test_a_capture_in_several_files_is_one(transport: Transport, tmp_path: Path) -> None:
    """As `tcpdump -C` and `dumpcap -b` write it: cut anywhere, also within a message and within fragments."""
    played = damaged(transport=transport, headers=LONG_INVITE)
    frames = frames_of(played.packets, Wire(tcp_segment_bytes=500, mtu=1000))
    invite = next(place for place, frame in enumerate(frames) if b"INVITE sip:" in frame.octets)
    places = [0, invite + 1, 100, 101, len(frames) // 2, len(frames)]
    files = [tmp_path / f"{place}.pcap" for place in places[:-1]]
    for file, low, high in zip(files, places, places[1:], strict=False):
        write_pcap(file, frames[low:high])
    write_pcap(tmp_path / "whole.pcap", frames)
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    assert main(["import", str(tmp_path / "whole.pcap"), "--output", str(whole)]) == 0
    assert main(["import", *map(str, reversed(files)), "--output", str(pieces)]) == 0
    assert evidence_digest(pieces) == evidence_digest(whole)
    assert differences(pieces, [played]) == []


def test_snap_length_is_capture_loss(tmp_path: Path) -> None:
    """Frames cut at 150 bytes keep 96 of 160 samples: these are used, the rest is the recorder's loss."""
    played = play(call(talk_s=6.0))
    capture = tmp_path / "capture.pcap"
    _write_cut(capture, frames_of(played.packets), 150)
    archive = tmp_path / "archive"
    assert main(["import", str(capture), "--output", str(archive), "--form", "wav"]) == 0
    (record,) = call_records(archive)
    assert (record["outcome"], record["reasons"]) == ("partly", ["capture_loss"])
    assert record["network_lost_samples"] == 0
    assert [side["lost"] for side in record["sides"]] == [0, 0]
    assert record["capture_completeness"] == pytest.approx(60.0, abs=0.5)
    (part,) = stored_parts(archive)
    for number, side in enumerate(Side):
        (truth,) = played.truths[side]
        (stream,) = streams(part, number)
        heard = part.audio[stream["first_sample"] :, number]
        present = np.arange(len(truth.pcm)) % 160 < 96
        expected = np.where(present, truth.pcm, 0)[: len(heard)]
        np.testing.assert_array_equal(heard[: len(expected)], expected)
        assert set(causes(part, number)) == {"capture_loss"}


def test_headers_alone_are_capture_loss(tmp_path: Path) -> None:
    """Frames cut behind the RTP header show that there was speech, and that the capture has none of it."""
    played = play(call(talk_s=6.0))
    capture, archive = tmp_path / "capture.pcap", tmp_path / "archive"
    _write_cut(capture, frames_of(played.packets), 54)
    assert main(["import", str(capture), "--output", str(archive)]) == 0
    (record,) = call_records(archive)
    assert (record["outcome"], record["reasons"]) == ("not_recorded", ["capture_loss"])
    assert (record["network_lost_samples"], record["capture_completeness"]) == (0, 0.0)
    assert {each["side"]: each["packets"] for each in record["unrecorded"]} == {
        side: sum(truth.packets for truth in played.truths[side]) for side in Side
    }
    assert not list(stored_parts(archive))


def _write_cut(path: Path, frames: list[Frame], length: int) -> None:
    """A capture in which the signalling is whole and all other frames are cut."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262_144, 1))
        for ts_ns, octets in frames:
            seconds, fraction = divmod(ts_ns, SECOND_NS)
            kept = octets if b"SIP/2.0" in octets else octets[:length]
            file.write(struct.pack("<IIII", seconds, fraction, len(kept), len(octets)) + kept)


def test_loss_among_cut_packets_is_told_apart(tmp_path: Path) -> None:
    script = media(6.0, 1, lost=frozenset({100, 101, 102}))
    played = play(call(talk_s=6.0, caller_media=script))
    capture = tmp_path / "capture.pcap"
    _write_cut(capture, frames_of(played.packets), 150)
    archive = tmp_path / "archive"
    assert main(["import", str(capture), "--output", str(archive)]) == 0
    (record,) = call_records(archive)
    assert record["sides"][0]["lost"] == 3
    assert record["network_lost_samples"] == 480
    assert set(record["reasons"]) == {"network_loss", "capture_loss"}


def test_late_copies_of_signalling_change_nothing(tmp_path: Path) -> None:
    """Every SIP message again after 500 ms (retransmission), out of order with others."""
    played = damaged()
    again = [
        replace(packet, ts_ns=packet.ts_ns + 500_000_000) for packet in played.packets if packet.payload[0] >> 6 != 2
    ]
    found = do_import(tmp_path, played.packets + again)
    assert differences(found.archive, [played]) == []
    assert found.only["outcome"] == "partly"

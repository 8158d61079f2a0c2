"""The lab's own relay: whoever tests with it must be able to trust it."""

import struct
from dataclasses import replace

import pytest

from tests.lab.impairments import Impairer, Impairment, Rtp, rtp_of
from tests.lab.relay import Relay
from tests.lab.wrappings import WRAPPINGS
from tests.traffic.media import MediaScript, send
from tests.traffic.pcapwriter import Address, Packet, checksum, frames_of
from tests.traffic.speech import speech

HERE, THERE = Address("10.77.0.10", 20000), Address("10.77.0.100", 20000)
SIX = Address("fd77::10", 20000), Address("fd77::100", 20000)
MILLISECOND_NS = 1_000_000
CALM = Impairment()


def media(seconds: float = 4.0, here: Address = HERE, there: Address = THERE) -> list[Packet]:
    script = MediaScript(audio=speech(seconds, seed=1), seed=1, first_sequence=65_500)
    return send(script, here, there, 0).packets


def relay(impairment: Impairment = CALM, seed: int = 1) -> Relay:
    return Relay(impairer=Impairer(impairment=impairment, seed=seed), wrap=WRAPPINGS["plain"])


def passed(relay: Relay, packets: list[Packet]) -> list[int]:
    """Sequence numbers in the order in which they leave, a millisecond at a time."""
    left = []
    frames = frames_of(packets)
    for now_ns in range(0, frames[-1].ts_ns + 300 * MILLISECOND_NS, MILLISECOND_NS):
        while frames and frames[0].ts_ns <= now_ns:
            relay.receive(frames.pop(0).octets, now_ns)
        found = [rtp_of(frame) for frame in relay.due(now_ns)]
        left += [packet.sequence for packet in found if packet]
    return left


@pytest.mark.parametrize(("here", "there"), [(HERE, THERE), SIX], ids=["IPv4", "IPv6"])
def test_media_is_told_from_all_else(here: Address, there: Address) -> None:
    packets = media(here=here, there=there)
    (ssrc,) = struct.unpack_from("!I", packets[0].payload, 8)
    assert [rtp_of(frame.octets) for frame in frames_of(packets[:2])] == [
        Rtp(here.host, ssrc, 65_500),
        Rtp(here.host, ssrc, 65_501),
    ]
    for other in (b"INVITE sip:a@b SIP/2.0\r\n", b"\x80\xc8" + bytes(26), b"\x80\x00"):
        (frame,) = frames_of([replace(packets[0], payload=other)])
        assert rtp_of(frame.octets) is None


def test_nothing_happens_unasked() -> None:
    calm = relay()
    assert passed(calm, media()) == [sequence % 65536 for sequence in range(65_500, 65_700)]
    assert (calm.dropped, calm.delayed, calm.next_deadline_ns()) == ([], [], None)


def test_loss_is_logged_and_the_same_every_time() -> None:
    packets = media()
    lossy = Impairment(loss=0.1)
    first, again, other = relay(lossy), relay(lossy), relay(lossy, seed=2)
    left = passed(first, packets)
    assert passed(again, packets) == left
    assert again.dropped == first.dropped
    assert passed(other, packets) != left
    assert 5 < len(first.dropped) < 40
    assert sorted(left + [sequence for _, sequence in first.dropped]) == sorted(passed(relay(), packets))


def test_late_packets_come_behind_those_that_followed() -> None:
    late = relay(Impairment(late=0.05, late_ms=70))
    left = passed(late, media())
    delayed = {sequence for _, sequence in late.delayed}
    assert len(delayed) > 5
    in_order = [sequence % 65536 for sequence in range(65_500, 65_700)]
    assert sorted(left) == sorted(in_order)
    assert [each for each in left if each not in delayed] == [each for each in in_order if each not in delayed]
    for sequence in delayed - {in_order[-1]}:
        # 70 ms are three packets of 20 ms and a bit.
        behind = [(sequence + ahead) % 65536 for ahead in (1, 2, 3)]
        assert all(left.index(each) < left.index(sequence) for each in behind if each in left and each not in delayed)


def test_a_hole_is_in_one_direction_and_of_exact_length() -> None:
    hole = Impairment(hole_from=HERE.host, hole_at=30, hole_packets=50)
    left = passed(relay(hole), media())
    assert left == [sequence % 65536 for sequence in [*range(65_500, 65_530), *range(65_580, 65_700)]]
    assert len(passed(relay(hole), media(here=THERE, there=HERE))) == 200


def test_wrappings_by_the_standards() -> None:
    frame = frames_of(media())[0].octets
    assert WRAPPINGS["vlan"](frame, 0)[12:18].hex() == "8100004d0800"
    assert WRAPPINGS["qinq"](frame, 0)[12:22].hex() == "88a800648100004d0800"
    erspan = WRAPPINGS["erspan"](frame, 7)
    assert (erspan[12:14].hex(), erspan[23], checksum(erspan[14:34])) == ("0800", 47, 0)
    assert erspan[34:50].hex() == "100088be00000007" + "1000000500000001"
    vxlan = WRAPPINGS["vxlan"](frame, 0)
    assert (vxlan[23], checksum(vxlan[14:34])) == (17, 0)
    assert struct.unpack_from("!HHH", vxlan, 34) == (49152, 4789, 16 + len(frame))
    assert vxlan[42:50].hex() == "0800000000002a00"
    assert erspan[50:] == vxlan[50:] == frame

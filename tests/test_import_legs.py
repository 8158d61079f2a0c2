"""Both sides of a PBX that hands on only the signalling: each leg is a recording of its own, of the same media."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.pbx_legs import PBX, legs
from tests.scenario import (
    CALLEE,
    CALLER,
    SECOND_NS,
    SILENT,
    Imported,
    call,
    channel,
    do_import,
    media,
    moved,
    placed,
)
from tests.traffic.calls import Hold, PlayedCall, Refer, play, replaces_value, together
from tests.traffic.media import send
from tests.traffic.pcapwriter import Address, Packet
from tests.traffic.signalling import Party, Side

MS = 1_000_000


def assert_whole(found: Imported, calls: list[PlayedCall], names: tuple[str, ...] = ("first", "second")) -> None:
    """Each leg holds every sample of both sides, and the later one is linked to the earlier."""
    for name in names:
        record = found.call(f"{name}@example")
        for number, side in enumerate(Side):
            for truth in calls[0].truths[side]:
                np.testing.assert_array_equal(placed(found.parts_of(record), number, truth), truth.pcm)
        assert record["outcome"] == "recorded", record["reasons"]
    first, second = found.call("first@example"), found.call("second@example")
    assert second["links"]["second_leg_of"] == {"call_id": first["call_id"], "sip_call_id": "first@example"}
    assert first["links"]["second_leg_of"] is None
    assert not found.media


def fates(printed: str) -> str:
    return " ".join(printed.split())


@pytest.mark.parametrize("renumbered", [False, True], ids=["same numbers", "other numbers"])
@pytest.mark.parametrize("second_talk_s", [3.55, 3.7, 3.95], ids=["second ends early", "together", "second ends late"])
def test_each_leg_has_the_media_they_share(
    second_talk_s: float, renumbered: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = legs(first_talk_s=3.6, second_talk_s=second_talk_s, speech_s=3.4, renumbered=renumbered)
    found = do_import(tmp_path, together(calls))
    assert_whole(found, calls)
    printed = fates(capsys.readouterr().out)
    sent = sum(truth.packets for truths in calls[0].truths.values() for truth in truths)
    assert f"in recordings {2 * sent}" in printed
    assert f"counted twice, in two legs of a call -{sent}" in printed
    assert "of no known fate" not in printed


def test_legs_all_under_rules(tmp_path: Path) -> None:
    calls = legs()
    config = f'[recording]\nlegs = "all"\n[[enterprise]]\nid = "E1"\nlines = [{{ number = "{CALLER.number}" }}]\n'
    assert_whole(do_import(tmp_path, together(calls), config=config), calls)


def test_parts_of_both_legs(tmp_path: Path) -> None:
    """What one leg has in its part stays until the other one has it, too."""
    calls = legs(first_talk_s=100.0, second_talk_s=100.3, speech_s=99.8)
    found = do_import(tmp_path, together(calls), config="[recording]\nsegment_s = 30\n")
    assert_whole(found, calls)
    assert [len(found.call(f"{name}@example")["parts"]) for name in ("first", "second")] == [4, 4]


def test_hold_on_both_legs(tmp_path: Path) -> None:
    calls = legs(
        first_talk_s=8.0, second_talk_s=8.0, speech_s=7.8, holds=(Hold(at_s=2.0, seconds=3.0, by=Side.CALLER),)
    )
    found = do_import(tmp_path, together(calls))
    for name in ("first", "second"):
        record = found.call(f"{name}@example")
        assert record["outcome"] == "recorded", record["reasons"]
        assert len(record["holds"]) == 1
    first, second = (channel(found.parts_of(found.call(f"{name}@example")), 1) for name in ("first", "second"))
    at = 3_000
    (place,) = [n for n in range(len(second) - 8000) if np.array_equal(second[n : n + 8000], first[at : at + 8000])][:1]
    np.testing.assert_array_equal(first[at:60_000], second[place : place + 57_000])


def test_media_that_leave_the_pbx_in_mid_call(tmp_path: Path) -> None:
    """Through the PBX at first, then directly: what went through it stays with the leg it was on."""
    start = play(call("x@example")).script.answer_ns
    to_caller, to_callee = Address(PBX.host, 40_000), Address(PBX.host, 40_002)
    first = call("first@example", callee=replace(CALLEE, sip=PBX, rtp=to_caller), ring_s=1.0, talk_s=8.0,
                 caller_media=SILENT, callee_media=SILENT)  # fmt: skip
    second = replace(first, call_id="second@example", caller=replace(CALLER, sip=PBX, rtp=to_callee), callee=CALLEE,
                     start_ns=first.start_ns + 50 * MS, ring_s=0.9)  # fmt: skip
    dialogs = []
    for script, by, party in ((first, Side.CALLEE, CALLEE), (second, Side.CALLER, CALLER)):
        dialogs += direct(play(script), by, party)
    before = [
        (CALLER.rtp, to_caller, 1),
        (to_caller, CALLER.rtp, 2),
        (to_callee, CALLEE.rtp, 1),
        (CALLEE.rtp, to_callee, 2),
    ]
    through = [send(media(3.9, seed), here, there, start + 20 * MS) for here, there, seed in before]
    after = [
        send(media(3.5, seed), here, there, start + 4 * SECOND_NS + 100 * MS)
        for here, there, seed in ((CALLER.rtp, CALLEE.rtp, 3), (CALLEE.rtp, CALLER.rtp, 4))
    ]
    found = do_import(tmp_path, dialogs + [packet for sent in through + after for packet in sent.packets])
    assert not found.media
    for name, mine in (("first", through[:2]), ("second", through[2:])):
        record = found.call(f"{name}@example")
        parts = found.parts_of(record)
        for number, sent in enumerate(mine):
            np.testing.assert_array_equal(placed(parts, number, sent.truths[0]), sent.truths[0].pcm)
        for number, sent in enumerate(after):
            np.testing.assert_array_equal(placed(parts, number, sent.truths[0]), sent.truths[0].pcm)


def direct(played: PlayedCall, by: Side, party: Party) -> list[Packet]:
    """The call's messages, and a re-INVITE after 4 s in which a side gives another address for its media."""
    held = play(replace(played.script, holds=(Hold(at_s=4.0, seconds=2.0, by=by),)))
    here = played.script.caller if by is Side.CALLER else played.script.callee
    packets = []
    for packet in held.packets:
        body = packet.payload
        if packet.ts_ns >= played.script.at_ns(4.0):
            old, new = here.rtp, party.rtp
            body = body.replace(b"c=IN IP4 %s" % old.host.encode(), b"c=IN IP4 %s" % new.host.encode())
            body = body.replace(b"m=audio %d" % old.port, b"m=audio %d" % new.port)
            body = body.replace(b"a=sendonly", b"a=sendrecv").replace(b"a=recvonly", b"a=sendrecv")
            length = b"Content-Length: %d" % len(body.split(b"\r\n\r\n", 1)[1])
            old_length = packet.payload.split(b"Content-Length: ")[1].split(b"\r\n")[0]
            body = body.replace(b"Content-Length: " + old_length, length)
        packets.append(replace(packet, payload=body))
    return packets


def test_a_consultation_is_not_in_the_call_it_is_about(tmp_path: Path) -> None:
    """The telephone keeps its port: what the held party sends is no part of the call beside it, nor the other way."""
    third = moved(CALLEE, host="10.77.8.77", rtp_port=26_000, number="0611112222")
    main = play(call("first@example", talk_s=12.0, caller_media=media(12.0, 1), callee_media=media(12.0, 2),
                     holds=(Hold(at_s=4.0, seconds=4.0, by=Side.CALLER, music=True),)))  # fmt: skip
    beside = play(call("second@example", callee=third, start_ns=main.script.at_ns(4.2), ring_s=0.5, talk_s=2.8,
                       caller_media=media(2.8, 3), callee_media=media(2.8, 4)))  # fmt: skip
    found = do_import(tmp_path, together([main, beside]))
    assert not found.media
    for name, played in (("first", main), ("second", beside)):
        record = found.call(f"{name}@example")
        part = found.parts_of(record)[0]
        for number, side in enumerate(Side):
            heard = {stream["ssrc"] for stream in part.record["channels"][number]["streams"]}
            assert heard == {f"0x{truth.ssrc:08x}" for truth in played.truths[side]}
        assert record["links"]["second_leg_of"] is None


def test_transferred_party_keeps_its_port(tmp_path: Path) -> None:
    """The new call takes over the port before the old one has hung up; each has its own speech."""
    third = moved(CALLER, host="10.77.0.33", rtp_port=17_000, number="0335550133")
    old = play(call("first@example", talk_s=5.0, caller_media=media(5.0, 1), callee_media=media(5.0, 2),
                    refers=(Refer(at_s=4.5, by=Side.CALLER, target=third),)))  # fmt: skip
    new = play(call("second@example", caller=third, start_ns=old.script.at_ns(4.6), ring_s=0.2, talk_s=4.0,
                    caller_media=media(4.0, 3), callee_media=media(4.0, 4),
                    headers=(("Replaces", replaces_value(old.script)),)))  # fmt: skip
    found = do_import(tmp_path, together([old, new]))
    for name, played in (("first", old), ("second", new)):
        part = found.parts_of(found.call(f"{name}@example"))[0]
        heard = {stream["ssrc"] for stream in part.record["channels"][0]["streams"]}
        assert heard == {f"0x{truth.ssrc:08x}" for truth in played.truths[Side.CALLER]}
        (truth,) = played.truths[Side.CALLER]
        np.testing.assert_array_equal(placed([part], 0, truth), truth.pcm)


def test_calls_between_the_same_two_hosts_on_one_port_are_no_legs(tmp_path: Path) -> None:
    """As load generators call: nothing tells whose media it is, but two calls they are."""
    one = play(call("first@example", talk_s=3.0))
    other = play(call("second@example", caller=replace(CALLER, number="0312340000"),
                      callee=replace(CALLEE, number="0612340000"), start_ns=one.script.start_ns + 200 * MS,
                      talk_s=3.0, caller_media=media(3.0, 5), callee_media=media(3.0, 6)))  # fmt: skip
    found = do_import(tmp_path, together([one, other]))
    assert all(found.call(f"{name}@example")["links"]["second_leg_of"] is None for name in ("first", "second"))


def test_media_with_another_codec_is_told_in_each_leg(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls = legs(scripts=(media(3.0, 1, codec="G729"), media(3.0, 2, codec="G729")))
    found = do_import(tmp_path, together(calls))
    for name in ("first", "second"):
        assert found.call(f"{name}@example")["reasons"] == ["unsupported_codec"]
    assert "of no known fate" not in fates(capsys.readouterr().out)

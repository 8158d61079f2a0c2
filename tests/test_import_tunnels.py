"""The same call by way of a remote mirror: the recording is the one a mirror port gives."""

import shutil
from pathlib import Path

import pytest

from appliance.cli import main
from tests.recorded_truth import differences
from tests.scenario import CALLEE, CALLER, Imported, call, do_import, media, moved
from tests.traffic.calls import PlayedCall, play
from tests.traffic.media import impaired
from tests.traffic.mirror import Tunnel, mirrored
from tests.traffic.pcapwriter import Frame, Transport, Wire, frames_of, write_pcap

FULL_SIZE_INVITE = (("Subject", "x" * 732),)
"""Makes an INVITE that fits a frame, and does not fit one any more when a tunnel is put around it."""


def played(call_id: str = "call@example", **changes) -> PlayedCall:
    script = impaired(media(6.0, 1), loss=0.02, reordered=0.02, seed=3)
    return play(call(call_id, caller_media=script, headers=FULL_SIZE_INVITE, **changes))


def invite_of(frames: list[Frame]) -> bytes:
    (invite,) = [frame.octets for frame in frames if b"INVITE sip:" in frame.octets[:80]]
    return invite


def assert_recorded(found: Imported, sent: PlayedCall) -> None:
    """Everything as sent; also what only the INVITE says, since a call is recorded without one too."""
    assert differences(found.archive, [sent]) == []
    record = found.only
    assert (record["dialled"], record["flags"]) == (CALLEE.number, [])
    assert record["reasons"] in ([], ["network_loss"])


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("tunnel", Tunnel)
def test_every_tunnel(tunnel: Tunnel, transport: Transport, tmp_path: Path) -> None:
    sent = played(transport=transport)
    plain = frames_of(sent.packets, Wire(vlans=(10,), tcp_segment_bytes=1460))
    assert 1500 < len(invite_of(plain)) <= 1518
    seen = mirrored(plain, tunnel, wire=Wire(vlans=(99,)))
    assert len(seen) > len(plain)
    found = do_import(tmp_path, seen)
    assert_recorded(found, sent)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize("tunnel", [Tunnel.VXLAN, Tunnel.VXLAN_LINUX])
def test_audit_sees_into_the_tunnel(tunnel: Tunnel, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture = tmp_path / "capture.pcap"
    write_pcap(capture, mirrored(frames_of(played().packets), tunnel))
    assert main(["audit", str(capture)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "answered calls 1 1 RTP streams 2 2 RTP packets 589 589 RTP packets lost 6 6" in printed
    assert "no differences" in printed


@pytest.mark.parametrize("tunnel", [Tunnel.ERSPAN_2, Tunnel.VXLAN])
def test_ipv6_inside_and_outside(tunnel: Tunnel, tmp_path: Path) -> None:
    sent = played(caller=moved(CALLER, host="2001:db8::11"), callee=moved(CALLEE, host="2001:db8::20"))
    found = do_import(tmp_path, mirrored(frames_of(sent.packets), tunnel, six=True))
    assert_recorded(found, sent)


def test_fragments_inside_and_outside(tmp_path: Path) -> None:
    """The INVITE was fragmented by its sender, and each full fragment again by the switch."""
    sent = play(call(headers=(("Subject", "x" * 4000),)))
    found = do_import(tmp_path, mirrored(frames_of(sent.packets), Tunnel.ERSPAN_3))
    assert_recorded(found, sent)


def test_a_mirror_of_a_mirror(tmp_path: Path) -> None:
    sent = played()
    once = mirrored(frames_of(sent.packets), Tunnel.VXLAN)
    found = do_import(tmp_path, mirrored(once, Tunnel.ERSPAN_2))
    assert_recorded(found, sent)


@pytest.mark.parametrize("tunnel", [Tunnel.ERSPAN_2, Tunnel.TZSP])
def test_seen_at_a_port_and_through_a_tunnel(tunnel: Tunnel, tmp_path: Path) -> None:
    """One recording; what came the other way too is a copy, and only what neither way brought is lost."""
    sent = play(call())
    plain = frames_of(sent.packets)
    speech = [place for place, frame in enumerate(plain) if len(frame.octets) == 214]
    missing = {"port": set(speech[3::10]), "tunnel": set(speech[7::10])}
    here = [frame for place, frame in enumerate(plain) if place not in missing["port"]]
    there = mirrored([frame for place, frame in enumerate(plain) if place not in missing["tunnel"]], tunnel)
    found = do_import(tmp_path, sorted([*here, *there], key=lambda frame: frame.ts_ns))
    assert found.only["outcome"] == "recorded"
    assert [side["lost"] for side in found.only["sides"]] == [0, 0]
    assert len(found.parts) == 1
    copies = sum(side["duplicates"] for side in found.only["sides"])
    assert copies == len(speech) - len(missing["port"]) - len(missing["tunnel"])

"""The frames behind a difference, as tshark dissects them, for a person to judge by: `rokubox audit --frames`.

Through pyshark, which hands out tshark's protocol tree field by field. It costs milliseconds a frame, so it is asked
for a few; whole captures go through `tsharkaccount`.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyshark
from pyshark.capture.capture import TSharkCrashException

from appliance.audit import Difference, StreamKey, Subject

MAX_FRAMES = 3
"""Shown of each difference."""
_OPTIONS = ["-n", "--enable-heuristic", "rtp_udp"]


def display_filter(difference: Difference) -> str:
    """Return the filter that shows a difference's frames in Wireshark; empty for the whole capture."""
    if difference.subject is Subject.PACKETS:
        return ""
    if difference.subject in (Subject.CALL, Subject.ANSWER):
        return f"sip.Call-ID contains {_quoted(_longest_plain(difference.name))}"
    return _stream_filter(StreamKey.parse(difference.name), known_as_rtp=difference.tshark > 0)


def frames(capture: Path, chosen: str) -> Iterator[str]:
    """Describe the first frames of `capture` that a display filter lets through, a line each. tshark must be there."""
    with pyshark.FileCapture(
        str(capture), display_filter=chosen, custom_parameters=_OPTIONS, keep_packets=False
    ) as dissected:
        try:
            for packet in islice(dissected, MAX_FRAMES):
                yield f"frame {packet.number}: {', '.join(_facts(packet))}"
        except TSharkCrashException:
            return  # tshark ends so at a damaged tail; what lay before it was shown


def _facts(packet: "pyshark.packet.packet.Packet") -> Iterator[str]:
    """What tshark takes the frame for, and what tells calls and streams apart."""
    yield f"{packet.highest_layer} at {float(packet.frame_info.time_relative):.3f} s"
    for layer, names in (
        ("sip", ("request_line", "status_line", "call_id", "cseq")),
        ("rtp", ("ssrc", "seq", "timestamp", "p_type")),
    ):
        if layer in packet:
            values = ((name, packet[layer].get_field(name)) for name in names)
            yield from (f"{name.replace('_', ' ')} {value}" for name, value in values if value is not None)


def _stream_filter(key: StreamKey, *, known_as_rtp: bool) -> str:
    (source, source_port), (destination, destination_port) = map(_address, (key.source, key.destination))
    family = "ipv6" if ":" in source else "ip"
    flow = (
        f"{family}.src == {source} && udp.srcport == {source_port}"
        f" && {family}.dst == {destination} && udp.dstport == {destination_port}"
    )
    return f"{flow} && rtp.ssrc == 0x{key.ssrc:08x}" if known_as_rtp else flow


def _address(endpoint: str) -> tuple[str, str]:
    host, _, port = endpoint.rpartition(":")
    return host.strip("[]"), port


def _longest_plain(call_id: str) -> str:
    """The longest piece without bytes that the two sides decode differently (`audit.comparable` puts `?` there)."""
    return max(call_id.split("?"), key=len)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

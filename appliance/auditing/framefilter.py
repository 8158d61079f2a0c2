"""The display filter that shows the frames behind a difference: in Wireshark, and in `rokubox audit --frames`. Pure."""

from appliance.auditing.audit import Difference, StreamKey, Subject


def display_filter(difference: Difference) -> str:
    """Return the filter that shows a difference's frames in Wireshark; empty for the whole capture."""
    if difference.subject is Subject.PACKETS:
        return ""
    if difference.subject in (Subject.CALL, Subject.ANSWER):
        return f"sip.Call-ID contains {_quoted(_longest_plain(difference.name))}"
    return _stream_filter(StreamKey.parse(difference.name), known_as_rtp=difference.tshark > 0)


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

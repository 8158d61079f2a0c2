"""What numbers in evidence are called, in Japanese and English. Pure data."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from appliance.diagnosis.texts import Text
from appliance.show.labels import Language

FIGURES: Final[Mapping[str, Text]] = MappingProxyType(
    {
        "checks_failed": Text("失敗した検査", "checks failed"),
        "kernel_drops": Text("カーネルの取りこぼし", "dropped by the kernel"),
        "nic_drops": Text("NIC の取りこぼし", "dropped by the adapter"),
        "foreign_frames": Text("自局宛てでないユニキャスト", "frames to other stations"),
        "frames": Text("受信フレーム", "frames received"),
        "silent": Text("フレームのない時間", "no frame for"),
        "no_unicast": Text("ユニキャストのない時間", "no frame to one station for"),
        "group_frames": Text("ブロードキャスト／マルチキャスト", "frames to groups or to everybody"),
        "link_down": Text("リンク断", "link down"),
        "crc_errors": Text("CRC エラー", "checksum errors"),
        "alignment_errors": Text("アライメントエラー", "alignment errors"),
        "half_duplex": Text("半二重", "half duplex"),
        "sip_one_way": Text("片方向のみの SIP 通信", "SIP conversations one way only"),
        "rtp_one_way": Text("片方向のみの RTP 通信", "RTP conversations one way only"),
        "doubled_packets": Text("二重パケット", "packets that came twice"),
        "peak_rate": Text("最大流量", "peak rate"),
        "gaps_together": Text("両方向同時の欠落（20 ms 区間）", "20 ms bins with gaps both ways"),
        "lost_from_lan": Text("LAN 側からの欠落", "lost, coming from the LAN"),
        "lost_from_vpn": Text("網側からの欠落", "lost, coming from beyond"),
        "reported_lost": Text("受信側が報告した損失（RTCP）", "lost by the receivers' count (RTCP)"),
        "lost_here": Text("ミラー地点での欠落", "lost at the mirror"),
        "reporters": Text("報告した受信者", "receivers that reported"),
        "ef_from_lan": Text("LAN 側からの EF", "marked EF, coming from the LAN"),
        "dscp_0_from_vpn": Text("網側からの DSCP 0", "marked 0, coming from beyond"),
        "jitter_from_vpn": Text("網側からの揺らぎ", "jitter, coming from beyond"),
        "clock_off": Text("送信クロックのずれ", "sender's clock is off by"),
        "senders_off": Text("ずれた送信者", "senders that are off"),
        "constant_streams": Text("固定値のみのストリーム", "streams of one octet only"),
        "calls_without_media": Text("音声のない通話", "calls without media"),
        "calls_without_media_short": Text(
            "音声がなく数秒で切れた通話", "calls without media that ended within seconds"
        ),
        "calls_one_way": Text("片通話", "one-way calls"),
        "calls_without_lan_media": Text("LAN 側の音声がない通話", "calls without media from the LAN"),
        "calls_without_vpn_media": Text("網側の音声がない通話", "calls without media from beyond"),
        "private_address_in_sdp": Text("SDP に到達不能アドレス", "of them with an unreachable address in SDP"),
        "packets_from_lan": Text("LAN 側からの RTP", "RTP packets from the LAN"),
        "calls_of_equal_length": Text("同じ長さの通話", "calls that end after the same time, and none later"),
        "their_length": Text("その長さ", "their length"),
        "sip_vlan": Text("SIP の VLAN", "VLAN of SIP"),
        "rtp_vlan": Text("RTP の VLAN", "VLAN of RTP"),
        "invites_unanswered": Text("応答のない INVITE", "INVITEs without any answer"),
        "challenge_loops": Text("認証の繰り返し", "requests challenged again and again"),
        "answers_without_ack": Text("ACK のない 200 OK", "answers without ACK"),
        "round_trip": Text("往復時間", "round trip"),
        "sip_status": Text("SIP 応答", "SIP status"),
        "echo_answers": Text("ping 応答", "echo answers"),
        "path_mtu": Text("経路 MTU", "path MTU"),
        "clock_step": Text("時刻の跳び", "clock stepped by"),
        "clock_offset": Text("時刻のずれ", "clock offset"),
        "temperature": Text("温度", "temperature"),
        "memory_available": Text("空きメモリー", "memory available"),
        "free": Text("空き容量", "free"),
        "write": Text("書き込み", "write"),
        "days_left": Text("残り日数", "days left"),
        "speed": Text("速度", "speed"),
        "took": Text("所要時間", "took"),
        "deliveries_waiting": Text("配送待ち", "deliveries waiting"),
        "samples": Text("サンプル", "samples"),
        "samples_wrong": Text("不一致サンプル", "samples that differ"),
        "arp_unanswered": Text("応答のない ARP", "ARP requests unanswered"),
    }
)


def name(figure: str, language: Language) -> str:
    """What a number is called; `status_503` and what has no words stand for themselves."""
    if figure.startswith("status_"):
        return f"SIP {figure.removeprefix('status_')}"
    said = FIGURES.get(figure)
    return said.told(language) if said else figure.replace("_", " ")

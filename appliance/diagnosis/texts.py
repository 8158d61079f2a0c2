"""What a finding is called and what to do about it, in Japanese and English. Pure data."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from appliance.diagnosis.domains import Domain, Domains
from appliance.diagnosis.evidence import Cause, Point, State, Step
from appliance.diagnosis.findings import Confidence, Row
from appliance.show.labels import Language


class Text(NamedTuple):
    """The same in two languages."""

    ja: str
    en: str

    def told(self, language: Language) -> str:
        """In one language, or Japanese and English after each other."""
        match language:
            case Language.JA:
                return self.ja
            case Language.EN:
                return self.en
            case Language.BOTH:
                return f"{self.ja} / {self.en}"


class _Said(NamedTuple):
    """A finding's title and the next action of whoever stands before it."""

    title: Text
    action: Text


ROWS: Final[Mapping[Row, _Said]] = MappingProxyType(
    {
        Row.POWER_LOW: _Said(
            Text("電源電圧低下", "supply voltage is low"),
            Text(
                "付属の電源アダプターと電源タップを確認してください。",
                "Use the power supply that came with the box; check its socket.",
            ),
        ),
        Row.DISK_FAILING: _Said(
            Text("ディスク故障の予兆", "the disk is failing"),
            Text("録音をバックアップし、ディスクを交換してください。", "Back up the recordings and replace the disk."),
        ),
        Row.DISK_UNUSABLE: _Said(
            Text("ディスクに書き込めません", "the disk takes no recordings"),
            Text(
                "空き容量、マウント、読み取り専用でないことを確認してください（rokubox storage）。",
                "Check room, mount and write protection (rokubox storage).",
            ),
        ),
        Row.DISK_DIFFERS: _Said(
            Text("ディスクの書き込み検査に失敗", "what was written to the disk does not come back"),
            Text("ディスクとケーブルを交換してください。", "Replace the disk and its cable."),
        ),
        Row.MEMORY_LOW: _Said(
            Text("メモリー不足", "memory is short"),
            Text(
                "装置を再起動し、再発時はサポートへ連絡してください。",
                "Restart the box; if it comes back, send a support bundle.",
            ),
        ),
        Row.TOO_HOT: _Said(
            Text("装置の温度が高すぎます", "the box is too hot"),
            Text("通風口と設置場所を確認してください。", "Check its vents and where it stands."),
        ),
        Row.CLOCK_WRONG: _Said(
            Text("装置の時刻異常（NTP 未同期または時刻の跳び）", "the box's clock: NTP lost, or the time stepped"),
            Text(
                "NTP サーバーの設定と到達性（UDP 123）を確認してください。",
                "Check which NTP server is configured and that UDP 123 reaches it.",
            ),
        ),
        Row.CERTIFICATE_EXPIRED: _Said(
            Text("装置の証明書が期限切れ", "a certificate of the box has expired"),
            Text("証明書を更新してください。", "Renew the certificate."),
        ),
        Row.INTERFACE_MISSING: _Said(
            Text("設定されたネットワークポートがありません", "a configured network port does not exist"),
            Text(
                "設定ファイルの interface 名と、アダプターの接続を確認してください。",
                "Check the interface's name in the configuration, and the adapter.",
            ),
        ),
        Row.NO_ADDRESS: _Said(
            Text("管理ポートにアドレスまたは経路がありません", "the management port has no address or no route"),
            Text(
                "管理ポートの IP アドレスとゲートウェイの設定を確認してください。",
                "Check address and gateway of the management port.",
            ),
        ),
        Row.RECORDER_STOPPED: _Said(
            Text("録音が動作していません", "nothing is being recorded: the recorder does not run"),
            Text(
                "rokubox-capture と rokubox-assemble を起動してください（rokubox record）。",
                "Start rokubox-capture and rokubox-assemble (rokubox record).",
            ),
        ),
        Row.PIPELINE_FAILED: _Said(
            Text("自己診断通話の録音に失敗", "the known test call did not come out right"),
            Text("装置を再起動し、サポート情報を送付してください。", "Restart the box and send a support bundle."),
        ),
        Row.OVERLOAD: _Said(
            Text("装置の取りこぼし（過負荷）", "the box itself dropped packets (overload)"),
            Text(
                "装置の負荷とディスクの遅延を確認してください。他の区間は疑わないでください。",
                "Check the box's load and its disk's latency. Blame nobody else.",
            ),
        ),
        Row.SPAN_IN_MANAGEMENT: _Said(
            Text("SPAN ケーブルが管理ポートに挿さっています", "the SPAN cable is in the management port"),
            Text("2 本のケーブルを入れ替えてください。", "Swap the two cables."),
        ),
        Row.SPAN_LINK_DOWN: _Said(
            Text("SPAN ポートのリンク断", "no link at the SPAN port"),
            Text(
                "SPAN ケーブルと、スイッチのミラー先ポートが有効であることを確認してください。",
                "Check the SPAN cable, and that the mirror's destination port is enabled at the switch.",
            ),
        ),
        Row.NO_FRAMES: _Said(
            Text("SPAN ポートにフレームが届きません", "no frames arrive at the SPAN port"),
            Text(
                "スイッチのミラーセッションの送信元と宛先を確認してください。",
                "Check source and destination of the mirror session at the switch.",
            ),
        ),
        Row.ONLY_GROUP: _Said(
            Text(
                "ブロードキャスト／マルチキャストのみ（ミラー元なし）",
                "only broadcast and multicast: the mirror has no source",
            ),
            Text(
                "ミラーの送信元が外れ、通常ポートに戻っています。ミラーを再設定してください。",
                "The source was removed and the port is back in normal mode: set the mirror up again.",
            ),
        ),
        Row.ONE_DIRECTION: _Said(
            Text("ミラーが片方向のみ", "the mirror shows one direction only"),
            Text(
                "ミラーの方向を rx のみ／tx のみから双方向（both）に変更してください。",
                "Set the mirror to both directions instead of rx-only or tx-only.",
            ),
        ),
        Row.OVERSUBSCRIBED: _Said(
            Text("ミラーポートの帯域超過", "the mirror port is oversubscribed"),
            Text(
                "ミラー対象を音声 VLAN に絞るか、より速いポートを使ってください。",
                "Mirror the voice VLAN only, or use a faster port.",
            ),
        ),
        Row.DOUBLED: _Said(
            Text(
                "パケットが二重に届いています（録音は重複除去済み）",
                "every packet comes twice (recordings are deduplicated)",
            ),
            Text(
                "両方向を 2 ポートでミラーしています。片方のポートだけにしてください。",
                "Two ports are mirrored in both directions: mirror one of them.",
            ),
        ),
        Row.VLAN_MISSING: _Said(
            Text("ミラーに VLAN が不足", "a VLAN is missing from the mirror"),
            Text("音声（RTP）の VLAN をミラー対象に加えてください。", "Add the VLAN that carries RTP to the mirror."),
        ),
        Row.MEDIA_BYPASSES: _Said(
            Text("音声がミラー地点を通っていません", "media does not pass the mirror"),
            Text(
                "電話機と相手の間の RTP 経路を調べ、そのポートをミラーしてください。",
                "Find the path that RTP takes and mirror a port on it.",
            ),
        ),
        Row.MANAGEMENT_DOWN: _Said(
            Text("管理ポートのリンク断", "no link at the management port"),
            Text(
                "LAN ケーブルとスイッチのポート、スイッチの電源を確認してください。",
                "Check the LAN cable, the switch port and the switch's power.",
            ),
        ),
        Row.LINE_ERRORS: _Said(
            Text("リンク品質不良（CRC エラーまたは半二重）", "a bad link: checksum errors or half duplex"),
            Text(
                "ケーブル、スイッチのポート、速度・全二重設定を確認してください。",
                "Replace the cable, try another switch port, set both ends to the same speed and duplex.",
            ),
        ),
        Row.DNS_GONE: _Said(
            Text("DNS が応答しません", "DNS does not answer"),
            Text("DNS サーバーの稼働とアドレス設定を確認してください。", "Check the DNS server, and its address here."),
        ),
        Row.NO_MEDIA: _Said(
            Text("通話成立後に音声がなく、数秒で切断", "calls are answered, have no media, and end within seconds"),
            Text(
                "ファイアウォール、SDP のアドレス、コーデックの組合せを確認してください。",
                "Check firewall, addresses in SDP, and codecs.",
            ),
        ),
        Row.LAN_SILENT: _Said(
            Text("お客様側からの音声がありません", "no media from the customer's side"),
            Text(
                "電話機・PBX・NAT（SDP のプライベートアドレス）を確認してください。",
                "Check telephone, PBX and NAT (private address in SDP).",
            ),
        ),
        Row.NAT_IN_SDP: _Said(
            Text(
                "SDP のアドレスに相手から到達できません（NAT）", "SDP names an address that beyond cannot reach (NAT)"
            ),
            Text(
                "PBX の外部アドレス設定と SIP ALG を確認してください。",
                "Set the PBX's external address; check SIP ALG.",
            ),
        ),
        Row.GAPS_FROM_LAN: _Said(
            Text("お客様 LAN からの音声に欠落", "media from the customer's LAN has gaps"),
            Text(
                "PBX・電話機からミラー地点までのスイッチ、ケーブル、無線、輻輳を確認してください。",
                "Check switches, cables, Wi-Fi and load between telephones or PBX and the mirror.",
            ),
        ),
        Row.LOSS_TOWARDS_LAN: _Said(
            Text(
                "ミラー地点より LAN 側で損失（RTCP 報告）",
                "loss between the mirror and the customer's telephones (RTCP)",
            ),
            Text(
                "ミラー地点から電話機までのスイッチ、ケーブル、無線を確認してください。",
                "Check switches, cables and Wi-Fi between the mirror and the telephones.",
            ),
        ),
        Row.LAN_UNANSWERED: _Said(
            Text("着信 INVITE に PBX が応答しません", "the PBX does not answer incoming INVITEs"),
            Text("PBX の稼働と SIP 待受けを確認してください。", "Check that the PBX runs and listens for SIP."),
        ),
        Row.LAN_ERROR: _Said(
            Text("PBX がサーバーエラー（5xx）を返しています", "the PBX answers with 5xx"),
            Text("PBX のログと空き回線を確認してください。", "Look at the PBX's log and its free channels."),
        ),
        Row.LAN_NOT_REACHED: _Said(
            Text("お客様側が 408/480 を返しています", "the customer's side answers 408 or 480"),
            Text(
                "Via と Server を見て、応答した機器の登録状態を確認してください。",
                "See by Via and Server who answered; check what is registered there.",
            ),
        ),
        Row.LAN_REFUSES: _Said(
            Text("PBX が認証を拒否しています", "the PBX refuses"),
            Text(
                "PBX のアカウントと発着信規制を確認してください。", "Check accounts and call restrictions of the PBX."
            ),
        ),
        Row.EQUAL_DURATIONS: _Said(
            Text("全通話が同じ時間で切断", "all calls end after the same time"),
            Text(
                "セッションタイマー（Session-Expires）とファイアウォールの UDP タイムアウトを確認してください。",
                "Check session timers (Session-Expires) and the firewall's UDP timeout.",
            ),
        ),
        Row.DEAD_AIR: _Said(
            Text(
                "音声が固定値のまま（ミュートまたは断線）",
                "one octet all the time: muted, or the analogue side is dead",
            ),
            Text(
                "ミュート、ヘッドセット、アナログ回線の接続を確認してください。",
                "Check mute, headset and analogue wiring.",
            ),
        ),
        Row.ARP_UNANSWERED: _Said(
            Text("ARP 応答なし", "ARP requests are not answered"),
            Text(
                "ゲートウェイ／VPN ルーターの電源と LAN 側ケーブル、VLAN を確認してください。",
                "Check power, LAN-side cable and VLAN of the gateway or VPN router.",
            ),
        ),
        Row.NO_ACK: _Said(
            Text("200 OK が繰り返され ACK が届きません", "200 OK is repeated, no ACK comes"),
            Text(
                "Contact／Record-Route のアドレスと NAT（SIP ALG）を確認してください。",
                "Check addresses in Contact and Record-Route, and NAT (SIP ALG).",
            ),
        ),
        Row.NEXT_HOP_GONE: _Said(
            Text("VPN ルーターに到達できません", "the VPN next hop is not reached"),
            Text(
                "ゲートウェイから VPN ルーターまでの接続と、ルーターのランプを確認してください。",
                "Check the way from the gateway to the VPN router, and the router's lamps.",
            ),
        ),
        Row.REFUSED: _Said(
            Text("認証または契約による拒否（401/407/403）", "refused: contract or credentials (401, 407, 403)"),
            Text(
                "まず PBX の認証情報を確認し、正しければ通信事業者に契約状態を照会してください。",
                "Check the PBX's credentials first; if they are right, ask the carrier about the contract.",
            ),
        ),
        Row.CARRIER_GONE: _Said(
            Text("通信事業者の設備に到達できません", "the carrier's endpoint is not reached"),
            Text(
                "VPN 回線の状態を確認し、通信事業者に修理を依頼してください（切分け結果を添付）。",
                "Check the VPN line, then ask for repair with this report.",
            ),
        ),
        Row.UNANSWERED: _Said(
            Text("発信 INVITE に応答がありません", "INVITEs to beyond get no answer at all"),
            Text(
                "ARP、次に OPTIONS の結果を確認し、VPN／通信事業者に修理を依頼してください。",
                "See ARP, then OPTIONS; then ask VPN provider and carrier for repair with this report.",
            ),
        ),
        Row.VPN_SILENT: _Said(
            Text("網側からの音声がありません", "no media from beyond, ours leaves"),
            Text(
                "VPN／通信事業者に修理を依頼してください（切分け結果を添付）。",
                "Ask VPN provider and carrier for repair with this report.",
            ),
        ),
        Row.GAPS_FROM_VPN: _Said(
            Text("網側から届く音声に欠落", "media from beyond has gaps, ours has none"),
            Text(
                "VPN／通信事業者に修理を依頼してください（切分け結果を添付）。",
                "Ask VPN provider and carrier for repair with this report.",
            ),
        ),
        Row.LOSS_TOWARDS_VPN: _Said(
            Text(
                "ミラー地点より先（相手側）で損失（RTCP 報告）",
                "loss downstream of the mirror, on the far end's side (RTCP)",
            ),
            Text(
                "VPN／通信事業者に調査を依頼してください（切分け結果を添付）。",
                "Ask VPN provider and carrier to look, with this report.",
            ),
        ),
        Row.SERVER_ERROR: _Said(
            Text("通信事業者がサーバーエラー（5xx）を返しています", "the carrier answers with 5xx"),
            Text(
                "障害情報を確認し、通信事業者に修理を依頼してください（切分け結果を添付）。",
                "Look at the carrier's fault notices, then ask for repair with this report.",
            ),
        ),
        Row.NOT_REACHED: _Said(
            Text("網側が 408/480 を返しています", "beyond answers 408 or 480"),
            Text(
                "Via と Server を見て、応答した設備の事業者に照会してください。",
                "See by Via and Server who answered, and ask them.",
            ),
        ),
        Row.REMARKED: _Said(
            Text("VPN で優先制御の印（DSCP）が消えています", "the VPN takes the priority mark (DSCP) away"),
            Text(
                "揺らぎがあれば、VPN 事業者に DSCP EF の透過を照会してください。",
                "If there is jitter, ask the VPN provider to let DSCP EF through.",
            ),
        ),
        Row.SENDER_CLOCK: _Said(
            Text("端末の送信クロック異常", "a sender's clock is off"),
            Text("該当端末の機種・ファームウェアを確認してください。", "Check model and firmware of that device."),
        ),
        Row.GAPS_TOGETHER: _Said(
            Text("両方向が同時に途切れています", "both directions have gaps at the same instants"),
            Text(
                "ミラー元ポートとミラーセッションの瞬断を、スイッチのログで確認してください。",
                "Look in the switch's log for interruptions of the mirrored port or the mirror session.",
            ),
        ),
        Row.ONE_WAY_UNPLACED: _Said(
            Text("片通話（どちら側か判定できません）", "one-way media, and it cannot be told whose is missing"),
            Text(
                "設定 [probe] に通信事業者のアドレスを記入してください。",
                "Write the carrier's addresses into [probe], so that sides can be told apart.",
            ),
        ),
        Row.UNANSWERED_UNPLACED: _Said(
            Text(
                "INVITE に応答なし（どちら側か判定できません）",
                "INVITEs without answer, and it cannot be told which way they went",
            ),
            Text(
                "設定 [probe] に通信事業者のアドレスを記入してください。",
                "Write the carrier's addresses into [probe], so that sides can be told apart.",
            ),
        ),
        Row.BROKER_GONE: _Said(
            Text("監視センター（MQTT）に接続できません", "the NOC's broker is not reached"),
            Text(
                "監視センターに連絡してください。経路は正常に見えます。",
                "Call the NOC. The way there looks sound.",
            ),
        ),
        Row.UPLOAD_GONE: _Said(
            Text("配送先に接続できません", "a delivery target is not reached"),
            Text(
                "配送先の管理者に連絡してください。経路は正常に見えます。",
                "Call whoever runs the target. The way there looks sound.",
            ),
        ),
    }
)

DOMAINS: Final[Mapping[Domain, Text]] = MappingProxyType(
    {
        Domain.APPLIANCE: Text("録音装置", "appliance"),
        Domain.MIRROR: Text("ミラー設定（SPAN）", "mirror"),
        Domain.LAN: Text("お客様 LAN", "lan"),
        Domain.VPN: Text("VPN 回線", "vpn"),
        Domain.CARRIER: Text("通信事業者", "carrier"),
        Domain.ENDPOINT: Text("端末", "endpoint"),
    }
)

STEPS: Final[Mapping[Step, Text]] = MappingProxyType(
    {
        Step.POWER: Text("電源", "power"),
        Step.SMART: Text("ディスク健全性", "disk health"),
        Step.FILESYSTEM: Text("ファイルシステム", "file system"),
        Step.MEMORY: Text("メモリー", "memory"),
        Step.TEMPERATURE: Text("温度", "temperature"),
        Step.CLOCK: Text("時刻同期", "clock"),
        Step.CERTIFICATES: Text("証明書", "certificates"),
        Step.MANAGEMENT_LINK: Text("管理リンク", "management link"),
        Step.GATEWAY: Text("ゲートウェイ ARP", "gateway ARP"),
        Step.DNS: Text("DNS", "DNS"),
        Step.VPN_NEXT_HOP: Text("VPN ルーター", "VPN next hop"),
        Step.CARRIER: Text("通信事業者設備", "carrier endpoint"),
        Step.SPAN_LINK: Text("SPAN リンク", "SPAN link"),
        Step.FRAMES: Text("フレーム受信", "frames"),
        Step.CAPTURE: Text("取りこぼしなし", "no capture loss"),
        Step.BOTH_DIRECTIONS: Text("双方向", "both directions"),
        Step.SIP: Text("SIP", "SIP"),
        Step.RTP: Text("RTP", "RTP"),
        Step.PIPELINE: Text("自己診断通話", "known test call"),
        Step.DISK_WRITE: Text("書き込み検査", "disk write test"),
        Step.BROKER: Text("MQTT", "MQTT"),
        Step.UPLOAD: Text("配送先", "delivery targets"),
    }
)

STATES: Final[Mapping[State, Text]] = MappingProxyType(
    {
        State.OK: Text("OK", "OK"),
        State.NG: Text("NG", "NG"),
        State.UNKNOWN: Text("未確認", "unknown"),
        State.NOT_OBSERVABLE: Text("確認不可", "not observable"),
    }
)

CONFIDENCES: Final[Mapping[Confidence, Text]] = MappingProxyType(
    {
        Confidence.HIGH: Text("確度 高", "high"),
        Confidence.MEDIUM: Text("確度 中", "medium"),
        Confidence.LOW: Text("確度 低", "low"),
    }
)

POINTS: Final[Mapping[Point, Text]] = MappingProxyType(
    {
        Point.APPLIANCE: Text("装置", "appliance"),
        Point.MANAGEMENT: Text("管理ポート", "management port"),
        Point.SPAN: Text("SPAN ポート", "SPAN port"),
    }
)

CAUSES: Final[Mapping[Cause, Text]] = MappingProxyType(
    {
        Cause.NONE: Text("", ""),
        Cause.LINK_DOWN: Text("リンク断", "link down"),
        Cause.INTERFACE_MISSING: Text("ポートなし", "no such interface"),
        Cause.ARP_UNANSWERED: Text("ARP 応答なし", "ARP unanswered"),
        Cause.NO_ROUTE: Text("経路なし", "no route"),
        Cause.TIMEOUT: Text("応答なし", "no answer"),
        Cause.REFUSED: Text("接続拒否", "refused"),
        Cause.UNREACHABLE: Text("到達不能", "unreachable"),
        Cause.NAME_UNKNOWN: Text("名前解決不可", "name not resolved"),
        Cause.TLS_EXPIRED: Text("相手の証明書が期限切れ", "their certificate has expired"),
        Cause.TLS_REFUSED: Text("TLS 不成立", "TLS failed"),
        Cause.EXPIRED: Text("期限切れ", "expired"),
        Cause.EXPIRES_SOON: Text("期限間近", "expires soon"),
        Cause.UNREADABLE: Text("読み取り不可", "unreadable"),
        Cause.NOT_SYNCHRONISED: Text("未同期", "not synchronised"),
        Cause.STEPPED: Text("時刻の跳び", "the time stepped"),
        Cause.FULL: Text("満杯", "full"),
        Cause.READ_ONLY: Text("読み取り専用", "read-only"),
        Cause.NOT_MOUNTED: Text("未マウント", "not mounted"),
        Cause.FAILING: Text("故障", "failing"),
        Cause.SLOW: Text("遅延", "slow"),
        Cause.DIFFERS: Text("不一致", "differs"),
        Cause.LOW: Text("不足", "low"),
        Cause.HOT: Text("高温", "hot"),
        Cause.UNDER_VOLTAGE: Text("低電圧", "under-voltage"),
        Cause.DROPS: Text("取りこぼし", "drops"),
        Cause.NOT_RUNNING: Text("停止中", "not running"),
        Cause.OVERDUE: Text("遅滞", "overdue"),
        Cause.NOT_PERMITTED: Text("権限なし", "not permitted"),
        Cause.NOT_CONFIGURED: Text("未設定", "not configured"),
        Cause.NO_TRAFFIC: Text("通信なし", "no traffic"),
    }
)

_NOT_OBSERVABLE: Final = Text("判定不能", "not observable")
_OR: Final = Text("または", " or ")


def title(row: Row, language: Language) -> str:
    """What a finding is called."""
    return ROWS[row].title.told(language)


def action(row: Row, language: Language) -> str:
    """What to do next."""
    return ROWS[row].action.told(language)


def domains(of: Domains, language: Language) -> str:
    """Who has to act: `VPN 回線または通信事業者`, `vpn or carrier`, `not observable`."""
    if not of:
        return _NOT_OBSERVABLE.told(language)
    if language is Language.BOTH:
        return f"{domains(of, Language.JA)} / {domains(of, Language.EN)}"
    return _OR.told(language).join(DOMAINS[domain].told(language) for domain in of)

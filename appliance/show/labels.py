"""What the picture and the text of a call say, in Japanese and English. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from storage.vocabulary import Direction, FillCause, Outcome, Reason, Side


class Language(StrEnum):
    """Whose words are used."""

    JA = "ja"
    EN = "en"
    BOTH = "both"


class Words(StrEnum):
    """What is said beside the terms of the records."""

    ANSWER = "answer"
    HOLD = "hold"
    DTMF = "key"
    PART_MISSING = "part_missing"
    NOTHING = "nothing"
    IN_PROGRESS = "in_progress"


Term = Words | Side | FillCause | Outcome | Direction | Reason
_SAID: Final[tuple[tuple[Term, str, str], ...]] = (
    (Words.ANSWER, "応答", "answer"),
    (Words.HOLD, "保留", "hold"),
    (Words.DTMF, "キー操作", "keys pressed"),
    (Words.PART_MISSING, "保管されていないパート", "part not in the archive"),
    (Words.NOTHING, "録音はありません", "nothing is recorded"),
    (Words.IN_PROGRESS, "通話中", "in progress"),
    (Side.CALLER, "発信側", "caller"),
    (Side.CALLEE, "着信側", "callee"),
    (FillCause.LOSS, "網内損失", "lost in the network"),
    (FillCause.CAPTURE_LOSS, "録音装置の損失", "lost by the recorder"),
    (FillCause.COMFORT_NOISE, "コンフォートノイズ", "comfort noise"),
    (FillCause.DTMF, "DTMF 送出区間", "DTMF instead of speech"),
    (FillCause.SILENCE_SUPPRESSION, "無音圧縮", "silence suppression"),
    (FillCause.HOLD, "保留中の無送信", "nothing sent on hold"),
    (FillCause.DISCONTINUITY, "タイムスタンプ不連続", "timestamps jumped"),
    (Outcome.RECORDED, "録音済み", "recorded"),
    (Outcome.PARTLY, "一部録音", "partly recorded"),
    (Outcome.NOT_RECORDED, "録音なし", "not recorded"),
    (Outcome.NOT_EXPECTED, "録音対象外", "not expected"),
    (Direction.IN, "着信", "incoming"),
    (Direction.OUT, "発信", "outgoing"),
    (Direction.INT, "内線", "internal"),
    (Direction.UNK, "方向不明", "unknown direction"),
    (Reason.NETWORK_LOSS, "網内損失", "network loss"),
    (Reason.CAPTURE_LOSS, "録音装置の損失", "capture loss"),
    (Reason.ONE_WAY, "片通話", "one-way speech"),
    (Reason.CAPTURE_ENDED, "キャプチャ終了", "capture ended"),
    (Reason.RECORDER_JOINED_LATE, "途中から録音", "recorder joined late"),
    (Reason.BYE_NOT_SEEN, "終話信号なし", "BYE not seen"),
    (Reason.JOURNAL_DAMAGED, "ジャーナル破損", "journal damaged"),
    (Reason.DISK_FULL, "容量不足", "disk full"),
    (Reason.NO_MEDIA, "音声なし", "no media"),
    (Reason.UNSUPPORTED_CODEC, "非対応コーデック", "unsupported codec"),
    (Reason.ENCRYPTED, "暗号化", "encrypted"),
    (Reason.JOURNAL_OVERRUN, "ジャーナル超過", "journal overrun"),
    (Reason.DECODE_FAILED, "復号失敗", "decoding failed"),
    (Reason.NOT_ANSWERED, "不応答", "not answered"),
    (Reason.RULE_LINE_UNKNOWN, "契約外の回線", "line unknown"),
    (Reason.RULE_LINE_OFF, "録音オフの回線", "line switched off"),
    (Reason.RULE_PREFIX_1, "1 で始まる番号", "number in 1"),
    (Reason.RULE_PREFIX_00, "00 で始まる番号", "number in 00"),
)
# By class too: terms of different lists may be spelt alike.
_TERMS: Final[Mapping[tuple[type, str], tuple[str, str]]] = MappingProxyType(
    {(type(term), term.value): (japanese, english) for term, japanese, english in _SAID}
)


def label(term: Term, language: Language) -> str:
    """The term in one language, or Japanese and English after each other."""
    japanese, english = _TERMS[type(term), term.value]
    match language:
        case Language.JA:
            return japanese
        case Language.EN:
            return english
        case Language.BOTH:
            return f"{japanese} {english}"

"""The calls of `make demo`: an office behind a PBX, Japanese and English, 1 % loss and reordering on every stream."""

from dataclasses import replace

from tests.traffic.calls import START_NS, CallScript, Hold, PlayedCall, Refer, play, replaces_value
from tests.traffic.g711 import PCMA, PCMU
from tests.traffic.media import Digit, MediaScript, impaired
from tests.traffic.pcapwriter import Address
from tests.traffic.signalling import Party, Side
from tests.traffic.speech import speech, spoken

_LOSS = 0.01
_REORDERED = 0.01
_LINES = {
    "ja": "お電話ありがとうございます。ご注文の内容を確認いたします。少々お待ちください。",
    "ja+f3": "先日お願いした見積もりの件で、お電話しました。納期は来週の金曜日でお願いします。",
    "en": "Good morning. I am calling about my order. Could you tell me when it will be delivered?",
    "en+f3": "Thank you for calling. Let me check that for you. It will arrive on Thursday.",
}
"""What each espeak-ng voice says."""


def _telephone(number: str, host: str, rtp_port: int, display: str = "") -> Party:
    return Party(number=number, sip=Address(host, 5060), rtp=Address(host, rtp_port), display=display)


def _says(voice: str, seconds: float, seed: int, *, codec: str = PCMU, digits: tuple[Digit, ...] = ()) -> MediaScript:
    script = MediaScript(
        audio=spoken(_LINES[voice], seconds, voice=voice, seed=seed),
        codec=codec,
        digits=digits,
        jitter_ns=3_000_000,
        seed=seed,
    )
    return impaired(script, loss=_LOSS, reordered=_REORDERED, seed=seed)


def _order() -> CallScript:
    """Outgoing, with the other side's announcement before the answer, and keys pressed in a menu."""
    keys = tuple(Digit(at_s=5.0 + 0.5 * place, digit=digit) for place, digit in enumerate("31#"))
    return CallScript(
        caller=_telephone("0335550101", "10.77.0.11", 16384, "Sales"),
        callee=_telephone("0698765432", "10.77.8.20", 24000),
        call_id="7f3a1c52@10.77.0.11",
        caller_media=_says("en", 24.0, 11, digits=keys),
        callee_media=_says("en+f3", 24.0, 12),
        ring_s=3.0,
        early_s=1.5,
        talk_s=22.0,
    )


def _enquiry() -> CallScript:
    """Incoming, put on hold by the office, which plays music meanwhile."""
    return CallScript(
        caller=_telephone("09011112222", "10.77.8.20", 24010),
        callee=_telephone("0335550102", "10.77.0.12", 16400, "受付"),
        call_id="b81e90d4@10.77.8.20",
        caller_media=_says("ja+f3", 26.0, 21, codec=PCMA),
        callee_media=_says("ja", 26.0, 22, codec=PCMA),
        start_ns=START_NS + 6_000_000_000,
        talk_s=26.0,
        holds=(Hold(at_s=9.0, seconds=7.0, by=Side.CALLEE, music=True),),
        ends=Side.CALLEE,
        session_expires_s=1800,
    )


def _transfer() -> tuple[CallScript, CallScript, CallScript]:
    """An attended transfer: customer and operator; operator and expert, the customer on hold; customer and expert."""
    customer = _telephone("08033334444", "10.77.8.20", 24020)
    operator = _telephone("0335550103", "10.77.0.13", 16420, "Operator")
    expert = _telephone("0335550104", "10.77.0.14", 16440, "Expert")
    first = CallScript(
        caller=customer,
        callee=operator,
        call_id="c0ffee01@10.77.8.20",
        caller_media=_says("ja+f3", 22.0, 31),
        callee_media=_says("ja", 22.0, 32),
        start_ns=START_NS + 12_000_000_000,
        talk_s=22.0,
        holds=(Hold(at_s=8.0, seconds=13.0, by=Side.CALLEE),),
        ends=Side.CALLEE,
    )
    consultation = CallScript(
        caller=_telephone(operator.number, operator.sip.host, 16422, operator.display),
        callee=expert,
        call_id="2b6d77a9@10.77.0.13",
        caller_media=_says("en", 10.0, 33),
        callee_media=_says("en+f3", 10.0, 34),
        start_ns=first.at_ns(9.0),
        ring_s=1.5,
        talk_s=9.5,
        ends=Side.CALLEE,
    )
    taken_over = CallScript(
        caller=_telephone(customer.number, customer.sip.host, 24022),
        callee=_telephone(expert.number, expert.sip.host, 16442, expert.display),
        call_id="c0ffee02@10.77.8.20",
        caller_media=_says("ja+f3", 16.0, 35),
        callee_media=_says("ja", 16.0, 36),
        start_ns=first.at_ns(19.6),
        ring_s=0.3,
        talk_s=15.0,
        headers=(("Replaces", replaces_value(consultation)), ("Referred-By", f"<{operator.uri}>")),
    )
    refer = Refer(at_s=19.5, by=Side.CALLEE, target=expert, replaces=consultation)
    return replace(first, refers=(refer,)), consultation, taken_over


def _unanswered() -> CallScript:
    """Given up after some ringing."""
    nobody = MediaScript(audio=speech(0.0, seed=0))
    return CallScript(
        caller=_telephone("0335550101", "10.77.0.11", 16386, "Sales"),
        callee=_telephone("0120555000", "10.77.8.20", 24030),
        call_id="d41d8cd9@10.77.0.11",
        caller_media=nobody,
        callee_media=nobody,
        start_ns=START_NS + 30_000_000_000,
        ring_s=9.0,
        final_status="487 Request Terminated",
    )


def _other_codec() -> CallScript:
    """Speech that is not G.711: accounted for, not recorded."""
    return CallScript(
        caller=_telephone("0335550105", "10.77.0.15", 16460, "倉庫"),
        callee=_telephone("0525556677", "10.77.8.20", 24040),
        call_id="9e107d9d@10.77.0.15",
        caller_media=_says("ja", 6.0, 41, codec="G729"),
        callee_media=_says("ja+f3", 6.0, 42, codec="G729"),
        start_ns=START_NS + 33_000_000_000,
        talk_s=6.0,
    )


def demo_calls() -> list[PlayedCall]:
    """All calls, played."""
    return [play(script) for script in (_order(), _enquiry(), *_transfer(), _unanswered(), _other_codec())]

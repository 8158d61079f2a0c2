"""Whole records with every field filled, and audio to go with them."""

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from storage.call_record import CallRecord, PartEntry, SideSummary, TooLate, UnrecordedStream
from storage.json_form import to_json
from storage.late_record import LateRecord
from storage.part_record import Channel, Fill, PartRecord, StreamRecord
from storage.partfile import PartPlan
from storage.records import Clock, Dtmf, Hold, Link, Links, Party, Sip
from storage.timestamps import local_time, rfc3339
from storage.vocabulary import (
    Direction,
    DtmfSource,
    EndCause,
    FillCause,
    Flag,
    Form,
    Law,
    Outcome,
    Pcm,
    Reason,
    Side,
    Source,
)
from storage.wavfile import Sound, WavInfo

TOKYO = ZoneInfo("Asia/Tokyo")
START_NS = 1_767_290_645_123_456_789
"""2026-01-02T03:04:05.123456789+09:00."""
CALL_ID = "0123456789" + "ab" * 27
DIGEST = "c0" * 32
STEM = "20260102T030405+0900_out_0312345678_0698765432_0123456789_p01"
INFO = WavInfo(title="0312345678 0698765432", date="2026-01-02", comment="0123456789 p01", software="rokubox 0.1.0")
CALLER = Party(number="0312345678", display='発信 "A"', uri="sip:0312345678@192.0.2.1")
CALLEE = Party(number="0698765432", display="", uri="tel:0698765432")
SIP = Sip(
    call_ids=("a84b4c76e66710@192.0.2.1",),
    from_tag="1928301774",
    to_tag="a6c85cf",
    final_status=200,
    user_agents=("PBX/1.0",),
)
LINKS = Links(
    replaces=Link(call_id="ef" * 32, sip_call_id="x@y"), transferred_from=Link(call_id=None, sip_call_id="z@y")
)
CLOCK = Clock(synchronised=None, source="capture", offset_ms=None)
HOLDS = (Hold(1600, 160, Side.CALLEE),)
DTMF = (Dtmf(side=Side.CALLER, digit="5", first_sample=800, samples=400, source=DtmfSource.RTP),)


def at(seconds: float) -> str:
    return rfc3339(START_NS + int(seconds * 1e9), TOKYO)


def stream_record() -> StreamRecord:
    return StreamRecord(
        ssrc="0x0000beef",
        source="192.0.2.1:10000",
        destination="[2001:db8::1]:20000",
        payload_type=0,
        codec="PCMU",
        decrypted=False,
        first_sample=0,
        samples=16000,
        packets=99,
        lost=1,
        capture_lost=0,
        duplicates=2,
        reordered=1,
        too_late=0,
        jitter_ms=0.125,
        jitter_max_ms=1.5,
        longest_gap_ms=20.0,
        drift_ppm=None,
        mos=4.3,
        mos_unconcealed=3.8,
        silence_share=0.25,
        clipping_share=0.0,
        rtcp_reported_loss=None,
        rtcp_clock_offset_ms=None,
        fill=(Fill(160, 160, FillCause.LOSS), Fill(1600, 160, FillCause.HOLD)),
    )


def part_record(**changes) -> PartRecord:
    fields: dict[str, Any] = {
        "software": "rokubox 0.1.0",
        "config_digest": None,
        "source": Source.IMPORT,
        "call_id": CALL_ID,
        "part": 1,
        "parts_so_far": 1,
        "clock": CLOCK,
        "started_at": at(-1),
        "answered_at": at(0),
        "ended_at": None,
        "origin_at": at(0),
        "first_sample": 0,
        "samples": 16000,
        "form": Form.ZIP,
        "pcm": Pcm.PCM16,
        "laws": (Law.PCMU,),
        "direction": Direction.OUT,
        "enterprise": "E1",
        "line": "0312345678",
        "caller": CALLER,
        "callee": CALLEE,
        "dialled": "1840698765432",
        "asserted": ("sip:0312345678@192.0.2.1",),
        "diversion": (),
        "privacy": False,
        "sip": SIP,
        "links": LINKS,
        "holds": HOLDS,
        "dtmf": DTMF,
        "flags": (Flag.CLOCK_STEP,),
        "channels": (
            Channel(side=Side.CALLER, one_way=False, streams=(stream_record(),)),
            Channel(side=Side.CALLEE, one_way=True, streams=()),
        ),
        "wav_sha256": DIGEST,
    }
    return PartRecord(**(fields | changes))


def side_summary(side: Side) -> SideSummary:
    return SideSummary(
        side=side,
        expected_samples=16000,
        network_lost_samples=160,
        capture_lost_samples=0,
        packets=99,
        lost=1,
        capture_lost=0,
        duplicates=2,
        reordered=1,
        too_late=0,
        jitter_max_ms=1.5,
        longest_gap_ms=20.0,
        mos=4.3,
        mos_unconcealed=3.8,
        silence_share=0.25,
        clipping_share=0.0,
        one_way=False,
    )


def call_record(**changes) -> CallRecord:
    fields: dict[str, Any] = {
        "software": "rokubox 0.1.0",
        "config_digest": DIGEST,
        "source": Source.SPAN,
        "call_id": CALL_ID,
        "outcome": Outcome.PARTLY,
        "reasons": (Reason.NETWORK_LOSS, Reason.ONE_WAY),
        "rule": "line 0312345678",
        "end_cause": EndCause.BYE,
        "clock": Clock(synchronised=True, source="ntp 192.0.2.9", offset_ms=-0.5),
        "started_at": at(-1),
        "answered_at": at(0),
        "ended_at": at(2),
        "origin_at": at(0),
        "duration_s": 2.0,
        "expected_samples": 32000,
        "network_lost_samples": 320,
        "capture_lost_samples": 0,
        "completeness": 99.0,
        "capture_completeness": 100.0,
        "direction": Direction.OUT,
        "enterprise": "E1",
        "line": "0312345678",
        "caller": CALLER,
        "callee": CALLEE,
        "dialled": "1840698765432",
        "asserted": (),
        "diversion": ("<sip:0311112222@192.0.2.1>;reason=unconditional",),
        "privacy": True,
        "sip": SIP,
        "links": LINKS,
        "holds": HOLDS,
        "dtmf": DTMF,
        "codecs": ("PCMU", "TELEPHONE-EVENT"),
        "sides": (side_summary(Side.CALLER), side_summary(Side.CALLEE)),
        "parts": (
            PartEntry(
                name=f"{STEM}.zip",
                number=1,
                wav_sha256=DIGEST,
                call_json_sha256=DIGEST,
                first_sample=0,
                samples=16000,
            ),
        ),
        "unrecorded": (
            UnrecordedStream(
                side=None,
                ssrc=None,
                source="192.0.2.1:10002",
                destination="192.0.2.2:20002",
                payload_type=None,
                codec="",
                packets=7,
                first_at=at(0),
                last_at=at(1),
                reason=Reason.UNSUPPORTED_CODEC,
            ),
        ),
        "too_late": (TooLate("0x0000beef", 3, at(1), at(2)),),
        "flags": (Flag.ONE_WAY,),
    }
    return CallRecord(**(fields | changes))


def linear(frames: int) -> np.ndarray:
    return np.random.default_rng(frames).integers(-32768, 32768, (frames, 2)).astype(np.int16)


def companded(frames: int) -> np.ndarray:
    return np.random.default_rng(frames).integers(0, 256, (frames, 2)).astype(np.uint8)


def sound(audio: np.ndarray, *, law: Law | None = None, block: int = 4000) -> Sound:
    blocks = [audio[at : at + block] for at in range(0, len(audio), block)]
    return Sound(blocks=blocks, frames=len(audio), law=law, info=INFO)


def metadata(wav_sha256: str) -> bytes:
    return to_json(part_record(wav_sha256=wav_sha256))


def plan(folders: Path, form: Form, started: datetime | None = None) -> PartPlan:
    return PartPlan(
        folder=folders / "day",
        spool=folders / "spool",
        stem=STEM,
        form=form,
        started=started or local_time(START_NS, TOKYO),
    )


def files(folders: Path) -> set[str]:
    return {path.relative_to(folders).as_posix() for path in folders.rglob("*") if path.is_file()}


def late_record(**changes) -> LateRecord:
    fields: dict[str, Any] = {
        "software": "rokubox 0.1.0",
        "call_id": CALL_ID,
        "ssrc": "0x0000beef",
        "source": "192.0.2.1:10000",
        "destination": "[2001:db8::1]:20000",
        "packets": 3,
        "first_at": at(3),
        "last_at": at(3.5),
    }
    return LateRecord(**(fields | changes))

"""Long calls in parts: put together they are the unsplit recording, sample by sample, and every packet counts once."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.archive_reading import StoredPart
from tests.recorded_truth import differences, nanoseconds
from tests.scenario import RATE_HZ, call, channel, do_import, media, rtp, streams
from tests.traffic.calls import Hold, PlayedCall, play
from tests.traffic.g711 import PCMA
from tests.traffic.media import Digit, impaired
from tests.traffic.pcapwriter import frames_of
from tests.traffic.signalling import Side

CONFIG = "[recording]\nsegment_s = 30\n"
SEGMENT = 30 * RATE_HZ
COUNTED = ("packets", "lost", "capture_lost", "duplicates", "reordered", "too_late")
LONG_S = 100.0


def long_call(**changes: Any) -> PlayedCall:
    plain = call(talk_s=LONG_S, caller_media=media(LONG_S, 1), callee_media=media(LONG_S, 2, codec=PCMA))
    return play(replace(plain, **changes))


CALLS = {
    "plain": lambda: long_call(),
    "loss and reordering": lambda: long_call(
        caller_media=impaired(media(LONG_S, 1, jitter_ns=8_000_000), loss=0.02, reordered=0.02, seed=1)
    ),
    "cut in a hole": lambda: long_call(caller_media=media(LONG_S, 1, lost=frozenset(range(1400, 1600)))),
    "a hole longer than a part": lambda: long_call(caller_media=media(LONG_S, 1, lost=frozenset(range(1400, 3200)))),
    "comfort noise that goes on long after a cut": lambda: long_call(
        callee_media=media(LONG_S, 2, quiet_s=((25.0, 72.0),))
    ),
    "cut in a hold": lambda: long_call(holds=(Hold(at_s=28.0, seconds=5.0, by=Side.CALLER),)),
    "a hold longer than a part": lambda: long_call(holds=(Hold(at_s=20.0, seconds=50.0, by=Side.CALLER),)),
    "music at the cut": lambda: long_call(holds=(Hold(at_s=28.0, seconds=5.0, by=Side.CALLEE, music=True),)),
    "cut in silence and comfort noise": lambda: long_call(
        caller_media=media(LONG_S, 1, suppressed_s=((29.0, 31.0),)),
        callee_media=media(LONG_S, 2, quiet_s=((29.0, 31.0), (59.9, 60.1))),
    ),
    "digit at the cut": lambda: long_call(
        caller_media=media(LONG_S, 1, digits=(Digit(at_s=29.9, digit="7", seconds=0.2), Digit(at_s=60.0, digit="8")))
    ),
    "SSRC changes at the cut": lambda: long_call(caller_media=media(LONG_S, 1, restarts_s=(29.98, 60.0))),
    "wraps at the cut": lambda: long_call(
        caller_media=media(LONG_S, 1, first_sequence=65_536 - 1499, first_timestamp=2**32 - 239_900)
    ),
    "late by 4 s at the cut": lambda: long_call(
        caller_media=media(LONG_S, 1, late_ns=dict.fromkeys((1490, 1495, 1499), 4_000_000_000))
    ),
    "60 ms packets": lambda: long_call(caller_media=media(LONG_S, 1, ptime_ms=60)),
    "skew": lambda: long_call(
        caller_media=media(LONG_S, 1, skew_ppm=300.0), callee_media=media(LONG_S, 2, skew_ppm=-300)
    ),
    "SRTP that wraps just behind the cut": lambda: long_call(
        caller_media=media(LONG_S, 1, srtp_key=bytes(range(30)), first_sequence=65_536 - 1600),
        callee_media=media(LONG_S, 2, srtp_key=bytes(range(30, 60)), first_sequence=65_536 - 4499),
    ),
    "SRTP": lambda: long_call(
        caller_media=impaired(media(LONG_S, 1, srtp_key=bytes(range(30)), first_sequence=65_000), loss=0.01, seed=2),
        callee_media=media(LONG_S, 2, srtp_key=bytes(range(30, 60))),
    ),
}


def added(parts: list[StoredPart]) -> dict[tuple[int, str], Counter[str]]:
    """The counted figures of each stream over all parts."""
    total: dict[tuple[int, str], Counter[str]] = {}
    for part in parts:
        for side in (0, 1):
            for stream in streams(part, side):
                total.setdefault((side, stream["ssrc"]), Counter()).update({name: stream[name] for name in COUNTED})
    return total


def filled(parts: list[StoredPart], side: int) -> list[list[Any]]:
    """All fill of a side on the call's time line, joined over the cuts."""
    joined: list[list[Any]] = []
    for part in parts:
        for stream in streams(part, side):
            for first, samples, cause in stream["fill"]:
                at = part.record["first_sample"] + first
                if joined and joined[-1][0] + joined[-1][1] == at and joined[-1][2] == cause:
                    joined[-1][1] += samples
                else:
                    joined.append([at, samples, cause])
    return joined


@pytest.mark.parametrize("name", CALLS)
def test_parts_together_are_the_unsplit_recording(name: str, tmp_path: Path) -> None:
    played = CALLS[name]()
    frames = frames_of(played.packets)
    whole = do_import(_made(tmp_path / "whole"), frames)
    split = do_import(_made(tmp_path / "split"), frames, config=CONFIG)
    assert differences(whole.archive, [played]) == []
    assert differences(split.archive, [played]) == []
    (one,), parts = whole.parts_of(whole.only), split.parts_of(split.only)
    assert [part.record["first_sample"] for part in parts] == [0, SEGMENT, 2 * SEGMENT, 3 * SEGMENT]
    assert [part.record["samples"] for part in parts[:-1]] == [SEGMENT] * 3
    for side in (0, 1):
        np.testing.assert_array_equal(channel(parts, side), one.audio[:, side])
        assert filled(parts, side) == filled([one], side)
    assert added(parts) == added([one])
    same = ("outcome", "reasons", "completeness", "expected_samples", "network_lost_samples", "holds", "dtmf", "codecs")
    assert {key: split.only[key] for key in same} == {key: whole.only[key] for key in same}
    for mine, theirs in zip(split.only["sides"], whole.only["sides"], strict=True):
        assert {name: mine[name] for name in COUNTED} == {name: theirs[name] for name in COUNTED}


def test_silence_that_goes_on_at_a_cut_is_explained_by_what_is_known(tmp_path: Path) -> None:
    """At the cut nothing tells silence suppression from loss; the packet that ends the silence does."""
    played = long_call(caller_media=media(LONG_S, 1, suppressed_s=((20.0, 70.0),)))
    found = do_import(tmp_path, played.packets, config=CONFIG)
    parts = found.parts_of(found.only)
    assert [{cause for stream in streams(part, 0) for _, _, cause in stream["fill"]} for part in parts] == [
        {"loss"},
        {"loss"},
        {"silence_suppression"},
        set(),
    ]
    assert sum(samples for _, samples, _ in filled(parts, 0)) == 50 * RATE_HZ
    assert (found.only["outcome"], found.only["network_lost_samples"]) == ("recorded", 0)


def test_each_part_says_what_was_known_at_its_cut(tmp_path: Path) -> None:
    played = long_call(holds=(Hold(at_s=28.0, seconds=5.0, by=Side.CALLER),))
    found = do_import(tmp_path, played.packets, config=CONFIG)
    parts = found.parts_of(found.only)
    assert [part.record["ended_at"] is None for part in parts] == [True, True, True, False]
    assert [part.record["part"] for part in parts] == [1, 2, 3, 4]
    assert [part.record["parts_so_far"] for part in parts] == [1, 2, 3, 4]
    assert len({part.record["origin_at"] for part in parts}) == 1
    assert [name.rsplit("_", 1)[1] for name in found.parts] == ["p01.zip", "p02.zip", "p03.zip", "p04.zip"]
    assert [entry["number"] for entry in found.only["parts"]] == [1, 2, 3, 4]
    first, second = (part.record["holds"] for part in parts[:2])
    assert [first[0][0] + first[0][1], second[0][0]] == [SEGMENT, 0]
    assert nanoseconds(parts[0].record["started_at"]) == played.script.start_ns
    assert [name[:15] for name in found.parts] == [f"20260102T0204{second:02}"[:15] for second in (6, 36)] + [
        "20260102T020506",
        "20260102T020536",
    ]


def test_digits_are_told_once_in_their_part(tmp_path: Path) -> None:
    played = CALLS["digit at the cut"]()
    found = do_import(tmp_path, played.packets, config=CONFIG)
    parts = found.parts_of(found.only)
    assert [[event["digit"] for event in part.record["dtmf"]] for part in parts] == [["7"], [], ["8"], []]
    assert [event["digit"] for event in found.only["dtmf"]] == ["7", "8"]


def test_packet_later_than_a_closed_part_is_too_late_and_listed(tmp_path: Path) -> None:
    """5 s behind the cut of its part: the only way a packet is left out."""
    late = media(LONG_S, 1, late_ns={1400: 9_000_000_000, 1401: 9_000_000_000, 1450: 4_000_000_000})
    played = long_call(caller_media=late)
    found = do_import(tmp_path, played.packets, config=CONFIG)
    (truth,) = played.truths[Side.CALLER]
    ((ssrc, packets, first_at, last_at),) = found.only["too_late"]
    assert (ssrc, packets) == (f"0x{truth.ssrc:08x}", 2)
    assert nanoseconds(last_at) - nanoseconds(first_at) == pytest.approx(20_000_000, abs=1_000_000)
    assert found.only["sides"][0]["too_late"] == 2
    left = channel(found.parts_of(found.only), 0)
    first = streams(found.parts_of(found.only)[0], 0)[0]["first_sample"]
    expected = truth.pcm.copy()
    expected[1400 * 160 : 1402 * 160] = 0
    np.testing.assert_array_equal(left[first : first + len(expected)], expected)


def test_call_in_progress_at_the_end_of_the_capture_keeps_its_parts(tmp_path: Path) -> None:
    played = long_call()
    end_ns = played.script.at_ns(70.0)
    found = do_import(tmp_path, [p for p in played.packets if p.ts_ns <= end_ns], config=CONFIG)
    assert (found.only["outcome"], found.only["reasons"]) == ("partly", ["capture_ended"])
    assert len(found.only["parts"]) == 3
    assert found.only["completeness"] == 100.0


def test_unsignalled_media_is_split_too(tmp_path: Path) -> None:
    played = long_call()
    packets = [packet for packet in played.packets if packet.payload[0] >> 6 == 2]
    whole = do_import(_made(tmp_path / "whole"), packets)
    split = do_import(_made(tmp_path / "split"), packets, config=CONFIG)
    (one,), parts = whole.parts_of(whole.only), split.parts_of(split.only)
    assert len(parts) == 4
    for side in (0, 1):
        np.testing.assert_array_equal(channel(parts, side), one.audio[:, side])
    assert added(parts) == added([one])


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize("form", ["zip", "wav"])
def test_both_forms_hold_the_same(form: str, tmp_path: Path) -> None:
    played = play(call())
    found = do_import(tmp_path, played.packets, arguments=["--form", form])
    assert differences(found.archive, [played]) == []
    names = sorted(path.suffix for path in (found.archive / "recordings").glob("*/*/*/*"))
    assert names == ([".zip"] if form == "zip" else [".json", ".wav"])
    assert found.part.record["form"] == form
    assert not [path for path in (found.archive / "recordings").rglob("*") if path.name.startswith(".")]


def test_companded_samples_are_kept_exactly_as_received(tmp_path: Path) -> None:
    """All 256 codes, on both sides, of one law."""
    codes = np.arange(256 * 100, dtype=np.uint32).astype(np.uint8)[: 160 * 150]
    script = call(talk_s=4.0)
    packets = [packet for packet in play(script).packets if packet.payload[0] >> 6 != 2]
    for source, destination, ssrc in ((script.caller, script.callee, 1), (script.callee, script.caller, 2)):
        packets += [
            rtp(
                script.at_ns(0.01) + n * 20_000_000,
                source.rtp,
                destination.rtp,
                sequence=n,
                timestamp=n * 160,
                payload=codes[n * 160 : n * 160 + 160].tobytes(),
                ssrc=ssrc,
            )
            for n in range(150)
        ]
    found = do_import(tmp_path, packets, config='[recording]\npcm = "g711"\nform = "wav"\n')
    part = found.part
    assert (part.record["pcm"], part.record["laws"]) == ("g711", ["PCMU"])
    assert soundfile.info(part.path).subtype == "ULAW"
    data = part.wav[part.wav.index(b"data") + 8 :]
    stereo = np.frombuffer(data[: 2 * part.record["samples"]], np.uint8).reshape(-1, 2)
    for side in (0, 1):
        first = streams(part, side)[0]["first_sample"]
        np.testing.assert_array_equal(stereo[first : first + len(codes), side], codes)
        assert set(stereo[:first, side]) <= {0xFF}


def test_two_laws_are_written_linear(tmp_path: Path) -> None:
    played = play(call(callee_media=media(6.0, 2, codec=PCMA)))
    found = do_import(tmp_path, played.packets, config='[recording]\npcm = "g711"\n')
    assert found.part.record["pcm"] == "pcm16"
    assert differences(found.archive, [played]) == []


def test_importing_again_changes_nothing(tmp_path: Path) -> None:
    played = long_call()
    first = do_import(tmp_path, played.packets, config=CONFIG)
    before = {path: path.stat().st_mtime_ns for path in first.archive.rglob("*.*[np]") if path.is_file()}
    again = do_import(tmp_path, played.packets, config=CONFIG)
    assert again.exit_code == 0
    assert len(before) == 5
    assert {path: path.stat().st_mtime_ns for path in first.archive.rglob("*.*[np]") if path.is_file()} == before


def test_sidecar_is_readable_json(tmp_path: Path) -> None:
    found = do_import(tmp_path, play(call()).packets, arguments=["--form", "wav"])
    (path,) = (found.archive / "recordings").rglob("*.json")
    assert json.loads(path.read_text())["schema"] == "rokubox.part/1"

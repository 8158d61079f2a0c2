"""Which calls are recorded: contracted lines, dialled prefixes, legs of one call through a PBX."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recorded_truth import differences
from tests.scenario import CALLEE, CALLER, SECOND_NS, SILENT, Imported, call, do_import, media, moved, placed
from tests.traffic.calls import START_NS, CallScript, PlayedCall, play, together
from tests.traffic.pcapwriter import Address
from tests.traffic.signalling import Party, Side

CONFIG = """
[[enterprise]]
id = "E001"
lines = [{ number = "0335550101" }, { number = "03-3555-0102" }, { number = "0335550103", record = false }]
"""
ALLOWED = CONFIG + '[enterprise.rules]\nallow_00 = ["0081"]\n'
OUTSIDE = "0698765432"


def dialling(caller: str, dialled: str, call_id: str = "call@example", **changes: Any) -> CallScript:
    return call(
        call_id,
        caller=moved(CALLER, number=caller),
        callee=moved(CALLEE, number=dialled),
        talk_s=2.0,
        caller_media=media(2.0, 1),
        callee_media=media(2.0, 2),
        **changes,
    )


CASES = [
    # caller, dialled, outcome, reason, direction, line
    ("0335550101", OUTSIDE, "recorded", None, "out", "0335550101"),
    ("+81335550101", OUTSIDE, "recorded", None, "out", "0335550101"),
    (OUTSIDE, "0335550101", "recorded", None, "in", "0335550101"),
    (OUTSIDE, "0335550102", "recorded", None, "in", "03-3555-0102"),
    ("0335550101", "0335550102", "recorded", None, "int", None),
    (OUTSIDE, "0120444444", "not_expected", "rule_line_unknown", "unk", None),
    ("0335550103", OUTSIDE, "not_expected", "rule_line_off", "out", "0335550103"),
    (OUTSIDE, "0335550103", "not_expected", "rule_line_off", "in", "0335550103"),
    ("0335550101", "117", "not_expected", "rule_prefix_1", "out", "0335550101"),
    ("0335550101", "1840698765432", "recorded", None, "out", "0335550101"),
    ("0335550101", "1860698765432", "recorded", None, "out", "0335550101"),
    ("0335550101", "13110698765432", "recorded", None, "out", "0335550101"),
    ("0335550101", "18413110698765432", "recorded", None, "out", "0335550101"),
    ("0335550101", "184117", "not_expected", "rule_prefix_1", "out", "0335550101"),
    ("0335550101", "1840015551234", "not_expected", "rule_prefix_00", "out", "0335550101"),
    ("0335550101", "1416", "recorded", None, "out", "0335550101"),
    ("0335550101", "0015551234", "not_expected", "rule_prefix_00", "out", "0335550101"),
    ("0335550101", "008133", "not_expected", "rule_prefix_00", "out", "0335550101"),
]


@pytest.mark.parametrize(("caller", "dialled", "outcome", "reason", "direction", "line"), CASES)
def test_rules(
    caller: str, dialled: str, outcome: str, reason: str | None, direction: str, line: str | None, tmp_path: Path
) -> None:
    played = play(dialling(caller, dialled))
    found = do_import(tmp_path, played.packets, config=CONFIG)
    record = found.only
    assert (record["outcome"], record["reasons"]) == (outcome, [reason] if reason else [])
    assert record["direction"] == direction
    assert record["rule"]
    if line is not None:
        assert (record["line"], record["enterprise"]) == (line, "E001")
    if outcome == "recorded":
        assert differences(found.archive, [played]) == []
        assert f"_{direction}_" in record["parts"][0]["name"]
    else:
        assert not found.parts
        assert (record["expected_samples"], record["completeness"]) == (0, None)


def test_allowed_beginning_of_an_international_number(tmp_path: Path) -> None:
    found = do_import(tmp_path, play(dialling("0335550101", "00813312345678")).packets, config=ALLOWED)
    assert found.only["outcome"] == "recorded"


def test_asserted_identity_tells_the_line(tmp_path: Path) -> None:
    """From shows an extension or nobody, the network asserts the line."""
    script = dialling("anonymous", OUTSIDE, headers=(("P-Asserted-Identity", "<sip:+81335550101@example.jp>"),))
    found = do_import(tmp_path, play(script).packets, config=CONFIG)
    assert (found.only["outcome"], found.only["direction"], found.only["line"]) == ("recorded", "out", "0335550101")


def test_record_all_overrides_the_rules(tmp_path: Path) -> None:
    played = play(dialling(OUTSIDE, "0120444444"))
    found = do_import(tmp_path, played.packets, config=CONFIG, arguments=["--record", "all"])
    assert found.only["outcome"] == "recorded"
    assert differences(found.archive, [played]) == []


def test_unanswered_call_of_a_line_that_is_off_tells_the_rule_first(tmp_path: Path) -> None:
    played = play(dialling("0335550103", OUTSIDE, final_status="486 Busy Here"))
    found = do_import(tmp_path, played.packets, config=CONFIG)
    assert found.only["outcome"] == "not_expected"
    assert set(found.only["reasons"]) == {"rule_line_off", "not_answered"}


@pytest.mark.parametrize("wanted", [False, True])
def test_unsignalled_media_under_rules(wanted: bool, tmp_path: Path) -> None:
    played = play(dialling(OUTSIDE, "0120444444"))
    packets = [packet for packet in played.packets if packet.payload[0] >> 6 == 2]
    config = CONFIG + ("[enterprise.rules]\nunsignalled = true\n" if wanted else "")
    found = do_import(tmp_path, packets, config=config)
    assert found.only["sip"] is None
    if wanted:
        assert found.only["enterprise"] == "E001"
        assert len(found.parts) == 1
    else:
        assert (found.only["outcome"], found.only["reasons"]) == ("not_expected", ["rule_line_unknown"])
        assert not found.parts


# --- legs of one call ---

PBX = Party(number="0335550100", sip=Address("10.77.0.1", 5060), rtp=Address("10.77.0.1", 40_000))


def legs(caller: Party, callee: Party, first_talk_s: float = 3.0, codec: str = "PCMU") -> list[PlayedCall]:
    """A call through a PBX: another Call-ID, and other media addresses, on each side of it."""
    first = call(
        "first@example",
        caller=caller,
        callee=replace(PBX, number=callee.number),
        ring_s=2.0,
        talk_s=first_talk_s,
        caller_media=media(first_talk_s, 1, codec=codec),
        callee_media=media(first_talk_s, 2, codec=codec),
    )
    second = call(
        "second@example",
        caller=replace(PBX, number=caller.number, rtp=Address("10.77.0.1", 40_002)),
        callee=callee,
        start_ns=first.start_ns + 100_000_000,
        ring_s=1.8,
        talk_s=3.0,
        caller_media=media(3.0, 1),
        callee_media=media(3.0, 2),
    )
    return [play(first), play(second)]


def outgoing(**changes: Any) -> list[PlayedCall]:
    return legs(moved(CALLER, number="0335550101"), moved(CALLEE, number=OUTSIDE), **changes)


def incoming(**changes: Any) -> list[PlayedCall]:
    return legs(moved(CALLEE, number=OUTSIDE), moved(CALLER, number="0335550101"), **changes)


def imported(calls: list[PlayedCall], folder: Path, config: str) -> Imported:
    return do_import(folder, together(calls), config=config)


@pytest.mark.parametrize("config", ["", CONFIG + '[recording]\nlegs = "all"\n'], ids=["record all", "legs all"])
def test_every_leg_is_recorded_and_linked(config: str, tmp_path: Path) -> None:
    calls = outgoing()
    found = imported(calls, tmp_path, config)
    assert differences(found.archive, calls) == []
    first, second = found.call("first@example"), found.call("second@example")
    assert (first["outcome"], second["outcome"]) == ("recorded", "recorded")
    assert second["links"]["second_leg_of"] == {"call_id": first["call_id"], "sip_call_id": "first@example"}
    assert first["links"]["second_leg_of"] is None


@pytest.mark.parametrize("first_talk_s", [2.0, 3.0, 4.5], ids=["first ends early", "first ends", "first ends late"])
@pytest.mark.parametrize(("made", "kept"), [(outgoing, "first"), (incoming, "second")], ids=["out", "in"])
def test_one_leg_the_one_nearest_to_the_line(made: Any, kept: str, first_talk_s: float, tmp_path: Path) -> None:
    """The line that calls is on the first leg, the line that is called is on the last."""
    calls = made(first_talk_s=first_talk_s)
    found = imported(calls, tmp_path, CONFIG)
    records = {name: found.call(f"{name}@example") for name in ("first", "second")}
    other = "second" if kept == "first" else "first"
    assert (records[kept]["outcome"], len(records[kept]["parts"])) == ("recorded", 1)
    assert (records[other]["outcome"], records[other]["parts"]) == ("not_expected", [])
    assert "leg" in records[other]["rule"]
    assert records["second"]["links"]["second_leg_of"]["call_id"] == records["first"]["call_id"]
    assert len(found.parts) == 1


@pytest.mark.parametrize("first_talk_s", [2.9, 3.2], ids=["first ends early", "first ends late"])
@pytest.mark.parametrize(("made", "kept"), [(outgoing, "first"), (incoming, "second")], ids=["out", "in"])
@pytest.mark.parametrize("goes_on", [False, True])
def test_media_that_pass_by_the_pbx_are_recorded_once(
    made: Any, kept: str, first_talk_s: float, goes_on: bool, tmp_path: Path
) -> None:
    """The PBX hands the descriptions on as they are: both legs announce the telephones' own addresses."""
    scripts = [leg.script for leg in made(first_talk_s=first_talk_s)]
    caller, callee = scripts[0].caller, scripts[1].callee
    talk = {"caller_media": media(2.8, 1), "callee_media": media(2.8, 2)}
    first = play(replace(scripts[0], callee=replace(scripts[0].callee, rtp=callee.rtp), **talk))
    silent = {"caller_media": SILENT, "callee_media": SILENT}
    second = play(replace(scripts[1], caller=replace(scripts[1].caller, rtp=caller.rtp), **silent))
    other = play(call("other@example", start_ns=first.script.start_ns + 30 * SECOND_NS, talk_s=1.0))
    found = imported([first, second, *([other] if goes_on else [])], tmp_path, CONFIG)
    record = found.call(f"{kept}@example")
    assert (record["outcome"], len(record["parts"])) == ("recorded", 1)
    for number, side in enumerate(Side):
        truth = first.truths[side][0]
        np.testing.assert_array_equal(placed(found.parts_of(record), number, truth), truth.pcm)


def test_leg_that_cannot_be_recorded_is_not_the_one_that_is(tmp_path: Path) -> None:
    """G.729 inside, G.711 outside: the outer leg has the speech."""
    found = imported(outgoing(codec="G729"), tmp_path, CONFIG)
    assert found.call("first@example")["reasons"] == ["unsupported_codec"]
    assert found.call("second@example")["outcome"] == "recorded"


def test_two_calls_at_once_are_no_legs(tmp_path: Path) -> None:
    """Two customers call two lines through one PBX: nothing links them."""
    here = play(dialling(OUTSIDE, "0335550101", "one@example"))
    other = dialling("0677777777", "0335550102", "two@example", start_ns=here.script.start_ns + SECOND_NS // 5)
    there = play(
        replace(
            other,
            caller=moved(other.caller, host="10.77.0.31"),
            callee=moved(other.callee, host="10.77.8.31"),
        )
    )
    found = imported([here, there], tmp_path, CONFIG)
    assert [record["outcome"] for record in found.records] == ["recorded", "recorded"]
    assert all(record["links"]["second_leg_of"] is None for record in found.records)


@pytest.mark.parametrize(("inside", "kept"), [(True, "first"), (False, "third")], ids=["out", "in"])
def test_of_three_legs_one_is_recorded(inside: bool, kept: str, tmp_path: Path) -> None:
    """Telephone, PBX, SBC, carrier: a call leg between each two of them, all on the mirror."""
    numbers = ("0335550101", OUTSIDE) if inside else (OUTSIDE, "0335550101")
    caller, callee = (moved(party, number=number) for party, number in zip((CALLER, CALLEE), numbers, strict=True))
    pbx, sbc = (moved(callee, host=host, rtp_port=port) for host, port in (("10.77.0.1", 30000), ("10.77.0.2", 34000)))
    hops = [(caller, pbx), (replace(pbx, number=caller.number), sbc), (replace(sbc, number=caller.number), callee)]
    calls = []
    for place, (name, (a, b)) in enumerate(zip(("first", "second", "third"), hops, strict=True)):
        a = replace(a, rtp=a.rtp._replace(port=a.rtp.port + 2)) if place else a
        start_ns = START_NS + place * SECOND_NS // 20
        calls.append(play(call(f"{name}@example", caller=a, callee=b, start_ns=start_ns, talk_s=3.0, ring_s=2.0)))
    found = imported(calls, tmp_path, CONFIG)
    outcomes = {name: found.call(f"{name}@example")["outcome"] for name in ("first", "second", "third")}
    assert outcomes == {**dict.fromkeys(outcomes, "not_expected"), kept: "recorded"}
    assert len(found.parts) == 1

"""Which sides of calls are silent, from generated calls through the journal."""

from dataclasses import replace

import numpy as np

from appliance.diagnosis.wire.levels import LevelWatch
from capture.journal import MediaBlock, SignallingBlock
from capture.journalreader import JournalReader
from capture.rules import Enterprise, LineRule
from capture.signalling import Signalling
from tests.appliance.diagnosis.watched import call, played, watch
from tests.traffic.calls import Hold
from tests.traffic.media import MediaScript
from tests.traffic.signalling import Side
from tests.traffic.speech import speech

SILENCE = np.zeros(40 * 8000, np.int16)
SPEECH = speech(40.0, seed=9)


def silent_after(seconds):
    return np.concatenate([SPEECH[: seconds * 8000], SILENCE[seconds * 8000 :]])


def media(audio, **given):
    return MediaScript(audio=audio, jitter_ns=400_000, **given)


def levels(folder, scripts, *, until_s, enterprises=()):
    """What is known so long after the first packet."""
    watch(folder, played(scripts), until_s=until_s)
    signalling = Signalling()
    with JournalReader(folder) as reader:
        found = LevelWatch(enterprises, reader.read_into)
        while (item := reader.next()) is not None:
            match item[1]:
                case MediaBlock() as block:
                    found.media(block)
                case SignallingBlock() as block:
                    for ts_ns, changed in signalling.receive(block.frames):
                        if changed is not None:
                            found.changed(ts_ns, changed)
    return found.seen(7)


def told(report):
    return [
        (one.line, one.side.value, one.had_signal, round(one.silent_s)) for one in report.silent if one.silent_s > 2
    ]


def test_a_side_that_was_never_heard_and_one_that_fell_silent(tmp_path):
    scripts = [
        call(1, talk_s=40.0, caller_media=media(SILENCE)),
        call(2, talk_s=40.0, callee_media=media(silent_after(8), codec="PCMA")),
        call(3, talk_s=40.0),
    ]
    report = levels(tmp_path, scripts, until_s=25.0)
    assert (report.at_ns, report.calls) == (7, 3)
    found = told(report)
    assert [one[:3] for one in found] == [
        ("no contracted line", "caller", False),
        ("no contracted line", "callee", True),
    ]
    assert 22 <= found[0][3] <= 25
    assert 14 <= found[1][3] <= 17


def test_lines_are_named_by_their_place(tmp_path):
    lines = tuple(LineRule(number=f"033555010{number}") for number in (5, 1, 2))
    enterprises = (Enterprise(id="E1", lines=lines),)
    scripts = [call(number, talk_s=40.0, caller_media=media(SILENCE)) for number in (1, 2, 9)]
    report = levels(tmp_path, scripts, until_s=20.0, enterprises=enterprises)
    assert [one[0] for one in told(report)] == ["E1 line 2", "E1 line 3"]  # the third call is not wanted
    assert report.calls == 3


def test_what_sends_nothing_is_on_hold_or_is_over_is_not_judged(tmp_path):
    suppressed = media(SILENCE, suppressed_s=((4.0, 40.0),))
    held = Hold(by=Side.CALLEE, at_s=6.0, seconds=30.0)
    scripts = [
        call(1, talk_s=40.0, caller_media=suppressed),
        replace(call(2, talk_s=40.0, caller_media=media(SILENCE)), holds=(held,)),
        call(3, talk_s=5.0, caller_media=media(SILENCE)),
    ]
    report = levels(tmp_path, scripts, until_s=20.0)
    assert told(report) == []
    assert report.calls == 2


def test_more_flows_than_fit_are_looked_at_by_turns(tmp_path, monkeypatch):
    monkeypatch.setattr("appliance.diagnosis.wire.levels.MAX_AT_ONCE", 3)
    scripts = [call(number, talk_s=40.0, caller_media=media(SILENCE)) for number in range(1, 6)]
    report = levels(tmp_path, scripts, until_s=20.0)
    by_side = {(one.side.value, one.had_signal): one.silent_s for one in report.silent}
    assert by_side["caller", False] > 15
    assert by_side.get(("callee", True), 0) < 10  # heard at its last turn

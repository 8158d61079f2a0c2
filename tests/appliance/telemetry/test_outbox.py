"""The outbox on a real disk: nothing lost, nothing twice, bounded, in order."""

import json
import sqlite3

import pytest

from appliance.telemetry.outbox import MAX_UNSAVED, Outbox, Priority
from appliance.telemetry.statefile import StateFile


@pytest.fixture
def state(tmp_path):
    with StateFile(tmp_path / "agent") as file:
        yield file


def put(outbox, topic="t", priority=Priority.EVENT, text="", **given):
    return outbox.put(lambda id: json.dumps({"message_id": id, "text": text}).encode(), topic, priority, **given)


def ids(envelopes):
    return [json.loads(envelope.payload)["message_id"] for envelope in envelopes]


def test_what_was_saved_is_there_after_a_restart_until_it_is_confirmed(state):
    outbox = Outbox(state)
    sent = [put(outbox, text=str(n)) for n in range(5)]
    assert outbox.save()
    again = Outbox(state)
    waiting = again.pending(10)
    assert ids(waiting) == sent
    again.confirm([waiting[0].n, waiting[2].n])
    assert ids(Outbox(state).pending(10)) == [sent[1], sent[3], sent[4]]
    assert ids(again.pending(10, [waiting[1].n])) == [sent[3], sent[4]]


def test_what_was_not_saved_is_not_sent_yet(state):
    outbox = Outbox(state)
    put(outbox)
    assert outbox.pending(10) == []
    assert outbox.state.messages == 1


def test_ids_are_never_given_twice(state):
    outbox = Outbox(state)
    first = put(outbox)
    outbox.save()
    outbox.confirm([envelope.n for envelope in outbox.pending(1)])
    later = Outbox(state)
    second = put(later)
    later.save()
    assert first != second
    assert later.pending(1)[0].n == 2


def test_alarms_go_before_summaries_and_topics_keep_their_order(state):
    outbox = Outbox(state)
    for n in range(3):
        put(outbox, "call", Priority.SUMMARY, f"call {n}")
        put(outbox, "alarm/1", Priority.ALARM, f"alarm {n}")
    outbox.save()
    texts = [json.loads(envelope.payload)["text"] for envelope in outbox.pending(10)]
    assert texts == ["alarm 0", "alarm 1", "alarm 2", "call 0", "call 1", "call 2"]


def test_heartbeats_collapse_also_over_a_restart(state):
    outbox = Outbox(state)
    for n in range(3):
        put(outbox, "health", Priority.STATE, str(n), collapses=True, retain=True)
    put(outbox, "other", Priority.STATE, "stays")
    outbox.save()
    later = Outbox(state)
    put(later, "health", Priority.STATE, "3", collapses=True, retain=True)
    later.save()
    assert [json.loads(one.payload)["text"] for one in later.pending(10)] == ["stays", "3"]


def test_over_its_bound_it_drops_summaries_first_the_oldest_of_them(state):
    outbox = Outbox(state, max_bytes=40_000)
    for n in range(50):
        put(outbox, "alarm", Priority.ALARM, f"alarm {n}")
    for n in range(500):
        put(outbox, "call", Priority.SUMMARY, f"call {n}")
    outbox.save()
    kept = [json.loads(one.payload)["text"] for one in outbox.pending(1000)]
    calls = [text for text in kept if text.startswith("call")]
    assert kept[:50] == [f"alarm {n}" for n in range(50)]
    assert calls == [f"call {n}" for n in range(500 - len(calls), 500)]
    assert outbox.state.size_bytes <= 40_000
    assert outbox.state.dropped == 500 - len(calls)


def test_seven_days_without_a_broker_lose_no_alarm_event_or_checkpoint(state):
    """A busy site: 20,000 calls a day, a checkpoint every five minutes, 200 alarms and events a day, in 1/100 of it."""
    outbox = Outbox(state, max_bytes=2_560_000)
    for n in range(1400):
        put(outbox, "call", Priority.SUMMARY, "x" * 500)
        for _ in range(60):
            put(outbox, "health", Priority.STATE, "x" * 1500, collapses=True)
        if n % 100 == 0:
            put(outbox, "alarm", Priority.ALARM, "x" * 900)
            put(outbox, "event", Priority.EVENT, "x" * 300)
            put(outbox, "ledger/checkpoint", Priority.CHECKPOINT, "x" * 300)
            outbox.save()
    outbox.save()
    waiting = [envelope.topic for envelope in outbox.pending(10_000)]
    assert [waiting.count(topic) for topic in ("alarm", "event", "ledger/checkpoint", "health")] == [14, 14, 14, 1]
    assert outbox.state.dropped == 0


def test_an_alarm_and_its_message_are_one_transaction(state):
    outbox = Outbox(state)
    put(outbox)

    def fails(connection):
        connection.execute("INSERT INTO notes VALUES ('alarm', 'raised')")
        raise sqlite3.OperationalError("disk I/O error")

    assert not outbox.save(fails)
    assert state.note("alarm") == ""
    assert len(outbox.pending(10)) == 1  # from memory: the disk refuses
    assert not outbox.state.is_saved

    def works(connection):
        connection.execute("INSERT INTO notes VALUES ('alarm', 'raised')")

    assert outbox.save(works)
    assert (state.note("alarm"), outbox.state.is_saved, outbox.state.messages) == ("raised", True, 1)


def test_a_disk_that_is_not_there_is_no_reason_to_be_silent(tmp_path):
    (tmp_path / "agent").write_bytes(b"a file where the folder should be")
    with StateFile(tmp_path / "agent") as state:
        outbox = Outbox(state)
        for n in range(MAX_UNSAVED + 3):
            put(outbox, text=str(n))
        assert not outbox.save()
        first = outbox.pending(1)
        assert json.loads(first[0].payload)["text"] == "3"
        outbox.confirm([first[0].n])
        assert outbox.state.dropped == 3
        (tmp_path / "agent").unlink()
        assert outbox.save()
        assert outbox.state.messages == MAX_UNSAVED - 1


def test_what_the_broker_has_is_not_sent_again_while_the_disk_refuses(state, monkeypatch):
    outbox = Outbox(state)
    put(outbox)
    outbox.save()
    [sent] = outbox.pending(10)
    monkeypatch.setattr(StateFile, "_open", lambda _self: (_ for _ in ()).throw(OSError("gone")))
    state.close()
    outbox.confirm([sent.n])
    monkeypatch.undo()
    assert outbox.pending(10) == []
    outbox.confirm([])
    assert outbox.state.messages == 0


def test_a_damaged_file_is_put_aside(tmp_path):
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "agent.sqlite").write_bytes(b"not a database at all, " * 500)
    with StateFile(tmp_path / "agent") as state:
        outbox = Outbox(state)
        put(outbox)
        assert outbox.save()
        assert state.put_aside
    assert (tmp_path / "agent" / "agent.damaged").exists()

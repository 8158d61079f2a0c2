"""The agent as a process of its own: a real archive, a real broker, real kills."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import msgspec
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from appliance.agent import alarmbook
from appliance.condition.concerns import Concern
from appliance.condition.record import NAME, Condition, Standing
from appliance.telemetry.schema_export import MESSAGES, SCHEMA_DIRECTORY, identity, schema_name
from storage.archive import Archive
from storage.json_form import to_json
from storage.layout import day_folder
from storage.ledger.entries import Call
from storage.vocabulary import Outcome, Reason, Source
from tests.appliance.telemetry.broker import Subscriber, needs_mosquitto, running, wait_for
from tests.storage.samples import call_record

CONFIGURATION = """\
[site]
customer = "Example K.K."
site = "Osaka"
serial = "RB-1"
[[enterprise]]
id = "E1"
[[enterprise.lines]]
number = "03-1234-5678"
[mqtt]
host = "127.0.0.1"
port = {port}
tls = false
health_interval_s = 10
commands = ["ack", "health", "alarms"]
home_assistant = true
home_assistant_prefix = "rec/ha"
"""
REPOSITORY = Path(__file__).parents[3]
ROOT = "rec/v1/Example K.K./Osaka/RB-1"
VALIDATORS = {
    identity(message): jsonschema.Draft202012Validator(
        json.loads((SCHEMA_DIRECTORY / schema_name(message)).read_bytes())
    )
    for message in MESSAGES
}


class Box:
    """An archive with what an agent looks at."""

    def __init__(self, folder, port):
        self.root = folder / "archive"
        self.archive = Archive(self.root)
        self.configuration = folder / "rokubox.toml"
        self.configuration.write_text(CONFIGURATION.format(port=port))
        for part in (self.archive.run, self.archive.ledger, self.archive.records):
            part.mkdir(parents=True)
        self.lines = self.archive.ledger / "entries.jsonl"
        self.lines.write_bytes(b'{"kind": "log"}\n')

    def concern(self, *concerns):
        """What the archive's owner finds wrong."""
        standing = tuple(Standing(concern=one, part="", what="in words", since_ns=0) for one in concerns)
        told = Condition(at_ns=time.time_ns(), concerns=standing, figures=None)
        draft = self.archive.run / ".draft"
        draft.write_bytes(msgspec.json.encode(told))
        draft.rename(self.archive.run / NAME)

    def call(self, number, **given):
        """A call has ended."""
        record = call_record(call_id=f"{number:064x}", source=Source.SPAN, line="0312345678", enterprise="E1", **given)
        path = self.archive.records / day_folder(record.started_at) / f"{record.call_id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(to_json(record))
        entry = Call(call_id=record.call_id, day=record.started_at[:10], record_sha256="0" * 64, at=record.started_at)
        with self.lines.open("ab") as lines:
            lines.write(msgspec.json.encode(entry) + b"\n")

    @property
    def command(self):
        words = ["-m", "appliance.daemons", "agent", "--config", self.configuration, "--archive", self.root]
        return [sys.executable, *map(str, words)]

    @contextmanager
    def agent(self):
        """The daemon, until the end of the block."""
        process = subprocess.Popen(self.command, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()


def told(noc, end):
    """Messages of topics that end so, as objects; every one is valid."""
    found = []
    for topic, payload, *_ in list(noc.messages):
        if payload and "/cmd/" not in topic and not topic.startswith("rec/ha/"):
            message = json.loads(payload)
            VALIDATORS[message["schema"]].validate(message)
        if topic.endswith(end) and payload:
            found.append(message)
    return found


def alarms(noc, kind):
    return [(one["state"], one["severity"], one["count"]) for one in told_alarms(noc, kind)]


def told_alarms(noc, kind):
    return [
        one for topic in {topic for topic, *_ in noc.messages if f"/alarm/{kind}-" in topic} for one in told(noc, topic)
    ]


@needs_mosquitto
def test_from_a_start_to_a_clean_stop(tmp_path):
    with running(tmp_path) as broker, Subscriber(broker) as noc:
        box = Box(tmp_path, broker.port)
        forgotten = f"{ROOT}/alarm/no_frames-0123456789"  # of an agent whose disk was replaced
        noc.publish(forgotten, b'{"schema": "rokubox.alarm/1"}', retain=True)
        noc.wait(lambda: noc.messages, "what was there before")
        noc.messages.clear()
        box.call(1)  # before there was an agent: history
        with box.agent():
            noc.wait(lambda: noc.of("/health") and noc.of("/info"), "birth")
            noc.wait(lambda: (forgotten, b"") in [(topic, payload) for topic, payload, *_ in noc.messages], "forgotten")
            second = subprocess.run(box.command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
            assert (second.returncode, second.stderr.count("\n")) == (2, 1)
            assert "another rokubox-agent watches this archive" in second.stderr
            box.concern(Concern.BIT_ROT)
            box.call(2, outcome=Outcome.NOT_RECORDED, reasons=(Reason.NO_MEDIA,), parts=(), origin_at=None)
            box.call(3)
            noc.wait(lambda: len(noc.of("call/summary")) == 2, "two calls")
            noc.wait(lambda: told_alarms(noc, "bit_rot"), "an alarm")
            noc.wait(lambda: told_alarms(noc, "call_not_recorded"), "another alarm")
            box.concern()
            noc.wait(lambda: any(not payload and "bit_rot" in topic for topic, payload, *_ in noc.messages), "cleared")
        noc.wait(lambda: len(noc.of("/status")) == 2, "offline")
        assert [one["reason"] for one in told(noc, "/status")] == ["connected", "stopped"]
        assert [one["event"] for one in told(noc, "event/agent_started")] == ["agent_started"]
        assert noc.of("event/agent_stopped")
        assert [topic for topic, *_ in noc.messages if topic.startswith("rec/ha/")] == [
            "rec/ha/device/rokubox_Example_K_K__Osaka_RB-1/config"
        ]
        assert alarms(noc, "bit_rot") == [("raised", "critical", 1), ("cleared", "cleared", 1)]
        [lost] = told_alarms(noc, "call_not_recorded")
        assert (lost["resource"], lost["qualifier"], lost["number"]) == ("E1 line 1", "no_media", 202)
        summaries = told(noc, "call/summary")
        assert [one["call_id"][-1] for one in summaries] == ["2", "3"]
        assert [(one["enterprise"], one["line"], one["numbers"]) for one in summaries] == [("E1", 1, None)] * 2
        assert not any(b"0312345678" in payload or b"0698765432" in payload for _, payload, *_ in noc.messages)
        sequences = [
            one["sequence"] for topic in {t for t, *_ in noc.messages if "/alarm/" in t} for one in told(noc, topic)
        ]
        assert sorted(sequences) == list(range(1, len(sequences) + 1))
        changes = alarmbook.history(box.root / "agent", 100)
        assert len(changes) == len(sequences)
        for change in changes:
            assert change.told_ns is not None
            assert change.told_ns >= change.alarm.last_changed_ns


@needs_mosquitto
def test_killed_and_without_a_broker_it_tells_of_everything_once(tmp_path):
    with running(tmp_path) as broker, Subscriber(broker) as noc:
        box = Box(tmp_path, broker.port)
        with box.agent() as killed:
            noc.wait(lambda: noc.of("/health"), "birth")
            broker.stop()
            box.concern(Concern.LEDGER_FAULT)
            box.call(1, outcome=Outcome.NOT_RECORDED, reasons=(Reason.ENCRYPTED,), parts=(), origin_at=None)
            wait_for(lambda: len(standing(box)) >= 3, "alarms on the disk")
            os.kill(killed.pid, signal.SIGKILL)
            killed.wait()
            killed.send_signal = lambda _number: None
            killed.wait = lambda *_: 0
        box.concern(Concern.LEDGER_FAULT)
        broker.start()
        with box.agent():
            noc.wait(lambda: len(noc.of("/health")) >= 2, "born again")
            noc.wait(lambda: told_alarms(noc, "service_restarted"), "it knows that it was killed")
            box.call(2)
            noc.wait(lambda: len(noc.of("call/summary")) == 2, "calls")
            told_once = {one["message_id"]: one for one in told(noc, "call/summary")}
            assert [one["call_id"][-1] for one in told_once.values()] == ["1", "2"]
            assert {one["sequence"] for one in told_alarms(noc, "ledger_fault")} == {
                one["sequence"] for one in told_alarms(noc, "ledger_fault")[:1]
            }
            first = standing(box)
            assert {alarm.key.name for alarm in first} >= {"ledger_fault", "call_not_recorded", "encrypted_calls"}


def standing(box):
    try:
        return alarmbook.standing(box.root / "agent")
    except Exception:
        return []


def for_an_answer():
    """Properties of a request: where its answer is to go."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic, properties.CorrelationData = "rec/answers", b"7"
    return properties


def ask(noc, command, **arguments):
    """Ask for something as a NOC does; the answer."""
    before = len(told(noc, "rec/answers"))
    request = {"schema": "rokubox.command/1", "by": "Sato", "arguments": arguments}
    noc.publish(f"{ROOT}/cmd/{command}", json.dumps(request).encode(), for_an_answer())
    noc.wait(lambda: len(told(noc, "rec/answers")) > before, "an answer")
    return told(noc, "rec/answers")[-1]


@needs_mosquitto
def test_the_noc_may_ask_what_the_configuration_lists(tmp_path):
    properties = for_an_answer()
    with running(tmp_path) as broker, Subscriber(broker) as noc:
        box = Box(tmp_path, broker.port)
        with box.agent():
            noc.wait(lambda: noc.of("/health"), "birth")
            box.concern(Concern.BIT_ROT)
            noc.wait(lambda: told_alarms(noc, "bit_rot"), "an alarm")
            [alarm] = told_alarms(noc, "bit_rot")
            answer = ask(noc, "ack", alarm=alarm["alarm_id"], comment="disk ordered")
            assert (answer["done"], answer["facts"]) == (True, {"alarm": alarm["alarm_id"]})
            noc.wait(lambda: len(told_alarms(noc, "bit_rot")) == 2, "acknowledged")
            known = told_alarms(noc, "bit_rot")[-1]["acknowledged"]
            assert (known["by"], known["comment"]) == ("noc: Sato", "disk ordered")
            assert ask(noc, "ack", alarm="999")["problem"] == "no alarm '999' stands"
            assert ask(noc, "shelve", alarm="305", hours=1)["problem"] == "'shelve' is not among [mqtt] commands"
            for strange in (b"[1, 2", b"\xff", b'{"by": "x", "arguments": {}, "more": ' + b"[" * 9000):
                before = len(told(noc, "rec/answers"))
                noc.publish(f"{ROOT}/cmd/ack", strange, properties)
                noc.wait(lambda before=before: len(told(noc, "rec/answers")) > before, "refused")
                assert "not a rokubox" in told(noc, "rec/answers")[-1]["problem"]
            before = len(noc.of("/health"))
            assert ask(noc, "health")["done"]
            noc.wait(lambda: len(noc.of("/health")) > before, "health at once")
            noc.wait(lambda: len(noc.of("event/command")) == 7, "every request is an event")
            assert next(topic for topic, *_, answered in noc.messages if topic == "rec/answers")


@needs_mosquitto
def test_another_destination_or_vpn_is_an_alarm_until_somebody_has_notified_it(tmp_path):
    """Whatever changed while it was not running, too: a contract wants to be told of it."""

    def configure(box, target, next_hop):
        places = f'[[target]]\nname = "hq"\nurl = "{target}"\n[probe]\nvpn_next_hop = "{next_hop}"\n'
        box.configuration.write_text(CONFIGURATION.format(port=broker.port) + places)

    def changes(noc):
        kinds = ("delivery_destination_changed", "vpn_changed")
        return {(kind, one["resource"], one["state"]) for kind in kinds for one in told_alarms(noc, kind)}

    with running(tmp_path) as broker, Subscriber(broker) as noc:
        box = Box(tmp_path, broker.port)
        configure(box, "file:///mnt/share", "192.0.2.1")
        with box.agent():
            noc.wait(lambda: noc.of("/health"), "birth")
        assert not changes(noc)  # what is new is noted
        configure(box, "file:///mnt/another", "192.0.2.254")
        with box.agent():
            noc.wait(lambda: len(changes(noc)) == 2, "both")
            assert changes(noc) == {
                ("delivery_destination_changed", "target:hq", "raised"),
                ("vpn_changed", "vpn:next hop", "raised"),
            }
            for kind in ("delivery_destination_changed", "vpn_changed"):
                alarm = told_alarms(noc, kind)[0]
                assert ask(noc, "ack", alarm=alarm["alarm_id"], comment="notified")["done"]
            noc.wait(lambda: [state for _, _, state in changes(noc)].count("cleared") == 2, "over")
        noc.messages.clear()
        with box.agent():
            noc.wait(lambda: noc.of("/health"), "birth")
        assert not any("mnt" in str(payload) or b"192.0.2" in payload for _, payload, *_ in noc.messages)
        assert not changes(noc)

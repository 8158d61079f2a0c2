"""The connection against a real mosquitto with TLS and client certificates."""

import datetime
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from appliance.telemetry.link import BrokerLink
from appliance.telemetry.outbox import Outbox, Priority
from appliance.telemetry.session import Said
from appliance.telemetry.settings import Command, MqttSettings
from appliance.telemetry.statefile import StateFile
from appliance.telemetry.topics import BoxTopics
from tests.appliance.telemetry.broker import Authority, Subscriber, free_port, needs_mosquitto, running, wait_for

pytestmark = needs_mosquitto
TOPICS = BoxTopics.of("Example K.K.", "Osaka", "RB-1")
SAID = Said(
    online=lambda: b'{"state": "online"}',
    stopped=lambda: b'{"state": "stopped"}',
    lost=lambda: b'{"state": "lost"}',
    info=lambda: b'{"info": 1}',
)
QUICK = (0.1,)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def settings(broker, authority=None, **given):
    if authority is not None:
        certificate, key = authority.issue("box")
        files = {"ca_file": authority.ca_file, "certificate_file": certificate, "key_file": key}
        given = {name: str(file) for name, file in files.items()} | given
    given.setdefault("host", "localhost")
    return MqttSettings(port=broker.port, tls=authority is not None, **given)


def put(outbox, topic, text, **given):
    id = outbox.put(lambda id: json.dumps({"message_id": id, "text": text}).encode(), topic, Priority.EVENT, **given)
    outbox.save()
    return id


def test_with_certificates_both_ways_then_offline_on_a_clean_stop(tmp_path, authority):
    with running(tmp_path, authority=authority) as broker, Subscriber(broker) as noc, StateFile(tmp_path) as state:
        outbox = Outbox(state)
        link = BrokerLink(settings(broker, authority), TOPICS, outbox, SAID, delays_s=QUICK)
        put(outbox, TOPICS.event("agent_started"), "before it was connected")
        with link:
            noc.wait(lambda: noc.of("event/agent_started"), "what waited in the outbox")
            wait_for(lambda: link.state.is_connected and outbox.state.messages == 0, "confirmed")
            put(outbox, TOPICS.event("agent_stopped"), "last words")
        noc.wait(lambda: len(noc.of("status")) == 2, "offline")
        assert noc.of("status") == [b'{"state": "online"}', b'{"state": "stopped"}']
        assert noc.messages[-1][0] == TOPICS.status  # everything that waited went before
        assert noc.of("event/agent_stopped")
        assert outbox.state.messages == 0
        with Subscriber(broker, session="late") as late:
            late.wait(lambda: len(late.messages) == 2, "what is retained")
            assert {topic: payload for topic, payload, *_ in late.messages} == {
                TOPICS.status: b'{"state": "stopped"}',
                TOPICS.info: b'{"info": 1}',
            }


def test_the_broker_keeps_no_session_of_a_box(tmp_path):
    """What the NOC asks while a box is away is not done days later, when it comes back."""
    with running(tmp_path) as broker, Subscriber(broker) as noc, StateFile(tmp_path) as state:
        outbox = Outbox(state)
        asked = settings(broker, None, commands=(Command.HEALTH,))
        request = partial(noc.publish, TOPICS.command("health"), b"{}")
        for is_there in (True, False):
            with BrokerLink(asked, TOPICS, outbox, SAID, delays_s=QUICK) as link:
                wait_for(lambda link=link: link.state.is_connected, "connected")
                if is_there:
                    time.sleep(0.5)  # it has subscribed
                    request()
                    wait_for(link.take_requests, "asked while it is there")
                else:
                    time.sleep(1)
                    assert not link.take_requests()
            request()


def test_the_will_is_published_on_kill_9(tmp_path, authority):
    with running(tmp_path, authority=authority) as broker, Subscriber(broker) as noc:
        told = settings(broker, authority)
        code = (
            "from tests.appliance.telemetry.test_link import *\n"
            f"with StateFile(Path({str(tmp_path)!r})) as state:\n"
            f"    BrokerLink({told!r}, TOPICS, Outbox(state), SAID).start()\n"
            "    import threading; threading.Event().wait()\n"
        )
        box = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[3])
        try:
            noc.wait(lambda: noc.of("status"), "online")
            os.kill(box.pid, signal.SIGKILL)
            noc.wait(lambda: len(noc.of("status")) == 2, "the will")
        finally:
            box.kill()
            box.wait()
        assert noc.of("status") == [b'{"state": "online"}', b'{"state": "lost"}']


def reason_of(told, tmp_path):
    """Why it does not connect."""
    with StateFile(tmp_path) as state, BrokerLink(told, TOPICS, Outbox(state), SAID, delays_s=QUICK) as link:
        wait_for(lambda: link.state.failure is not None, "a failure")
        assert not link.state.is_connected
        assert link.state.failure is not None
        return link.state.failure.reason.value


def test_each_reason_is_told_apart(tmp_path, authority):
    other = Authority(tmp_path)
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    expired, expired_key = authority.issue("expired", not_after=yesterday)
    strange, strange_key = other.issue("stranger")
    with running(tmp_path, authority=authority) as broker:
        good = settings(broker, authority)

        def reason(**changed):
            return reason_of(
                MqttSettings(**({name: getattr(good, name) for name in good.__dataclass_fields__} | changed)), tmp_path
            )

        assert reason(port=free_port()) == "refused"
        assert reason(host="no-such-host.invalid") == "name_not_resolved"
        assert reason(ca_file=str(other.ca_file)) == "server_untrusted"
        assert reason(host="127.0.0.2") in ("server_name", "refused")
        assert reason(certificate_file="", key_file="") == "client_certificate"
        assert reason(certificate_file=str(strange), key_file=str(strange_key)) == "client_certificate"
        assert reason(certificate_file=str(expired), key_file=str(expired_key)) == "client_certificate"
        assert reason(certificate_file=str(tmp_path / "none.pem")) == "certificate_files"
        assert reason(key_file=str(strange_key)) == "certificate_files"
        assert reason(tls=False) in ("closed", "protocol", "timed_out")


def test_the_servers_name_is_verified(tmp_path, authority):
    authority.issue("broker")
    with running(tmp_path, authority=authority) as broker:
        broker.stop()
        authority.issue("broker", "another.example")
        broker.authority = None
        certificate, key = authority.issue("named", "another.example")
        broker.more = f"cafile {authority.ca_file}\ncertfile {certificate}\nkeyfile {key}\nrequire_certificate true"
        broker.start()
        assert reason_of(settings(broker, authority), tmp_path) == "server_name"


def test_a_box_that_may_not_publish_keeps_what_it_has_to_say(tmp_path):
    (tmp_path / "acl").write_text(f"topic readwrite {TOPICS.status}\ntopic readwrite {TOPICS.info}\n")
    with running(tmp_path, more=f"acl_file {tmp_path}/acl") as broker, StateFile(tmp_path) as state:
        outbox = Outbox(state)
        put(outbox, TOPICS.alarm("x"), "raised")
        with BrokerLink(settings(broker), TOPICS, outbox, SAID, delays_s=(5.0,)) as link:
            wait_for(lambda: link.state.failure is not None, "refused")
            assert link.state.failure
            assert link.state.failure.reason == "not_authorised"
        assert outbox.state.messages == 1


def test_new_certificates_are_taken_up_without_a_restart(tmp_path, authority, monkeypatch):
    monkeypatch.setattr("appliance.telemetry.link.LOOK_S", 0.1)
    with running(tmp_path, authority=authority) as broker, Subscriber(broker) as noc, StateFile(tmp_path) as state:
        told = settings(broker, authority)
        with BrokerLink(told, TOPICS, Outbox(state), SAID, delays_s=QUICK) as link:
            noc.wait(lambda: noc.of("status"), "online")
            new, new_key = authority.issue("new")
            Path(told.certificate_file).write_bytes(new.read_bytes())  # without its key: half dropped
            wait_for(lambda: link.state.files, "the pair does not go together")
            assert link.state.is_connected
            Path(told.key_file).write_bytes(new_key.read_bytes())
            noc.wait(lambda: len(noc.of("status")) == 2, "online with the new ones")
            assert (link.state.files, link.state.renewals) == ("", 1)
        noc.wait(lambda: len(noc.of("status")) == 3, "offline")
        assert noc.of("status") == [b'{"state": "online"}'] * 2 + [b'{"state": "stopped"}']


def test_what_has_waited_does_not_fill_the_line(tmp_path, monkeypatch):
    monkeypatch.setattr("appliance.telemetry.session.SEND_BYTES_S", 50_000)
    with running(tmp_path) as broker, Subscriber(broker) as noc, StateFile(tmp_path) as state:
        outbox = Outbox(state)
        for _ in range(15):
            put(outbox, TOPICS.event("big"), "x" * 10_000)
        began_s = time.monotonic()
        with BrokerLink(settings(broker), TOPICS, outbox, SAID, delays_s=QUICK):
            noc.wait(lambda: len(noc.of("event/big")) == 15, "all of it")
        assert time.monotonic() - began_s > 1.5  # 150 kB, the first 50 at once


def test_what_the_broker_keeps_of_an_earlier_process_is_told(tmp_path):
    with running(tmp_path) as broker, Subscriber(broker) as noc, StateFile(tmp_path) as state:
        outbox, told = Outbox(state), settings(broker)
        put(outbox, TOPICS.alarm("no_frames-0123456789"), "raised", retain=True)
        with BrokerLink(told, TOPICS, outbox, SAID, delays_s=QUICK):
            noc.wait(lambda: noc.of("alarm/no_frames-0123456789"), "an alarm")
        with BrokerLink(told, TOPICS, outbox, SAID, delays_s=QUICK) as link:
            kept: list = []

            def is_told():
                kept.extend(link.take_retained())
                return bool(kept)

            wait_for(is_told, "what is retained")
            put(outbox, TOPICS.alarm("bit_rot-0123456789"), "raised", retain=True)
            noc.wait(lambda: noc.of("alarm/bit_rot-0123456789"), "another alarm")
            assert [*kept, *link.take_retained()] == ["no_frames-0123456789"]


@pytest.mark.parametrize("allowed", [True, False])
def test_requests_come_with_their_response_topic_only_when_allowed(tmp_path, allowed):
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    from appliance.telemetry.session import Answer

    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic, properties.CorrelationData = "noc/answers", b"\x00\x01"
    with running(tmp_path) as broker, Subscriber(broker, "noc/#") as noc, StateFile(tmp_path) as state:
        told = settings(broker, commands=(Command.HEALTH,) if allowed else ())
        outbox = Outbox(state)
        with BrokerLink(told, TOPICS, outbox, SAID, delays_s=QUICK) as link, Subscriber(broker, session="2") as other:
            other.wait(lambda: other.of("status"), "online")
            noc.publish(TOPICS.command("health"), b"{}", properties)
            if not allowed:
                put(outbox, TOPICS.event("x"), "later than the request")
                other.wait(lambda: other.of("event/x"), "sent")
                assert link.take_requests() == []
                return
            requests: list = []

            def asked():
                requests.extend(link.take_requests())
                return bool(requests)

            wait_for(asked, "a request")
            [request] = requests
            assert (request.command, request.payload, request.response_topic) == ("health", b"{}", "noc/answers")
            link.answer(Answer(request=request, payload=b"done"))
            noc.wait(lambda: noc.messages, "an answer")
        topic, payload, _, answered = noc.messages[0]
        assert (topic, payload, answered.CorrelationData) == ("noc/answers", b"done", b"\x00\x01")


def test_every_message_arrives_once_by_id_and_in_order_through_restarts_of_the_broker(tmp_path, authority):
    deliver(tmp_path, authority, messages=1500, restarts=2)


def numbered(n, id):
    return json.dumps({"message_id": id, "n": n}).encode()


def deliver(folder, authority, *, messages, restarts):
    """Send so many messages over four topics while the broker is restarted, and compare what arrives."""
    with running(folder, authority=authority) as broker, Subscriber(broker) as noc, StateFile(folder) as state:
        outbox = Outbox(state)
        with BrokerLink(settings(broker, authority), TOPICS, outbox, SAID, delays_s=QUICK):
            for n in range(messages):
                topic = TOPICS.event(f"t{n % 4}")
                outbox.put(partial(numbered, n), topic, Priority(n % 4))
                if n % 50 == 49:
                    outbox.save()
                if restarts and n and n % (messages // (restarts + 1)) == 0:
                    noc.wait_for_more(n // 4)
                    broker.stop()
                    broker.start()
            outbox.save()
            wait_for(lambda: outbox.state.messages == 0, "all are confirmed")

            noc.wait(lambda: len({p for t, p, *_ in noc.messages if b'"n"' in p}) == messages, "all have arrived")
        received = [(topic, json.loads(payload)) for topic, payload, *_ in noc.messages if b'"n"' in payload]
    first: dict = {}
    for topic, message in received:
        first.setdefault(message["message_id"], (topic, message["n"]))
    assert sorted(n for _, n in first.values()) == list(range(messages))
    for number in range(4):
        order = [n for topic, n in first.values() if topic.endswith(f"t{number}")]
        assert order == sorted(order)
    return len(received) - messages

"""Telemetry measured: delivery through restarts of the broker, a fleet before the NOC's eyes, a box's bytes in a day.

    python -m tests.bench.bench_telemetry [--quick]

Everything on loopback against a mosquitto of its own. Delivery: messages of one box over TLS while the broker is
restarted; every one must arrive, once by its id, in order within its topic. Fleet: so many connections, each with a
will, publish birth, alarms and `health`; the NOC's view takes all in and is drawn as it is in a terminal of 200 x 60.
Day: all that a box publishes in a day through its real connection, each message by itself, bytes counted above TCP.
"""

import argparse
import dataclasses
import io
import resource
import selectors
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from rich.console import Console
from rich.table import Table

from appliance.agent.daysums import DaySums
from appliance.agent.reports import Reports
from appliance.alarms.alarm import AlarmState
from appliance.noc.feed import Feed
from appliance.noc.fleet import BoxState, Fleet
from appliance.noc.screen import Screen
from appliance.telemetry.link import BrokerLink
from appliance.telemetry.messages import PresenceReason
from appliance.telemetry.outbox import Outbox, Priority
from appliance.telemetry.settings import MqttSettings
from appliance.telemetry.statefile import StateFile
from appliance.telemetry.topics import BoxTopics
from tests.appliance.agent.test_reports import ALARM, IDENTITY, NOW, health_seen
from tests.appliance.telemetry.broker import Authority, Broker, running, wait_for
from tests.appliance.telemetry.test_link import SAID, TOPICS, deliver, settings
from tests.storage.samples import call_record

REPORTS = Reports(IDENTITY, {}, numbers=False)
RAISED = dataclasses.replace(ALARM, shelved=None, acknowledged=None)
HEALTH = REPORTS.health(NOW, health_seen(DaySums().add(call_record())))
CALLS, CHECKPOINTS, ALARMS, HEALTHS = 200, 100, 10, 1440
"""Of a day: calls that end, new checkpoints, alarms raised and cleared, `health` once a minute."""
ROUNDS = 3


class Boxes:
    """Connections of a fleet, served by one thread."""

    def __init__(self, count: int, broker: Broker) -> None:
        self.topics = [BoxTopics.of(f"customer {number % 20}", f"site {number}", "RB-1") for number in range(count)]
        self._selector = selectors.DefaultSelector()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.clients = [self._connected(number, topics, broker) for number, topics in enumerate(self.topics)]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _connected(self, number: int, topics: BoxTopics, broker: Broker) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"box-{number}",
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.will_set(topics.status, REPORTS.status(NOW, PresenceReason.LOST)("00000000-1"), qos=1, retain=True)
        client.connect("127.0.0.1", broker.port, keepalive=600)
        opened = client.socket()
        assert isinstance(opened, socket.socket)
        self._selector.register(opened, selectors.EVENT_READ, client)
        return client

    def publish(self, number: int, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send something of one box."""
        with self._lock:
            self.clients[number].publish(topic, payload, qos=1, retain=retain)

    def _serve(self) -> None:
        while not self._stopping.is_set():
            for key, _ in self._selector.select(0.05):
                with self._lock:
                    key.data.loop_read()
            with self._lock:
                for client in self.clients:
                    if client.want_write():
                        client.loop_write()

    def close(self) -> None:
        """Cut all connections: the broker publishes the wills."""
        self._stopping.set()
        self._thread.join()
        self._selector.close()
        for client in self.clients:
            opened = client.socket()
            if opened is not None:
                opened.close()


class Counting:
    """A relay on loopback that counts bytes both ways."""

    def __init__(self, port: int) -> None:
        self.bytes = 0
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ours, _ = self._listening.accept()
                theirs = socket.create_connection(("127.0.0.1", self._to))
                for source, sink in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                self.bytes += len(piece)
                sink.sendall(piece)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take no more."""
        self._listening.close()


def delivery(folder: Path, messages: int, restarts: int) -> list[str]:
    """One box through restarts; fails loudly when a message is lost or out of order."""
    began = time.monotonic()
    again = deliver(folder, Authority(folder), messages=messages, restarts=restarts)
    took_s = time.monotonic() - began
    return [
        f"{messages:,} messages",
        f"{restarts} restarts",
        "all, once by id, in order",
        f"{again} twice",
        f"{took_s:.1f} s",
    ]


def fleet(folder: Path, count: int) -> list[list[str]]:
    """A fleet before the NOC's eyes."""
    rows = []
    with running(folder) as broker:
        boxes = Boxes(count, broker)
        for number, topics in enumerate(boxes.topics):
            boxes.publish(
                number, topics.status, REPORTS.status(NOW, PresenceReason.CONNECTED)(f"{number:08x}-1"), retain=True
            )
            boxes.publish(number, topics.info, REPORTS.info(NOW)(f"{number:08x}-2"), retain=True)
            boxes.publish(number, topics.health, HEALTH(f"{number:08x}-3"), retain=True)
            if number % 10 == 0:
                alarm = REPORTS.alarm(RAISED)(f"{number:08x}-4")
                boxes.publish(number, topics.alarm(RAISED.key.id), alarm, retain=True)
        view, screen = Fleet(), None
        with Feed(MqttSettings(host="127.0.0.1", port=broker.port, tls=False)) as feed:
            began = time.monotonic()
            screen = Screen(view)

            def taken() -> bool:
                for one in feed.take():
                    view.take(one.topic, one.payload, one.at_ns, retained=one.retained)
                return sum(box.health is not None for box in view.boxes.values()) == count

            wait_for(taken, "the whole fleet")
            born_s = time.monotonic() - began
            rows.append(["from connecting to the whole fleet known", f"{born_s:.2f} s", f"{view.messages:,} messages"])
            refreshes: list[tuple[float, float]] = []
            for round_ in range(ROUNDS):
                before = view.messages
                for number, topics in enumerate(boxes.topics):
                    boxes.publish(number, topics.health, HEALTH(f"{number:08x}-{round_ + 10}"), retain=True)
                deadline = time.monotonic() + 60
                while view.messages < before + count and time.monotonic() < deadline:
                    refreshes.append(_refresh(view, feed, screen))
                assert view.messages >= before + count, "messages are missing"
            refreshes += [_refresh(view, feed, screen) for _ in range(10)]
            rows.append(_times("refresh while every box publishes at once", refreshes))
            boxes.close()

            def all_gone() -> bool:
                taken()
                return all(box.state(time.time_ns()) is BoxState.OFFLINE for box in view.boxes.values())

            began = time.monotonic()
            wait_for(all_gone, "every will")
            rows.append(
                ["every connection cut to every box offline", f"{time.monotonic() - began:.2f} s", f"{count:,} wills"]
            )
            assert view.malformed == 0
    return rows


def _refresh(view: Fleet, feed: Feed, screen: Screen) -> tuple[float, float]:
    """Take in what has come and draw: wall and CPU time in milliseconds."""
    began, began_cpu = time.perf_counter(), time.thread_time()
    for one in feed.take():
        view.take(one.topic, one.payload, one.at_ns, retained=one.retained)
    console = Console(file=io.StringIO(), width=200, height=60, force_terminal=True)
    console.print(screen.draw(time.time_ns(), 60, ""))
    return (time.perf_counter() - began) * 1000, (time.thread_time() - began_cpu) * 1000


def _times(name: str, times_ms: Sequence[tuple[float, float]]) -> list[str]:
    wall, cpu = sorted(wall for wall, _ in times_ms), statistics.median(cpu for _, cpu in times_ms)
    worst = wall[min(len(wall) - 1, int(0.95 * len(wall)))]
    said = f"median {statistics.median(wall):.0f} ms (CPU {cpu:.0f}), 95 % {worst:.0f} ms"
    return [name, said, f"{len(wall)} refreshes"]


def day(folder: Path, share: int) -> list[str]:
    """What a box sends in a day, by a share of one."""
    over = dataclasses.replace(RAISED, state=AlarmState.CLEARED, cleared_ns=NOW)
    note = b"rokubox/RB-1\n123456\n" + b"A" * 43 + b"=\n\n" + "— rokubox/RB-1 ".encode() + b"A" * 96 + b"\n"
    kinds = [
        (HEALTHS, TOPICS.health, HEALTH),
        (CALLS, TOPICS.call_summary, REPORTS.call(NOW, call_record())),
        (CHECKPOINTS, TOPICS.checkpoint, REPORTS.checkpoint(NOW, 123_456, note)),
        (ALARMS, TOPICS.alarm(RAISED.key.id), REPORTS.alarm(RAISED)),
        (ALARMS, TOPICS.alarm(RAISED.key.id), REPORTS.alarm(over)),
    ]
    authority = Authority(folder)
    with running(folder, authority=authority) as broker, StateFile(folder / "agent") as state:
        relay = Counting(broker.port)
        told = dataclasses.replace(settings(broker, authority), port=relay.port)
        outbox = Outbox(state)
        with BrokerLink(told, TOPICS, outbox, SAID) as link:
            wait_for(lambda: link.state.is_connected, "connected")
            before = relay.bytes
            for count, topic, make in kinds:
                for _ in range(count // share):
                    outbox.put(make, topic, Priority.EVENT, retain=True)
            outbox.save()
            wait_for(lambda: outbox.state.messages == 0, "confirmed")
            total = (relay.bytes - before) * share
        relay.close()
    pings = 86_400 // told.keepalive_s * 2 * (2 + 22)
    return [
        "a box in a day",
        f"{(total + pings) / 1e6:.2f} MB",
        f"{HEALTHS} health, {CALLS} calls, {CHECKPOINTS} checkpoints, {2 * ALARMS} alarms",
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 0."""
    parser = argparse.ArgumentParser(prog="bench_telemetry", description="Measure telemetry and the NOC's view.")
    parser.add_argument("--quick", action="store_true", help="fewer messages and boxes")
    arguments = parser.parse_args(argv)
    messages, count, share = (1_000, 100, 20) if arguments.quick else (10_000, 1_000, 4)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    assert soft
    shown = Table(
        title=f"telemetry: one box and a fleet of {count:,} against one mosquitto on loopback", show_header=False
    )
    with tempfile.TemporaryDirectory(prefix="bench-telemetry-") as folder:
        for name in ("delivery", "fleet", "day"):
            (Path(folder) / name).mkdir()
        shown.add_row("delivery", *_three(delivery(Path(folder) / "delivery", messages, 3)))
        for row in fleet(Path(folder) / "fleet", count):
            shown.add_row("fleet", *row)
        shown.add_row("bytes above TCP", *day(Path(folder) / "day", share))
    Console(width=140).print(shown)
    return 0


def _three(cells: Sequence[str]) -> list[str]:
    return [cells[0], f"{cells[1]}, {cells[4]}", f"{cells[2]}; {cells[3]}"]


if __name__ == "__main__":
    sys.exit(main())

"""A real mosquitto on loopback, and a subscriber that keeps all it gets. Only processes started here are ended here."""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

WAIT_S = 30.0
needs_mosquitto = pytest.mark.skipif(shutil.which("mosquitto") is None, reason="mosquitto is not installed")


@dataclass
class Authority:
    """One authority, a certificate of the broker's and one of a box's."""

    folder: Path
    ca: trustme.CA = field(default_factory=trustme.CA)
    names: tuple[str, ...] = ("localhost", "127.0.0.1")
    """Of whoever is given none."""

    def __post_init__(self):
        self.ca_file = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.ca_file))

    def issue(self, name, *names, **given):
        """Certificate and key files of this name."""
        issued = self.ca.issue_cert(*(names or self.names), **given)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return certificate, key


@dataclass
class Broker:
    """mosquitto with TLS and client certificates, or without both."""

    folder: Path
    authority: Authority | None = None
    more: str = ""
    port: int = 0
    process: subprocess.Popen | None = None

    def start(self):
        """Start it and wait until it takes connections."""
        self.port = self.port or free_port()
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true", "persistence true", "max_queued_messages 0"]
        lines += [f"persistence_location {self.folder}/", "autosave_interval 1", self.more]
        if self.authority is not None:
            certificate, key = self.authority.issue("broker")
            lines += [f"cafile {self.authority.ca_file}", f"certfile {certificate}", f"keyfile {key}"]
            lines += ["require_certificate true", "tls_version tlsv1.2" if "tls12" in self.more else ""]
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text("\n".join(line for line in lines if "#" not in line) + "\n")
        # It would become a user of its own, who cannot read what is in here.
        user = [] if os.geteuid() else ["user root"]
        configuration.write_text(configuration.read_text() + "\n".join(user) + "\n")
        self.process = subprocess.Popen(
            ["mosquitto", "-c", str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(lambda: can_connect(self.port), "mosquitto takes connections")

    def stop(self):
        """End it; what it has to remember it writes."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(WAIT_S)
            self.process = None


@contextmanager
def running(folder, **given) -> Iterator[Broker]:
    """A broker until the end of the block."""
    broker = Broker(folder, **given)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


class Subscriber:
    """Keeps every message of a filter, with its topic, and whether it was retained. Its session outlives the broker."""

    def __init__(self, broker, topics="rec/#", *, session="noc"):
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        self.messages = []
        self.news = threading.Condition()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=session, protocol=MQTTProtocolVersion.MQTTv5)
        if broker.authority is not None:
            certificate, key = broker.authority.issue("noc")
            self._client.tls_set(str(broker.authority.ca_file), str(certificate), str(key))
        subscribed = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe(topics, qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = self._took
        self._client.reconnect_delay_set(1, 1)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        self._client.connect("localhost", broker.port, clean_start=False, properties=properties)
        self._client.loop_start()
        assert subscribed.wait(WAIT_S)

    def _took(self, _client, _userdata, message):
        with self.news:
            self.messages.append((message.topic, bytes(message.payload), message.retain, message.properties))
            self.news.notify_all()

    def of(self, end):
        """Payloads of topics that end so."""
        with self.news:
            return [payload for topic, payload, *_ in self.messages if topic.endswith(end)]

    def wait(self, done, what):
        """Wait until what was received meets a condition."""
        with self.news:
            assert self.news.wait_for(done, WAIT_S), f"not within {WAIT_S} s: {what}"

    def wait_for_more(self, count):
        """Wait until more messages than so many have come."""
        self.wait(lambda: len(self.messages) > count, f"{count} messages")

    def publish(self, topic, payload, properties=None, *, retain=False):
        """Send something."""
        self._client.publish(topic, payload, qos=1, retain=retain, properties=properties).wait_for_publish(WAIT_S)

    def close(self):
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def free_port():
    """A port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def can_connect(port):
    """Whether somebody listens."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(done, what):
    """Wait until something is so."""
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline, f"not within {WAIT_S} s: {what}"
        time.sleep(0.02)

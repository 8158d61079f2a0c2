"""What an emulated box is tested with: a NOC's broker on this host, a stick for it, calls for its mirror port.

The box knows this host as 10.0.2.2, which is what QEMU's network calls it.
"""

import contextlib
import heapq
import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import msgspec

from appliance.telemetry.messages import CommandRequest
from appliance.telemetry.schema_export import SCHEMA_DIRECTORY
from tests.appliance.telemetry import broker
from tests.appliance.telemetry.broker import Authority, Subscriber
from tests.crash.calls import Call, Plan
from tests.image import medium
from tests.image.machine import Machine, wait_until

HOST = "10.0.2.2"
_SMB_S = 120
"""An emulated machine is slow."""
TOPICS = "rec/v1/Example/Emulated/TEST-1"
KEYS = "/etc/rokubox/keys"
CONFIGURATION = """\
[site]
customer = "Example"
site = "Emulated"
serial = "TEST-1"

[[span]]
interface = "span0"

[storage]
archive = "/var/lib/rokubox"

[probe]
not_observable = ["smart", "power"]

[mqtt]
host = "{host}"
port = {port}
ca_file = "{keys}/noc-ca.pem"
certificate_file = "{keys}/box.pem"
key_file = "{keys}/box.key"
health_interval_s = 10
commands = {commands}

[share]
networks = ["{network}"]
[[share.user]]
name = "{reader}"
password_file = "{keys}/reader.password"
{more}"""
NETWORK = "10.0.2.0/24"
READER, PASSWORD = "reader", "for the emulated box only"


@dataclass(slots=True, kw_only=True)
class Stand:
    """A folder, a broker with a subscriber, a stick, and what was sent."""

    folder: Path
    noc: Subscriber
    stick: Path
    authority: Authority
    """Vouches for the broker, and for whatever else the box is to trust."""
    smb_port: int
    """Of this host; it leads to the box's share."""
    sent: list[Call] = field(default_factory=list)
    """Every call that the mirror port was shown."""

    def heard(self, topic: str) -> list[dict[str, Any]]:
        """Every message of a topic so far."""
        return [json.loads(payload) for payload in self.noc.of(f"{TOPICS}/{topic}") if payload]

    def wait_for(self, topic: str, count: int = 1) -> list[dict[str, Any]]:
        """Until a topic had so many messages."""
        wait_until(lambda: len(self.heard(topic)) >= count, lambda: f"{topic}: {self.heard(topic)}")
        return self.heard(topic)

    def ask(self, command: str, **arguments: str) -> None:
        """Ask the box for something."""
        request = msgspec.json.encode(CommandRequest(by="test", arguments=dict(arguments)))
        self.noc.publish(f"{TOPICS}/cmd/{command}", request)

    def show(self, box: Machine, plan: Plan) -> list[Call]:
        """Show the plan's calls to the mirror port, each frame at its time; returns them."""
        calls: list[Call] = []
        begun_ns = time.monotonic_ns()
        frames = (plan.frames(line, calls.append, lambda: False) for line in range(plan.lines))
        for at_ns, octets in heapq.merge(*frames):
            ahead_ns = begun_ns + at_ns - time.monotonic_ns()
            if ahead_ns > 0:
                time.sleep(ahead_ns / 1e9)
            box.send(octets)
        self.sent += calls
        return calls

    def fetch(self) -> Path:
        """Everything in the share, as a customer's computer sees it; a folder."""
        fetched = self.folder / "fetched"
        shutil.rmtree(fetched, ignore_errors=True)
        fetched.mkdir()
        wait_until(lambda: self._smb("ls", PASSWORD, fetched).returncode == 0, lambda: "the share is not open")
        done = self._smb("recurse on; prompt off; mget *", PASSWORD, fetched)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        return fetched

    def is_shut_out(self) -> bool:
        """Whether the share is closed to whoever does not know the password."""
        return all(self._smb("ls", password, self.folder).returncode != 0 for password in ("", "guessed"))

    def _smb(self, command: str, password: str, folder: Path) -> "subprocess.CompletedProcess[str]":
        login = self.folder / "login"
        login.write_text(f"username = {READER}\npassword = {password}\n")
        share = ["//127.0.0.1/recordings", "-p", str(self.smb_port), "-A", str(login), "-t", str(_SMB_S)]
        return subprocess.run(
            ["smbclient", *share, "-c", command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def malformed(self) -> Iterator[str]:
        """Messages that are not of their schema."""
        with self.noc.news:
            messages = [
                (topic, payload) for topic, payload, *_ in self.noc.messages if payload and "/cmd/" not in topic
            ]
        for topic, payload in messages:
            told = json.loads(payload)
            schema = SCHEMA_DIRECTORY / f"{told['schema'].removeprefix('rokubox.').replace('/', '-')}.schema.json"
            validator = jsonschema.Draft202012Validator(json.loads(schema.read_bytes()))
            yield from (f"{topic}: {error.message}" for error in validator.iter_errors(told))


@contextlib.contextmanager
def stand(folder: Path, commands: Sequence[str] = ("selftest",), more: str = "") -> Iterator[Stand]:
    """The broker runs until the context's end; `commands` and `more` (TOML) are for the box's configuration."""
    certificates = folder / "certificates"
    certificates.mkdir()
    authority = Authority(certificates, names=("localhost", "127.0.0.1", HOST))
    certificate, key = authority.issue("box", "TEST-1")
    keys = {
        "noc-ca.pem": authority.ca_file.read_bytes(),
        "box.pem": certificate.read_bytes(),
        "box.key": key.read_bytes(),
        "reader.password": f"{PASSWORD}\n".encode(),
    }
    with broker.running(certificates, authority=authority) as running, Subscriber(running) as noc:
        configuration = CONFIGURATION.format(
            host=HOST,
            port=running.port,
            keys=KEYS,
            network=NETWORK,
            reader=READER,
            commands=json.dumps(list(commands)),
            more=more,
        )
        yield Stand(
            folder=folder,
            noc=noc,
            stick=medium.stick(folder, configuration, keys),
            authority=authority,
            smb_port=broker.free_port(),
        )

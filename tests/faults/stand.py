"""A site with everything running: services, recorder, calls, and the diagnosis that watches."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

from appliance.condition import observed
from appliance.diagnosis.endtoend import testcall
from appliance.diagnosis.endtoend.rig import Outcome
from appliance.diagnosis.endtoend.testcall import Result
from storage.archive import Archive
from tests.faults.player import Player
from tests.faults.site import CARRIER, GATEWAY, NEXT_HOP, Site, run, site

ROKUBOX = Path(sys.executable).with_name("rokubox")
ARCHIVE_BYTES = 900 << 20
CONFIG = """
[site]
customer = "Example"
site = "Lab"
serial = "LAB-1"
[[span]]
interface = "s0"
[management]
interface = "m0"
dns = ["{gateway}"]
ntp = ["{gateway}"]
[probe]
gateway = "{gateway}"
vpn_next_hop = "{next_hop}"
carrier_networks = ["203.0.113.0/24"]
not_observable = ["smart", "power", "temperature"]
[[probe.carrier]]
address = "{carrier}"
[mqtt]
host = "{gateway}"
ca_file = "{folder}/ca.pem"
certificate_file = "{folder}/box.pem"
key_file = "{folder}/box.key"
[storage]
reserve_bytes = 20000000
"""
MOSQUITTO = """
user root
listener 8883 {gateway}
cafile {folder}/ca.pem
certfile {folder}/broker.pem
keyfile {folder}/broker.key
require_certificate true
allow_anonymous true
"""


@dataclass(kw_only=True)
class Stand:
    """One site at work."""

    site: Site
    folder: Path
    archive: Archive
    player: Player
    authority: trustme.CA
    services: dict[str, "subprocess.Popen[str]"] = field(default_factory=dict)
    recorder: "subprocess.Popen[str] | None" = None
    clock: Path
    """What the observer reads of the clock."""
    over: threading.Event = field(default_factory=threading.Event)
    verdicts: list[dict[str, Any]] = field(default_factory=list)

    def pid(self, name: str) -> int:
        return int((self.archive.run / f"{name}.pid").read_text())

    def stop_recorder(self) -> None:
        assert self.recorder is not None
        self.site.stop(self.recorder)

    def follow(self, observer: "subprocess.Popen[str]") -> None:
        assert observer.stdout is not None
        for line in observer.stdout:
            self.verdicts.append(json.loads(line))


@contextlib.contextmanager
def stand(folder: Path) -> Iterator[Stand]:
    """Everything runs when the context is entered."""
    folder.mkdir(parents=True)
    archive = Archive(folder / "archive")
    archive.root.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={ARCHIVE_BYTES}", "faults", str(archive.root))
    try:
        with site() as built, contextlib.ExitStack() as stack:
            made = _made(built, folder, archive)
            stack.callback(made.over.set)
            _start(made)
            stack.callback(made.player.stop)
            yield made
    finally:
        run("umount", "-l", str(archive.root))


def _made(built: Site, folder: Path, archive: Archive) -> Stand:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, host in (("broker", GATEWAY), ("box", "box.example")):
        made = authority.issue_cert(host)
        made.private_key_pem.write_to_path(folder / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    places = {"gateway": GATEWAY, "next_hop": NEXT_HOP, "carrier": CARRIER, "folder": folder}
    (folder / "rokubox.toml").write_text(CONFIG.format(**places))
    (folder / "mosquitto.conf").write_text(MOSQUITTO.format(**places))
    (folder / "clock").write_text("0")
    folder.chmod(0o755)
    player = Player(built.raw("pbx", "p0"), built.raw("vpn", "v0"))
    return Stand(site=built, folder=folder, archive=archive, player=player, authority=authority, clock=folder / "clock")


def _start(made: Stand) -> None:
    built, folder = made.site, made.folder
    for name, node in (("names", "gw"), ("clock", "gw"), ("options", "car")):
        command = (sys.executable, "-m", "tests.faults.services", name)
        made.services[name] = _ready(built.start(node, *command, stdout=subprocess.PIPE))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    made.services["broker"] = built.start("gw", "mosquitto", "-c", str(folder / "mosquitto.conf"), **quiet)
    made.archive.run.mkdir(parents=True)
    known = Result(at_ns=time.time_ns(), took_s=6.0, outcome=Outcome(samples=32_000))
    observed.write(made.archive.run, testcall.NAME, known)
    log = (folder / "recorder.log").open("w")
    config = str(folder / "rokubox.toml")
    record = (str(ROKUBOX), "record", "--config", config, "--archive", str(made.archive.root))
    made.recorder = _ready(built.start("rec", *record, stdout=subprocess.PIPE, stderr=log))
    made.player.start()
    watch = (sys.executable, "-m", "tests.faults.observer", config, str(made.archive.root), str(made.clock))
    observer = built.start("rec", *watch, stdout=subprocess.PIPE, stderr=(folder / "observer.log").open("w"))
    threading.Thread(target=made.follow, args=(observer,), daemon=True).start()


def _ready(process: "subprocess.Popen[str]") -> "subprocess.Popen[str]":
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process

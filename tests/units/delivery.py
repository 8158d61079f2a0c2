"""Recordings delivered by the booted service: to an SFTP server outside, and to a directory that is mounted."""

import contextlib
import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.crash.calls import Plan
from tests.crash.span import Sender
from tests.units.container import Container, wait_until
from tests.units.story import Story
from tests.uploader.targets.sshserved import SSHD, make_key

CONFIGURATION = "/etc/rokubox/rokubox.toml"
SERVER = "192.0.2.1"
"""The other end of the management port's cable."""
KEY, SHARE = "/etc/rokubox/sftp-key", "/mnt/share"
PLAN = Plan(lines=2, seed=11, shortest_s=2, longest_s=3, rounds=1)
LINES = ("0200000000", "0200000001")
"""Who calls in such a plan."""


def delivery(container: Container, folder: Path) -> Story:
    """What is recorded goes through the packet filter to both targets, byte for byte, and has its receipts."""
    story = Story(title="delivered to an SFTP server and to a mounted directory")
    before = container.run("cat", CONFIGURATION)
    container.run("mkdir", "-p", SHARE)
    container.run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", SHARE)
    container.run("chown", "rokubox-upload:", SHARE)
    with _sftp_server(container, folder) as (host_key, store):
        container.write(KEY, (folder / "sftp-client").read_text())
        container.run("chown", "rokubox-upload:", KEY)
        container.run("chmod", "0400", KEY)
        container.write(CONFIGURATION, before + _tables(host_key, store))
        container.run("systemctl", "restart", "rokubox.target")
        container.wait_active("rokubox-capture", "rokubox-assemble", "rokubox-upload")
        sent_before = _recordings(container)
        with Sender(container.where, PLAN, folder) as sender:
            sender.begin()
            sender.wait()
            calls = len(sender.calls())
        wait_until(lambda: len(_recordings(container)) - len(sent_before) >= calls, container.log)
        wanted = {name: digest for name, digest in _recordings(container).items() if name not in sent_before}
        wait_until(lambda: _delivered(container) == {"dr": calls, "share": calls}, lambda: _told(container))
        wait_until(lambda: not _unsettled(container), lambda: _told(container))  # the ledger has the receipts
        shared = container.run("sh", "-c", f"find {SHARE} -name '*.zip' -exec sha256sum {{}} +").splitlines()
    there = {Path(path).name: digest for digest, path in (line.split("  ") for line in shared)}
    story.expect(wanted == {name: _hashes(store).get(name, "") for name in wanted}, "the SFTP server has other bytes")
    story.expect(wanted == {name: there.get(name, "") for name in wanted}, "the directory has other bytes")
    story.done.append(f"{calls} recordings to each of two targets, with the packet filter in force")
    story.expect(container.succeeds("rokubox", "verify", "--config", CONFIGURATION), "the archive does not verify")
    container.write(CONFIGURATION, before)
    container.run("systemctl", "restart", "rokubox.target")
    return story


def _tables(host_key: str, store: Path) -> str:
    lines = ", ".join(f'{{ number = "{line}" }}' for line in LINES)
    return (
        f'\n[[enterprise]]\nid = "E1"\nlines = [{lines}]\ntargets = ["dr", "share"]\n'
        f'[[target]]\nname = "dr"\nurl = "sftp://{SERVER}{store}"\nuser = "root"\nkey_file = "{KEY}"\n'
        f'host_keys = ["{host_key}"]\n[[target]]\nname = "share"\nurl = "file://{SHARE}"\n'
    )


@contextlib.contextmanager
def _sftp_server(container: Container, folder: Path) -> Iterator[tuple[str, Path]]:
    """OpenSSH's server in the network outside; its host key, and the folder it takes files into."""
    host_key, store = make_key(folder / "sftp-host"), folder / "delivered"
    (folder / "sftp-authorized").write_text(make_key(folder / "sftp-client"))
    store.mkdir()
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    configuration = folder / "sshd.conf"
    configuration.write_text(
        f"Port 22\nListenAddress {SERVER}\nHostKey {folder}/sftp-host\nPidFile none\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/sftp-authorized\nPasswordAuthentication no\nPermitRootLogin yes\n"
        f"Subsystem sftp internal-sftp\n"
    )
    with (
        (folder / "sshd.log").open("wb") as log,
        subprocess.Popen(
            container.where.within(str(SSHD), "-D", "-e", "-f", str(configuration)),
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as server,
    ):
        try:
            yield host_key, store
        finally:
            server.terminate()


def _recordings(container: Container) -> dict[str, str]:
    """The finished ones in the archive, by name: SHA-256."""
    return _hashes(container.archive / "recordings")


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("[!.]*.zip")}


def _delivered(container: Container) -> dict[str, int]:
    """By target, as the uploader tells."""
    told = json.loads(container.run("cat", "/var/lib/rokubox/run/upload.json"))
    return {target["name"]: target["delivered"] for target in told["targets"]}


def _unsettled(container: Container) -> list[str]:
    """Deliveries that wait for a target, or whose receipts are not in the ledger yet."""
    told = json.loads(container.run("rokubox", "uploads", "--config", CONFIGURATION, "--json"))
    return [delivery["call_id"] for delivery in told["deliveries"]]


def _told(container: Container) -> str:
    return container.run("rokubox", "uploads", "--config", CONFIGURATION, check=False) + container.log()

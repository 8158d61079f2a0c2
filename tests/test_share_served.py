"""A customer's computer reads the share while recordings are being made: real smbd, real smbclient, loopback only."""

import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.archive import Archive
from storage.ledger import checkpoint, devicekey
from storage.ledger.checkpointfiles import SHARED, SHARED_KEY
from tests.scenario import CALLEE, CALLER, call
from tests.traffic.calls import START_NS, play, together
from tests.traffic.pcapwriter import frames_of, write_pcap

ROKUBOX = Path(sys.executable).with_name("rokubox")
READER, PASSWORD = "nobody", "loopback-only"
CALLS = 150
# The audit goes to syslog: a device directory of the test's own holds the socket, the machine's is left alone.
START = """
set -e
mount -t tmpfs none /dev
for node in "null 1 3" "zero 1 5" "random 1 8" "urandom 1 9" "tty 5 0"; do
  set -- $node; mknod -m 666 /dev/$1 c $2 $3
done
touch /dev/log; mount --bind "$LOG_SOCKET" /dev/log
exec smbd --foreground --configfile "$CONFIGURATION" --port "$PORT" --debuglevel 1
"""

pytestmark = [
    pytest.mark.skipif(not shutil.which("smbd"), reason="samba is not installed"),
    pytest.mark.skipif(not shutil.which("smbclient"), reason="smbclient is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="smbd needs root to take on its users"),
]


@dataclass(frozen=True, kw_only=True)
class Share:
    """A server that runs, and what it has audited."""

    archive: Path
    port: int
    authentication: Path
    audited: list[str]

    def client(self, command: str, folder: Path, *, name: str = "recordings") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["smbclient", f"//127.0.0.1/{name}", "-p", str(self.port), "-A", self.authentication, "-c", command],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def archive() -> Iterator[Path]:
    """An archive in a place that everybody may pass through; pytest's own folders are root's alone."""
    with tempfile.TemporaryDirectory(prefix="rokubox-share-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "archive"


@pytest.fixture
def share(archive: Path, tmp_path: Path) -> Iterator[Share]:
    """`rokubox share-config --samba`, served."""
    (archive / "recordings").mkdir(parents=True)
    state = tmp_path / "samba"
    state.mkdir()
    toml = tmp_path / "rokubox.toml"
    toml.write_text(f'[share]\nreaders = ["{READER}"]\nnetworks = ["127.0.0.1"]\n')
    told = subprocess.run(
        [ROKUBOX, "share-config", "--samba", "--archive", archive, "--config", toml],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    # Only where the server of this test keeps what is its own.
    own = "".join(
        f"\t{key} = {state}\n"
        for key in (
            "private dir",
            "lock directory",
            "state directory",
            "cache directory",
            "pid directory",
            "ncalrpc dir",
        )
    )
    configuration = state / "smb.conf"
    configuration.write_text(
        told.replace("[global]\n", f"[global]\n{own}\tbind interfaces only = yes\n\tinterfaces = lo\n")
    )
    environment = {**os.environ, "CONFIGURATION": str(configuration), "LOG_SOCKET": str(state / "log")}
    subprocess.run(
        ["pdbedit", "-s", configuration, "-a", "-t", "-u", READER],
        input=f"{PASSWORD}\n{PASSWORD}\n",
        text=True,
        check=True,
        capture_output=True,
    )
    authentication = tmp_path / "authentication"
    authentication.write_text(f"username = {READER}\npassword = {PASSWORD}\n")
    port = free_port()
    audited: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog, (state / "out").open("w") as output:
        syslog.bind(str(state / "log"))
        (state / "log").chmod(0o666)
        reading = threading.Thread(target=read_syslog, args=(syslog, audited), daemon=True)
        reading.start()
        server = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", START],
            env={**environment, "PORT": str(port)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        served = Share(archive=archive, port=port, authentication=authentication, audited=audited)
        try:
            wait_until_served(served, server, tmp_path)
            yield served
        finally:
            server.terminate()
            server.wait(20)


def read_syslog(syslog, audited: list[str]) -> None:
    while True:
        try:
            audited.append(syslog.recv(8192).decode())
        except OSError:
            return


def wait_until_served(share: Share, server: "subprocess.Popen[bytes]", folder: Path) -> None:
    for _ in range(60):
        if share.client("ls", folder).returncode == 0:
            return
        assert server.poll() is None, (folder / "samba" / "out").read_text()
        time.sleep(0.1)
    pytest.fail(share.client("ls", folder).stdout + (folder / "samba" / "out").read_text())


def whole_recordings(fetched: Path) -> int:
    """How many recordings there are; each is whole, and so is what the ledger has put beside them."""
    recordings = [path for path in fetched.rglob("*") if path.is_file() and path.suffix == ".zip"]
    for path in recordings:
        with zipfile.ZipFile(path) as stored:
            assert sorted(stored.namelist()) == ["audio.wav", "call.json"]
            assert stored.testzip() is None
    signed, key = fetched / SHARED, fetched / SHARED_KEY
    assert {path for path in fetched.rglob("*") if path.is_file()} - {signed, key} == set(recordings)
    if signed.exists() and key.exists():
        assert checkpoint.parse(signed.read_bytes()).is_signed_by(devicekey.read_public(key))
    return len(recordings)


def test_complete_recordings_only_while_an_import_goes_on(share: Share, tmp_path: Path) -> None:
    capture = tmp_path / "calls.pcap"
    # One after the other, so that recordings appear all through the import.
    calls = [
        play(call(f"call-{number}", talk_s=5.0, start_ns=START_NS + number * 8 * 10**9)) for number in range(CALLS)
    ]
    write_pcap(capture, frames_of(together(calls)))
    importing = subprocess.Popen([ROKUBOX, "import", capture, "--output", share.archive], stdout=subprocess.DEVNULL)
    seen: list[int] = []
    rounds = 0
    try:
        while importing.poll() is None or seen[-1:] != [CALLS]:
            fetched = tmp_path / f"fetched-{rounds}"
            fetched.mkdir()
            done = share.client("recurse on; prompt off; mget *", fetched)
            assert done.returncode == 0, done.stdout
            seen.append(whole_recordings(fetched))
            rounds += 1
            assert rounds < 100, seen
            shutil.rmtree(fetched)
    finally:
        importing.kill()
        assert importing.wait() in (0, -9)
    assert seen == sorted(seen)
    assert seen[0] < CALLS, "nothing was read while the import went on"
    assert (share.archive / "recordings" / SHARED).exists()
    for path in (share.archive / "recordings").rglob("*"):
        assert path.stat().st_mode & 0o7777 == (0o750 if path.is_dir() else 0o640)


def test_nothing_can_be_written_and_nothing_else_be_seen(share: Share, tmp_path: Path) -> None:
    day = share.archive / "recordings" / "2026" / "01" / "02"
    day.mkdir(parents=True)
    kept = day / "録音.zip"
    kept.write_bytes(b"kept")
    (day / ".draft").write_bytes(b"hidden")
    (day / "way-out").symlink_to("/etc/passwd")
    (share.archive / "spool").mkdir()
    (tmp_path / "new").write_text("new")
    listing = share.client("recurse on; ls", tmp_path).stdout
    assert "録音.zip" in listing
    assert ".draft" not in listing
    assert "spool" not in listing
    for command in ("put new", r"del 2026\01\02\録音.zip", r"rename 2026\01\02\録音.zip x", "mkdir folder"):
        assert "NT_STATUS_" in share.client(command, tmp_path).stdout
    for path in (r"2026\01\02\.draft", r"2026\01\02\way-out", r"..\spool"):
        assert "NT_STATUS_" in share.client(f"get {path} got", tmp_path).stdout
        assert not (tmp_path / "got").exists()
    assert share.client("ls", tmp_path, name="archive").returncode != 0
    assert kept.read_bytes() == b"kept"
    assert sorted(path.name for path in day.iterdir()) == [".draft", "way-out", "録音.zip"]


def test_who_read_what_is_logged(share: Share, tmp_path: Path) -> None:
    day = share.archive / "recordings" / "2026" / "01" / "02"
    day.mkdir(parents=True)
    name = f"20260102T030405+0900_out_{CALLER.number}_{CALLEE.number}_0123456789_p01.zip"
    (day / name).write_bytes(b"x")
    assert share.client(rf"get 2026\01\02\{name} got", tmp_path).returncode == 0
    local5_notice = 21 << 3 | 5
    who = rf"{pwd.getpwnam(READER).pw_name}\|127\.0\.0\.1\|recordings"
    pattern = rf"<{local5_notice}>.*smbd_audit.*: {who}\|create_file\|ok\|.*{re.escape(name)}"
    for _ in range(100):
        if any(re.search(pattern, line) for line in share.audited):
            return
        time.sleep(0.05)
    pytest.fail("\n".join(share.audited))


def test_the_commands_own_errors(tmp_path: Path) -> None:
    def refused(*arguments: str) -> tuple[int, str]:
        done = subprocess.run([ROKUBOX, "share-config", *arguments], capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    missing = str(tmp_path / "none")
    code, told = refused("--samba", "--archive", missing)
    assert (code, told.splitlines()) == (
        3,
        [f"rokubox: {missing}/recordings: No such file or directory; it is made by the first recording"],
    )
    (tmp_path / "recordings").mkdir()
    code, told = refused("--nfs", "--archive", str(tmp_path))
    assert (code, told) == (2, "rokubox: [share] networks: name the networks that may mount the NFS export\n")
    assert Archive(tmp_path).recordings.is_dir()

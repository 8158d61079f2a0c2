"""The carrier logs in, drops its files, and they are recordings: OpenSSH with the configuration that `rokubox` writes,
and both daemons."""

import getpass
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage import partreader
from storage.archive import Archive
from storage.call_record import CallRecord
from storage.ledger.entries import Inbox
from storage.ledger.view import LedgerView
from storage.vocabulary import Flag, Outcome, Source
from tests.storage.retention.archives import call_id, make
from tests.uploader.daemons import begin, delivering, status, until
from tests.uploader.inbox.delivered import BAD, good, samples_of, wav
from tests.uploader.targets.served import free_port
from tests.uploader.targets.sshserved import SSHD, make_key

ROKUBOX = Path(sys.executable).with_name("rokubox")
NAME = "20260102030406_0312345678_0698765432.zip"
USER = "nobody"


def rokubox(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROKUBOX, *map(str, arguments)], capture_output=True, text=True, check=False)


def configured(folder: Path, drop: Path, port: int = 2022) -> Path:
    path = folder / "rokubox.toml"
    path.write_text(
        f'[[enterprise]]\nid = "E1"\nlines = [{{ number = "0312345678" }}]\n'
        f'[inbox]\ndirectory = "{drop}"\nsettle_s = 1.0\nsftp_user = "{USER}"\nsftp_port = {port}\n'
        f'sftp_address = "127.0.0.1"\nauthorized_keys_file = "{folder}/authorized"\n'
    )
    return path


def calls(root: Path) -> dict[Source, list[CallRecord]]:
    found: dict[Source, list[CallRecord]] = {}
    for record in Archive(root).calls(lambda error: pytest.fail(str(error))):
        found.setdefault(record.source, []).append(record)
    return found


def joins(root: Path) -> list[Inbox]:
    return [line.entry for line in LedgerView(Archive(root).ledger).lines() if isinstance(line.entry, Inbox)]


def test_delivered_joined_and_stored_and_what_is_wrong_set_aside(tmp_path: Path) -> None:
    root, drop = tmp_path / "archive", tmp_path / "drop"
    drop.mkdir()
    make(root, 2)  # what was seen on the mirror
    config = configured(tmp_path, drop)
    (drop / NAME).write_bytes(good())
    split = [f"20260102050000_0312345678_0355551234_{part}of2.zip" for part in (2, 1)]
    for part, name in zip((2, 1), split, strict=True):
        (drop / name).write_bytes(good(seed=part, channels=1, frames=4000 * part))
    make_bad, _ = BAD["wrong crc"]
    (drop / "20260102060000_1_2.zip").write_bytes(make_bad())
    with delivering(root, config) as upload:
        until(lambda: not list(drop.iterdir()), root)
        until(lambda: (told := status(root)) and told.inbox and told.inbox.stored == 2 and told.inbox.set_aside, root)
        (drop / NAME).write_bytes(good())  # the carrier has not heard that it came
        until(lambda: not list(drop.iterdir()), root)
        upload.kill()
    delivered = {record.callee.number: record for record in calls(root)[Source.DELIVERED]}
    assert set(delivered) == {"0698765432", "0355551234"}
    one, two = delivered["0698765432"], delivered["0355551234"]
    assert (one.outcome, one.enterprise, one.direction, one.flags) == (Outcome.RECORDED, "E1", "out", ())
    assert (two.flags, [part.first_sample for part in two.parts]) == ((Flag.MONO,), [0, 4000])
    stored = [
        partreader.read_samples(Archive(root).part_path(part.name)) for record in (one, two) for part in record.parts
    ]
    assert (stored[0] == samples_of(wav())).all()
    for samples, part in zip(stored[1:], (1, 2), strict=True):
        assert (samples == samples_of(wav(seed=part, channels=1, frames=4000 * part))).all()
    [first, second] = sorted(joins(root), key=lambda entry: entry.joined is None)
    assert (first.call_id, first.joined) == (one.call_id, call_id(0))
    assert "same caller and callee, starts 0.9 s apart" in first.why
    assert (second.joined, len(second.files)) == (None, 2)
    shown = rokubox("inbox", "--archive", root, "--config", config)
    assert "damaged" in shown.stdout
    assert rokubox("verify", "--archive", root).returncode == 0
    assert call_id(0)[:10] in rokubox("search", "--archive", root, "--number", "0698765432", "--json").stdout


@pytest.mark.thorough
def test_killed_while_it_takes_in(tmp_path: Path) -> None:
    """However often the uploader dies, each file becomes one recording and one line."""
    root, drop = tmp_path / "archive", tmp_path / "drop"
    drop.mkdir()
    make(root, 1)
    config = configured(tmp_path, drop)
    for number in range(40):
        (drop / f"202601020{number // 10}{number % 10:02d}00_0312345678_06{number:04d}.zip").write_bytes(
            good(seed=number, frames=60_000)
        )
    owner = begin("assemble", root, config)
    try:
        for _ in range(30):
            uploader = begin("upload", root, config)
            try:
                uploader.wait(2.5)
            except subprocess.TimeoutExpired:
                uploader.kill()
            uploader.wait()
            if not list(drop.iterdir()):
                break
    finally:
        owner.kill()
        owner.wait()
    assert not list(drop.iterdir())
    assert len(calls(root)[Source.DELIVERED]) == 40
    assert len(joins(root)) == len({entry.call_id for entry in joins(root)}) == 40
    assert rokubox("verify", "--archive", root).returncode == 0


@contextmanager
def carrier_server(folder: Path, config: Path, port: int) -> Iterator[None]:
    host_key = make_key(folder / "host")
    told = rokubox("inbox", "--config", config, "--sshd-config", "--host-key", folder / "host")
    assert told.returncode == 0
    (folder / "sshd_config").write_text(told.stdout)
    (folder / "known").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    checked = subprocess.run([str(SSHD), "-t", "-f", folder / "sshd_config"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    with (folder / "sshd.log").open("w") as log:
        server = subprocess.Popen(
            [str(SSHD), "-D", "-e", "-f", folder / "sshd_config"], stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        server.terminate()
        server.wait()


@pytest.mark.thorough
@pytest.mark.skipif(SSHD is None or os.geteuid() != 0, reason="needs sshd and root")
def test_the_generated_sftp_server_takes_files_and_nothing_else(tmp_path: Path) -> None:
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    # Every folder above a chroot has to belong to root alone: not below /tmp.
    with tempfile.TemporaryDirectory(dir="/var/lib", prefix="rokubox-test-") as place:
        chroot = Path(place) / "inbox"
        drop = chroot / "drop"
        drop.mkdir(parents=True)
        for folder in (Path(place), chroot):
            folder.chmod(0o755)
        shutil.chown(drop, USER)
        drop.chmod(0o770)
        port = free_port()
        config = configured(Path(place), drop, port)
        (Path(place) / "authorized").write_text(make_key(tmp_path / "carrier"))
        secret = chroot.parent / "secret"
        secret.write_text("not for the carrier")
        (tmp_path / "call.zip").write_bytes(good())
        with carrier_server(tmp_path, config, port):
            options = [
                "-o",
                f"UserKnownHostsFile={tmp_path}/known",
                "-i",
                str(tmp_path / "carrier"),
                "-o",
                "BatchMode=yes",
            ]

            def sftp(*commands: str) -> subprocess.CompletedProcess[str]:
                return subprocess.run(
                    ["sftp", "-b", "-", *options, "-P", str(port), f"{USER}@127.0.0.1"],
                    input="\n".join(commands),
                    capture_output=True,
                    text=True,
                    timeout=60,
                )

            until_up(sftp)
            assert sftp(f"put {tmp_path}/call.zip {NAME}").returncode == 0
            assert (drop / NAME).read_bytes() == good()
            assert (drop / NAME).stat().st_mode & 0o007 == 0
            assert sftp("get ../../secret " + str(tmp_path / "stolen")).returncode != 0
            assert sftp(f"put {tmp_path}/call.zip /outside.zip").returncode != 0
            assert sftp(f"get /etc/passwd {tmp_path}/passwd").returncode != 0
            shell = subprocess.run(
                ["ssh", *options, "-p", str(port), f"{USER}@127.0.0.1", "id"],
                capture_output=True,
                text=True,
                timeout=30,
            )
            assert "uid=" not in shell.stdout
            other = subprocess.run(
                ["ssh", *options, "-p", str(port), f"{getpass.getuser()}@127.0.0.1", "id"],
                capture_output=True,
                text=True,
                timeout=30,
            )
            assert other.returncode != 0


def until_up(sftp) -> None:
    for _ in range(50):
        if sftp("pwd").returncode == 0:
            return
    raise AssertionError("the server does not answer")

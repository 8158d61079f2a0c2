"""What only the image has, checked without building it."""

import re
import subprocess
from pathlib import Path

from tests.units.test_unit_files import DAEMON_EXPOSURE, PROGRAMS, UNITS, needs_systemd

OVERLAY = Path(__file__).parents[2] / "image" / "overlay"
SERVERS = {"rokubox-share.service": 2.5, "rokubox-ssh.service": 3.0}
"""Servers of others that take on their users and so are root: how far they may be exposed."""
STATUS = "rokubox-status@.service"


def unit(name: str) -> Path:
    return OVERLAY / "usr/lib/systemd/system" / name


@needs_systemd
def test_servers_that_are_root_are_no_more_exposed_than_they_must_be() -> None:
    told = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=yes",
            "--no-pager",
            *(str(unit(name)) for name in (*SERVERS, STATUS)),
        ],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found = dict(re.findall(r"Overall exposure level for (\S+): (\d+\.\d+)", told.replace("@i.", "@.")))
    bounds = {**SERVERS, STATUS: DAEMON_EXPOSURE}
    assert found.keys() == bounds.keys()
    assert {name: figure for name, figure in found.items() if float(figure) > bounds[name]} == {}


@needs_systemd
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    units = [*UNITS.iterdir(), *(unit(name) for name in (*SERVERS, STATUS))]
    for file in units:
        text = file.read_text()
        for program in re.findall(rf"{PROGRAMS}/(\S+)", text):
            (programs / program).touch(mode=0o755)
        text = text.replace(PROGRAMS, str(programs))
        (tmp_path / file.name).write_text(re.sub("/usr/sbin/(nft|smbd|sshd)", "/bin/true", text))
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in (*SERVERS, STATUS))],
        env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_servers_run_only_when_they_are_asked_for() -> None:
    for name in SERVERS:
        assert "ConditionPathExists=/run/rokubox/" in unit(name).read_text()


def test_no_server_of_a_package_begins_by_itself() -> None:
    build = (OVERLAY.parent / "build").read_text()
    masked = build.split("mask ")[1].split("systemctl")[0]
    assert "ssh.{service,socket}" in masked
    assert "{smbd,nmbd,samba-ad-dc}.service" in masked
    assert "etc/ssh/ssh_host_*" in build


def test_nobody_logs_in_on_a_console() -> None:
    build = (OVERLAY.parent / "build").read_text()
    assert "{getty@,serial-getty@,autovt@,console-getty}.service" in build.split("mask ")[1].split("systemctl")[0]
    assert "rokubox-status@{tty1,ttyS0}" in build
    assert "StandardInput=tty\n" in unit(STATUS).read_text()

"""The unit files and what lies beside them, checked without starting anything."""

import os
import re
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

from appliance import cli, config

REPOSITORY = Path(__file__).parents[2]
SYSTEMD = REPOSITORY / "systemd"
UNITS = SYSTEMD / "system"
PROGRAMS = "/usr/lib/rokubox/bin"
SERVICES = sorted(UNITS.glob("*.service"))
PRIVILEGED = {
    "rokubox-disk.service",
    "rokubox-testcall.service",
    "rokubox-recovery@.service",
    "rokubox-silence.service",
    "rokubox-firewall.service",
    "rokubox-firstboot.service",
    "rokubox-settings.service",
    "rokubox-restart.service",
    "rokubox-trial.service",
    "rokubox-update-medium.service",
}
OWNERS = {
    "journal": "rokubox-capture",
    "upload": "rokubox-upload",
    "agent": "rokubox-agent",
    "selftest": "rokubox-selftest",
}
"""Of folders of the archive; the others are assembly's."""
SHARED = {
    "journal": ("rokubox-journal", 0o2751),
    "quarantine": ("rokubox-journal", 0o2755),
    "run": ("rokubox", 0o3770),
    "ledger": ("rokubox", 0o2750),
    "calls": ("rokubox-records", 0o2750),
    "late": ("rokubox-records", 0o2750),
    "recordings": ("rokubox-audio", 0o2750),
    "upload": ("rokubox-audio", 0o2750),  # the archive's owner reads the queue, and what the carrier has delivered
    "agent": ("rokubox", 0o2750),
}
"""Group and mode; the others are their owner's alone."""
DAEMON_EXPOSURE, PRIVILEGED_EXPOSURE = 1.5, 2.5

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners of files are set by root")


def values(unit: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


@needs_systemd
def test_no_service_is_exposed_more_than_it_must_be() -> None:
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", *map(str, SERVICES)],
        capture_output=True,
        text=True,
        check=False,  # it fails above 10, which nothing reaches
    ).stdout
    exposure = {
        unit.replace("@i.", "@."): float(figure)
        for unit, figure in re.findall(r"Overall exposure level for (\S+): (\d+\.\d+)", told)
    }
    assert exposure.keys() == {unit.name for unit in SERVICES}
    bound = {unit: PRIVILEGED_EXPOSURE if unit in PRIVILEGED else DAEMON_EXPOSURE for unit in exposure}
    assert {unit: figure for unit, figure in exposure.items() if figure > bound[unit]} == {}


def test_what_is_privileged_says_why_and_is_no_daemon() -> None:
    for unit in SERVICES:
        text = unit.read_text()
        assert ("# Privileged, exposure up to 2.5: " in text) == (unit.name in PRIVILEGED), unit.name
        assert "Type=oneshot" in text or unit.name not in PRIVILEGED, unit.name


@needs_systemd
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for unit in UNITS.iterdir():
        text = unit.read_text()
        for program in re.findall(rf"{PROGRAMS}/(\S+)", text):
            (programs / program).touch(mode=0o755)
        text = text.replace(PROGRAMS, str(programs)).replace("/usr/sbin/nft", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / unit.name) for unit in UNITS.iterdir())],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_who_asks_ip_may_give_up_capabilities() -> None:
    for name in ("agent", "selftest"):
        assert "capset" in " ".join(values(UNITS / f"rokubox-{name}.service", "SystemCallFilter")).split()


def test_every_command_exists() -> None:
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
    for unit in SERVICES:
        for line in values(unit, "ExecStart"):
            if line.startswith(PROGRAMS):
                program, *words = line.removeprefix(f"{PROGRAMS}/").split()
                assert program in scripts, unit.name
                if program == "rokubox":
                    arguments = [word for word in words if not word.startswith("$")]
                    cli.parser().parse_args(arguments)


def test_the_configuration_that_ships_fits_the_services() -> None:
    shipped = config.read(SYSTEMD / "rokubox.toml")
    assert [span.interface for span in shipped.span] == ["span0"]
    root = shipped.storage.archive
    for unit in SERVICES:
        written = " ".join(values(unit, "ReadWritePaths")).split()
        assert all(path.startswith((root, "/run/rokubox/")) for path in written) or unit.name in (
            "rokubox-firstboot.service",
            "rokubox-settings.service",
        ), unit.name


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A file system's root with the users, groups and folders that are declared."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr/share/rokubox").mkdir(parents=True)
    shutil.copy(SYSTEMD / "rokubox.toml", tmp_path / "usr/share/rokubox")
    for tool, folder in (("systemd-sysusers", "sysusers.d"), ("systemd-tmpfiles", "tmpfiles.d")):
        create = ["--create"] if tool == "systemd-tmpfiles" else []
        told = subprocess.run(
            [tool, f"--root={tmp_path}", *create, str(SYSTEMD / folder / "rokubox.conf")],
            capture_output=True,
            text=True,
            check=True,
        )
        assert [line for line in told.stderr.splitlines() if not line.startswith("Creating ")] == []
    return tmp_path


@needs_systemd
@needs_root
def test_users_and_folders(root: Path) -> None:
    users = {line.split(":")[0]: line.split(":") for line in (root / "etc/passwd").read_text().splitlines()}
    groups = {}
    for line in (root / "etc/group").read_text().splitlines():
        name, _, gid, members = line.split(":")
        groups[name] = (int(gid), members.split(","))
    for unit in SERVICES:
        assert set(values(unit, "User")) <= users.keys(), unit.name
        assert set(values(unit, "Group")) <= groups.keys(), unit.name
    assert all(user[6].endswith("nologin") for user in users.values() if user[0].startswith("rokubox-"))
    assert {name for name in groups if "rokubox-capture" in groups[name][1]} == {"rokubox", "rokubox-journal"}
    assert set(groups["rokubox-audio"][1]) == {"rokubox-assemble", "rokubox-upload"}
    assert set(groups["rokubox-records"][1]) == {"rokubox-assemble", "rokubox-upload", "rokubox-agent"}
    found = {folder.name: folder.stat() for folder in (root / "var/lib/rokubox").iterdir()}
    for name, status in found.items():
        owner = OWNERS.get(name, "rokubox-assemble")
        assert status.st_uid == int(users[owner][2]), name
        group, mode = SHARED.get(name, (owner, 0o700))
        assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (groups[group][0], mode), name
    assert found.keys() >= SHARED.keys() | OWNERS.keys()
    settings = root / "etc/rokubox/rokubox.toml"
    assert (stat.S_IMODE(settings.stat().st_mode), settings.stat().st_uid) == (0o640, 0)


@needs_root
@pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")
@pytest.mark.parametrize("name", ["span", "management"])
def test_packet_filters_are_accepted(name: str) -> None:
    file = SYSTEMD / "nftables" / f"{name}.nft"
    told = subprocess.run(["unshare", "--net", "nft", "--check", "--file", file], capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")

"""The image's system booted in a container: a medium taken, the network that follows, who is let in and who is not.

    python -m tests.image.life build/image/tree

What a container cannot have (a disk, a VLAN where the kernel has none, udev's look at a stick) an emulated machine has.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.image import machine
from tests.units.container import MANAGEMENT, OUTSIDE, Container, booted, wait_until
from tests.units.story import Story, is_proven

MEDIUM, RESULT = "/root/medium", "/root/medium/rokubox-result.txt"
BOX, WE = "192.0.2.10", "192.0.2.1"
PASSWORD = "loopback-only"
SHIPPED = "/usr/share/rokubox/rokubox.toml"
CONFIGURATION = f"""
[site]
site = "osaka"
[management]
interface = "{MANAGEMENT}"
address = "{BOX}/24"
gateway = "{WE}"
dns = ["192.0.2.53"]
ntp = ["192.0.2.123"]
"""
OPEN = """
[share]
networks = ["192.0.2.0/24"]
[[share.user]]
name = "suzuki"
password_file = "/etc/rokubox/keys/suzuki.password"
[ssh]
authorized_keys_file = "/etc/rokubox/keys/ssh_authorized_keys"
networks = ["192.0.2.0/24"]
"""
_OF_A_DISK = ("rokubox-grow.service",)
"""What has to fail in a container."""
SERVERS = ("rokubox-share.service", "rokubox-ssh.service")


def main() -> int:
    """1 if something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path)
    tree = parser.parse_args().tree
    if reason := machine.why_not():
        print(f"not possible: {reason}")
        return 1
    with tempfile.TemporaryDirectory(prefix="life") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "archive").mkdir()
        with booted(tree, folder / "archive") as container:
            _plug_in(container)
            proven = [
                is_proven(lambda: closed(container)),
                is_proven(lambda: refused(container)),
                is_proven(lambda: accepted(container, folder)),
                is_proven(lambda: shared(container, folder)),
                is_proven(lambda: logged_in(container, folder)),
                is_proven(lambda: too_late(container)),
                is_proven(lambda: status(container)),
                is_proven(lambda: consoles(container)),
            ]
            if not all(proven):
                print(container.log(200))
        return int(not all(proven))


def closed(container: Container) -> Story:
    """Before anything is configured nothing listens, and the first address is asked for by DHCP."""
    story = Story(title="as shipped")
    container.wait_active("multi-user.target")
    failed = container.run("systemctl", "list-units", "--failed", "--plain", "--no-legend").splitlines()
    failed = [line for line in failed if not line.startswith(_OF_A_DISK)]
    story.expect(not failed, f"failed units: {failed}")
    for unit in (*SERVERS, "ssh.service", "smbd.service", "nmbd.service"):
        story.expect(not container.is_active(unit), f"{unit} runs")
    listening = container.run("ss", "--no-header", "--listening", "--tcp", "--udp", "--numeric")
    story.expect(not listening, f"somebody listens: {listening}")
    story.expect(not container.succeeds("ls", "/etc/ssh/ssh_host_ed25519_key"), "the image has a host key")
    shells = [line for line in container.run("cat", "/etc/shadow").splitlines() if line.split(":")[1][:1] not in "!*"]
    story.expect(not shells, f"somebody has a password: {shells}")
    files = container.run("ls", "/run/systemd/network")
    story.expect("20-rokubox-management.network" in files, f"/run/systemd/network: {files}")
    serial = container.run("cat", "/etc/rokubox/serial")
    story.done.append(f"nothing listens, no server runs, no host key, no password; serial number {serial}")
    return story


def refused(container: Container) -> Story:
    """Every problem is told, on the medium and for the status page; the box stays as it was."""
    story = Story(title="a medium with mistakes")
    _write(container, CONFIGURATION + OPEN + "[portal]\n")
    container.write(f"{MEDIUM}/keys/suzuki.password", "short\n")
    _take(container)
    told = container.run("cat", RESULT)
    for problem in ("portal: unknown key",):
        story.expect(problem in told, f"not told: {problem}: {told}")
    story.expect('"refused"' in container.run("cat", "/run/rokubox/provisioning.json"), "the status page is not told")
    story.expect(container.succeeds("cmp", "/etc/rokubox/rokubox.toml", SHIPPED), "it was changed")
    story.done.append(told.splitlines()[0])
    return story


def accepted(container: Container, folder: Path) -> Story:
    """A medium that is right: network, firewall and servers follow at once."""
    story = Story(title="a medium that is right: address, gateway, name and time servers at once")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
    _write(container, CONFIGURATION + OPEN)
    container.write(f"{MEDIUM}/keys/suzuki.password", f"{PASSWORD}\n")
    container.write(f"{MEDIUM}/keys/ssh_authorized_keys", (folder / "key.pub").read_text())
    _take(container)
    told = container.run("cat", RESULT)
    story.done.append(told.splitlines()[0])
    story.expect(told.startswith("rokubox: accepted"), told)
    wait_until(lambda: BOX in container.run("ip", "-4", "address", "show", MANAGEMENT), container.log)
    wait_until(lambda: f"via {WE}" in container.run("ip", "route", "show", "default"), container.log)
    wait_until(lambda: "192.0.2.53" in container.run("cat", "/etc/resolv.conf"), container.log)
    span = container.run("ip", "-br", "address", "show", "span0")
    story.expect(len(span.split()) == 2, f"the mirror port: {span}")
    container.wait_active(*SERVERS, "rokubox-capture.service", "rokubox-assemble.service", "rokubox-agent.service")
    ports = sorted(
        line.split()[3].rpartition(":")[2]
        for line in container.run("ss", "--no-header", "--listening", "--tcp", "--numeric", "--ipv4").splitlines()
    )
    story.expect(ports == ["22", "445"], f"ports: {ports}")
    story.done.append(f"{BOX}, via {WE}, name server and time server; mirror port without address; TCP {ports}")
    return story


def shared(container: Container, folder: Path) -> Story:
    """A reader with his password gets the recordings and nothing else; nobody else gets in."""
    story = Story(title="the share")
    container.run("install", "-m", "0640", "-o", "rokubox-assemble", "-g", "rokubox-audio", SHIPPED,
                  "/var/lib/rokubox/recordings/a.zip")  # fmt: skip
    good, bad = (_smb(container, folder, password, "get a.zip got; put key.pub put") for password in (PASSWORD, "else"))
    story.expect((folder / "got").read_bytes() == (container.archive / "recordings/a.zip").read_bytes(), good)
    story.expect("NT_STATUS_ACCESS_DENIED" in good or "MEDIA_WRITE_PROTECTED" in good, f"written: {good}")
    story.expect("NT_STATUS_LOGON_FAILURE" in bad, f"with a wrong password: {bad}")
    seen = container.run("nsenter", "--target", str(container.pid("rokubox-share.service")), "--mount",
                         "ls", "/var/lib/rokubox")  # fmt: skip
    story.expect(seen == "recordings", f"smbd sees {seen}")
    audit = container.run("journalctl", "--boot", "--identifier=smbd_audit", "--output=cat", check=False)
    story.expect("suzuki|192.0.2.1|recordings|create_file" in audit, f"audit: {audit}")
    story.done.append("read with a password, not written; smbd sees recordings/ alone; who read what is in the log")
    container.run("rm", "/var/lib/rokubox/recordings/a.zip")
    return story


def logged_in(container: Container, folder: Path) -> Story:
    """The key opens a shell without rights; no password does, and root does not."""
    story = Story(title="SSH")
    told = _ssh(container, folder, "technician", "id -un; rokubox alarms --config /etc/rokubox/rokubox.toml; "
                "touch /var/lib/rokubox/x; ls /var/lib/rokubox/recordings; cat /etc/shadow")  # fmt: skip
    story.expect(told.startswith("technician\n"), told)
    for what in ("touch: cannot touch", "recordings': Permission denied", "/etc/shadow: Permission denied"):
        story.expect(what in told, f"not refused: {what}: {told}")
    story.expect("Permission denied (publickey)" in _ssh(container, folder, "root", "id"), "root gets in")
    key = container.run("stat", "-c", "%a %U", "/var/lib/rokubox-ssh/ssh_host_ed25519_key")
    story.expect(key == "600 root", f"host key: {key}")
    story.done.append("technician in by key, no rights, no speech; root refused; host key made on the box")
    return story


def too_late(container: Container) -> Story:
    """A box that has a configuration takes no other one, and says so."""
    story = Story(title="another medium later")
    _take(container)
    same = container.run("head", "-n", "1", RESULT)
    _write(container, CONFIGURATION)
    _take(container)
    told = container.run("head", "-n", "1", RESULT)
    story.expect("nothing to do" in same, same)
    story.expect("another configuration already" in told, told)
    story.expect("[ssh]" in container.run("cat", "/etc/rokubox/rokubox.toml"), "it was changed")
    story.done += [same, told]
    return story


def status(container: Container) -> Story:
    """The status page, as its user sees it."""
    story = Story(title="the status page")
    as_user = ("setpriv", "--reuid=rokubox-status", "--regid=rokubox-status", "--groups=rokubox")
    shown = (*as_user, "rokubox", "status", "--language", "en")
    wait_until(lambda: "frames/s" in container.run(*shown), container.log)  # two samples of its counters
    lines = container.run(*shown).splitlines()
    story.done += lines
    for wanted in (f"{MANAGEMENT}  {BOX}/24", "recorded 0", "another configuration already"):
        story.expect(any(wanted in line for line in lines), f"not on the page: {wanted}")
    return story


def consoles(container: Container) -> Story:
    """The pages on screen and serial port, each in its unit's sandbox; terminals of a program stand in for both."""
    story = Story(title="the consoles")
    container.write("/root/line.py", _LINE)
    for name, language in (("ttyS0", "通話 / calls"), ("tty1", "calls  ")):
        container.run("systemd-run", f"--unit=line-{name}", "python3", "/root/line.py", name)
        wait_until(lambda name=name: container.succeeds("test", "-s", f"/root/{name}.name"), container.log)  # type: ignore[misc]
        slave = container.run("cat", f"/root/{name}.name")
        container.run("sh", "-c", f"touch /dev/{name} && mount --bind {slave} /dev/{name}")
        unit = f"rokubox-status@{name}.service"
        container.run("systemctl", "start", "--no-block", unit)
        wanted = (language, f"{BOX}/24", "frames/s")

        def shows(name: str = name, wanted: tuple[str, ...] = wanted) -> bool:
            told = container.run("tail", "-c", "4000", f"/root/{name}.out", check=False)
            return all(each in told for each in wanted)

        wait_until(shows, container.log)
        story.done.append(f"{name}: {', '.join(wanted)}")
        story.expect(container.restarts(unit) == 0, f"{unit} was started again")
        container.run("systemctl", "stop", unit)
    rows = container.run("cat", "/var/lib/rokubox/agent/status.json")
    story.expect('"no_address"' not in rows, f"the agent in its sandbox sees no address: {rows}")
    return story


_LINE = """
import os, pty, sys, time
ours, theirs = pty.openpty()
with open(f"/root/{sys.argv[1]}.name", "w") as name:
    name.write(os.ttyname(theirs))
with open(f"/root/{sys.argv[1]}.out", "wb", buffering=0) as out:
    while True:
        try:
            out.write(os.read(ours, 65536))
        except OSError:
            time.sleep(0.2)
"""
"""A terminal of a program: what is written to it goes into a file."""


def _plug_in(container: Container) -> None:
    """Our end of the management cable; a folder in place of a stick, which a container cannot have."""
    for command in (("address", "add", f"{WE}/24", "dev", OUTSIDE), ("link", "set", OUTSIDE, "up")):
        subprocess.run(["ip", "-n", container.where.name, *command], check=True)
    mount = "run-rokubox-medium.mount"
    container.write(f"/run/systemd/system/{mount}.d/test.conf", f"[Mount]\nWhat={MEDIUM}\nOptions=bind\n")
    container.run("mkdir", "-p", f"{MEDIUM}/keys")
    container.run("systemctl", "daemon-reload")


def _write(container: Container, more: str) -> None:
    container.write(f"{MEDIUM}/rokubox.toml", container.run("cat", SHIPPED) + more)


def _take(container: Container) -> None:
    container.run("rm", "-f", RESULT)
    container.run("systemctl", "start", "rokubox-firstboot.service", check=False)
    wait_until(lambda: not container.is_active("run-rokubox-medium.mount"), container.log)


def _smb(container: Container, folder: Path, password: str, command: str) -> str:
    asked = ["smbclient", f"//{BOX}/recordings", "-U", f"suzuki%{password}", "-c", command]
    told = subprocess.run(container.where.within(*asked), cwd=folder, capture_output=True, text=True, timeout=60)
    return told.stdout + told.stderr


def _ssh(container: Container, folder: Path, user: str, command: str) -> str:
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    asked = ["ssh", "-F", "none", *options, "-o", "BatchMode=yes", "-i", str(folder / "key"), f"{user}@{BOX}", command]
    told = subprocess.run(container.where.within(*asked), capture_output=True, text=True, timeout=60)
    return told.stdout + told.stderr


if __name__ == "__main__":
    sys.exit(main())

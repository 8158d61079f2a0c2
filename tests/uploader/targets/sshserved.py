"""OpenSSH's sshd with its own keys, its SFTP server below a folder."""

import getpass
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.uploader.targets.served import Served, free_port
from uploader.settings import TargetSettings

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def make_key(path: Path) -> str:
    """A new key pair; returns the public one."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


class SftpServed(Served):
    def __init__(self, folder: Path, store: Path | None = None) -> None:
        super().__init__(folder, store)
        if SSHD is None:
            pytest.skip("no sshd")
        self.port = free_port()
        self.host_key = make_key(folder / "host")
        (folder / "authorized").write_text(make_key(folder / "client"))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        (folder / "sshd.conf").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nPasswordAuthentication no\n"
            f"KbdInteractiveAuthentication no\nUsePAM no\nPermitRootLogin yes\nMaxStartups 100\n"
            f"Subsystem sftp internal-sftp\n"
        )

    @property
    def settings(self) -> TargetSettings:
        return TargetSettings(
            name="sftp",
            url=f"sftp://127.0.0.1:{self.port}{quote(str(self.below))}",
            user=getpass.getuser(),
            key_file=str(self.folder / "client"),
            host_keys=(self.host_key,),
        )

    def impostor(self) -> TargetSettings:
        return replace(self.settings, host_keys=(make_key(self.folder / "other_host"),))

    def intruder(self) -> TargetSettings:
        make_key(self.folder / "other_client")
        return replace(self.settings, key_file=str(self.folder / "other_client"))

    def start(self) -> None:
        self._run([str(SSHD), "-D", "-e", "-f", str(self.folder / "sshd.conf")], self.port, start_new_session=True)

    def stop(self) -> None:
        # Its sessions are processes of their own.
        if self._process is not None:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            super().stop()
            for child in children:
                grandchildren = Path(f"/proc/{child}/task/{child}/children")
                if grandchildren.exists():
                    for pid in (*grandchildren.read_text().split(), child):
                        subprocess.run(["kill", "-9", pid], check=False, stderr=subprocess.DEVNULL)

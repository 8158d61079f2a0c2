"""Samba with a share that is to be encrypted."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.uploader.targets.served import FOLDER, Served, free_port
from uploader.settings import TargetSettings

SMBD = shutil.which("smbd", path="/usr/sbin:/usr/bin")
USER, PASSWORD = "root", "nur-auf-loopback"


class SmbServed(Served):
    def __init__(self, folder: Path, store: Path | None = None) -> None:
        super().__init__(folder, store)
        if SMBD is None or os.geteuid():
            pytest.skip("no smbd, or not root, which it needs to take on its users")
        self.port = free_port()
        state = folder / "samba"
        state.mkdir()
        own = "".join(
            f"{key} = {state}\n"
            for key in (
                "private dir",
                "lock directory",
                "state directory",
                "cache directory",
                "pid directory",
                "ncalrpc dir",
            )
        )
        self.configuration = folder / "smb.conf"
        self.configuration.write_text(
            f"[global]\n{own}interfaces = lo\nbind interfaces only = yes\nserver role = standalone\n"
            f"disable spoolss = yes\nload printers = no\nserver smb encrypt = required\nstrict sync = yes\n"
            f"log file = {state}/log\n[store]\npath = {self.store}\nread only = no\n"
        )
        subprocess.run(
            ["pdbedit", "-s", self.configuration, "-a", "-t", "-u", USER],
            input=f"{PASSWORD}\n{PASSWORD}\n",
            text=True,
            check=True,
            capture_output=True,
        )
        (folder / "password").write_text(PASSWORD)
        (folder / "wrong_password").write_text("wrong")

    @property
    def settings(self) -> TargetSettings:
        return TargetSettings(
            name="smb",
            url=f"smb://127.0.0.1:{self.port}/store/{quote(FOLDER)}",
            user=USER,
            password_file=str(self.folder / "password"),
        )

    def intruder(self) -> TargetSettings:
        return replace(self.settings, password_file=str(self.folder / "wrong_password"))

    def start(self) -> None:
        argv = [str(SMBD), "--foreground", "--no-process-group", "--configfile", str(self.configuration)]
        self._run([*argv, "--port", str(self.port)], self.port, start_new_session=True)

    def stop(self) -> None:
        # A process for each client, which outlives the first one.
        if self._process is not None:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            super().stop()
            for child in children:
                subprocess.run(["kill", "-9", child], check=False, stderr=subprocess.DEVNULL)

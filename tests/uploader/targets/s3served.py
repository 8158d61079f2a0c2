"""rclone's S3 server, which verifies signatures, with TLS."""

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.uploader.targets.httpserved import certify
from tests.uploader.targets.served import FOLDER, Served, free_port
from uploader.settings import TargetSettings

RCLONE = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
BUCKET = "recordings"


class S3Served(Served):
    resumes = False  # the server forgets parts when it ends, and so does not have them after a break of its own

    def __init__(self, folder: Path, store: Path | None = None) -> None:
        super().__init__(folder, store)
        if RCLONE is None:
            pytest.skip("no rclone")
        self.port = free_port()
        certify(folder)
        certify_other = folder / "other"
        certify_other.mkdir()
        certify(certify_other)
        (folder / "secret").write_text("very/secret+key\n")
        (folder / "wrong_secret").write_text("wrong\n")
        self.below = self.store / BUCKET / FOLDER
        self.below.mkdir(parents=True)

    @property
    def settings(self) -> TargetSettings:
        return TargetSettings(
            name="s3",
            url=f"s3://127.0.0.1:{self.port}/{BUCKET}/{quote(FOLDER)}",
            user="KEYID",
            password_file=str(self.folder / "secret"),
            ca_file=str(self.folder / "ca.pem"),
        )

    def impostor(self) -> TargetSettings:
        return replace(self.settings, ca_file=str(self.folder / "other" / "ca.pem"))

    def intruder(self) -> TargetSettings:
        return replace(self.settings, password_file=str(self.folder / "wrong_secret"))

    def start(self) -> None:
        argv = [str(RCLONE), "serve", "s3", "--addr", f"127.0.0.1:{self.port}", "--auth-key", "KEYID,very/secret+key"]
        argv += ["--cert", str(self.folder / "server.pem"), "--key", str(self.folder / "server.pem")]
        argv += ["--config", "/dev/null", "--vfs-cache-mode", "off", str(self.store)]
        self._run(argv, self.port, env={**os.environ, "HOME": str(self.folder)})

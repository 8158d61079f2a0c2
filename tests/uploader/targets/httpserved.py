"""nginx with TLS: PUT, and with its WebDAV module."""

import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme

from tests.uploader.targets.served import FOLDER, Served, free_port
from uploader.settings import TargetSettings

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
PASSWORD = "geheim 秘密"


def certify(folder: Path, name: str = "127.0.0.1") -> trustme.CA:
    """A certificate for a server of this machine: ca.pem, server.pem (with its key) in `folder`."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    ca.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return ca


class NginxServed(Served):
    resumes = False
    scheme = "https"

    def __init__(self, folder: Path, store: Path | None = None) -> None:
        super().__init__(folder, store)
        if NGINX is None:
            pytest.skip("no nginx")
        self.port = free_port()
        certify(folder)
        trustme.CA().cert_pem.write_to_path(folder / "other_ca.pem")
        (folder / "password").write_text(PASSWORD + "\n")
        (folder / "wrong_password").write_text("wrong\n")
        (folder / "users").write_text(f"rokubox:{{PLAIN}}{PASSWORD}\n")
        scratch = self.store / ".nginx"  # on the store's disk, as on any sensible server
        scratch.mkdir()
        (folder / "nginx.conf").write_text(
            f"user root; daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid;\n"
            f"error_log {folder}/error.log; events {{}}\n"
            f"http {{ access_log off; client_max_body_size 0; client_body_temp_path {scratch};\n"
            f"  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;\n"
            f"  scgi_temp_path {folder}/s;\n"
            f"  server {{ listen 127.0.0.1:{self.port} ssl; ssl_certificate {folder}/server.pem;\n"
            f"    ssl_certificate_key {folder}/server.pem; root {self.store};\n"
            f"    auth_basic box; auth_basic_user_file {folder}/users;\n"
            f"    location / {{ dav_methods PUT DELETE MKCOL MOVE; create_full_put_path on; }} }} }}\n"
        )

    @property
    def settings(self) -> TargetSettings:
        return TargetSettings(
            name=self.scheme,
            url=f"{self.scheme}://127.0.0.1:{self.port}/{quote(FOLDER)}/",
            user="rokubox",
            password_file=str(self.folder / "password"),
            ca_file=str(self.folder / "ca.pem"),
        )

    def impostor(self) -> TargetSettings:
        return replace(self.settings, ca_file=str(self.folder / "other_ca.pem"))

    def intruder(self) -> TargetSettings:
        return replace(self.settings, password_file=str(self.folder / "wrong_password"))

    def start(self) -> None:
        self._run([str(NGINX), "-c", str(self.folder / "nginx.conf"), "-p", str(self.folder)], self.port)


class PutServed(NginxServed):
    hides_drafts = False


class WebdavServed(NginxServed):
    scheme = "davs"

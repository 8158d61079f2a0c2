"""Delivery of recordings of 1 MB to local servers, beside what `sftp`, `curl` and `smbclient` take for the same.

    python -m tests.bench.bench_upload [--recordings 1000] [--rounds 3] [--target s3]

Ours is `rokubox-upload` as it is: it hashes each recording against the ledger, sends it under a hidden name, has it
proved, and keeps its queue. OpenSSH's and Samba's servers offer no checksum, so that everything is read back: `sftp`
and `smbclient` put and get. The S3 store names an MD5: `curl` puts. By turns, in one run; each share is the median of
the rounds, for the machine may do something else meanwhile. CPU is the client's, user and system. The time of ours is
from the start of the process to the last proof.
"""

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from tests.bench.measuring import run_measured
from tests.storage.retention.archives import make
from tests.uploader.daemons import configured
from tests.uploader.targets.s3served import BUCKET, S3Served
from tests.uploader.targets.served import Served
from tests.uploader.targets.smbserved import SmbServed
from tests.uploader.targets.sshserved import SftpServed
from tests.uploader.test_killed import table
from uploader.errors import QueueError
from uploader.queueview import QueueView

FRAMES = 262_144
"""1 MB of stereo PCM16."""
LEAST_SHARE = 0.7
"""Of the speed of the other client."""
POLL_S = 0.05
PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One client to one server."""

    wall_s: float
    cpu_s: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and say which share is less than was asked for: like every figure here, no failure of the run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=1000, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--target", choices=("sftp", "s3", "smb"), help="this one alone")
    arguments = parser.parse_args(argv)
    count = arguments.recordings
    console = Console()
    shown = Table("target", "client", "MB/s", "CPU ms/MB", f"share, at least {LEAST_SHARE}", box=None)
    with tempfile.TemporaryDirectory(prefix="rokubox-bench-") as place:
        folder = Path(place)
        make(folder / "archive", count, parts=1, frames=FRAMES)
        files = sorted((folder / "archive" / "recordings").rglob("*.zip"))
        size_mb = sum(file.stat().st_size for file in files) / 1e6
        servers = {"sftp": (SftpServed, sftp), "s3": (S3Served, curl), "smb": (SmbServed, smbclient)}
        for kind, other in (servers[name] for name in servers if arguments.target in (None, name)):
            own = folder / kind.__name__
            own.mkdir()
            pairs: list[tuple[Run, Run]] = []
            with kind(own) as served:
                for _ in range(arguments.rounds):
                    pairs.append((other(served, files, own), rokubox(served, folder, count)))
                    shutil.rmtree(served.below)
                    served.below.mkdir()
            shares = sorted(one.wall_s / ours.wall_s for one, ours in pairs)
            share = statistics.median(shares)
            told = f"{share:.2f} {'reached' if share >= LEAST_SHARE else 'missed'} ({shares[0]:.2f}-{shares[-1]:.2f})"
            for client, runs, said in zip(
                (other.__name__, "rokubox-upload"), zip(*pairs, strict=True), ("", told), strict=True
            ):
                shown.add_row(
                    served.settings.name,
                    client,
                    f"{size_mb / statistics.median(run.wall_s for run in runs):.0f}",
                    f"{1000 * statistics.median(run.cpu_s for run in runs) / size_mb:.2f}",
                    said,
                )
    console.print(f"{count} recordings, {size_mb:.0f} MB")
    console.print(shown)
    return 0


def sftp(served: Served, files: Sequence[Path], own: Path) -> Run:
    """OpenSSH's client: put everything, each file to the disk (as we ask for too), then get everything."""
    settings = served.settings
    (served.below / "reference").mkdir()
    batch = own / "batch"
    puts = [f'put "{file}" "{served.below}/reference/{file.name}"' for file in files]
    gets = [f'get "{served.below}/reference/{file.name}" /dev/null' for file in files]
    batch.write_text("\n".join([*puts, *gets]))
    known = own / "known_hosts"
    known.write_text(f"[127.0.0.1]:{settings.parts.port} {settings.host_keys[0]}\n")
    argv = ["sftp", "-q", "-f", "-b", str(batch), "-i", settings.key_file, "-o", f"UserKnownHostsFile={known}"]
    argv += ["-P", str(settings.parts.port), f"{settings.user}@127.0.0.1"]
    cost = run_measured(argv, own / "sftp.out")
    return Run(wall_s=cost.wall_s, cpu_s=cost.cpu_s)


def curl(served: Served, files: Sequence[Path], own: Path) -> Run:
    """curl: put everything over one connection."""
    settings = served.settings
    base = f"https://127.0.0.1:{settings.parts.port}/{BUCKET}/reference"
    secret = Path(settings.password_file).read_text().strip()
    options = {"cacert": settings.ca_file, "aws-sigv4": "aws:amz:us-east-1:s3", "user": f"{settings.user}:{secret}"}
    common = 'silent\nfail\nheader = "x-amz-content-sha256: UNSIGNED-PAYLOAD"\n' + "".join(
        f'{name} = "{value}"\n' for name, value in options.items()
    )
    each = [
        f'{common}upload-file = "{file}"\nurl = "{base}/{quote(file.name)}"\noutput = /dev/null\n' for file in files
    ]
    configuration = own / "curl.conf"
    configuration.write_text("next\n".join(each))
    cost = run_measured(["curl", "-K", str(configuration)], own / "curl.out")
    return Run(wall_s=cost.wall_s, cpu_s=cost.cpu_s)


def smbclient(served: Served, files: Sequence[Path], own: Path) -> Run:
    """Samba's client: put everything, encrypted, then get everything."""
    settings = served.settings
    share, _, folder = settings.folder.partition("/")
    (served.below / "reference").mkdir()
    puts = [f'put "{file}" "reference\\{file.name}"' for file in files]
    gets = [f'get "reference\\{file.name}" /dev/null' for file in files]
    batch = own / "batch"
    batch.write_text("\n".join([f'cd "{folder}"', *puts, *gets]))
    user = f"{settings.user}%{Path(settings.password_file).read_text()}"
    argv = ["smbclient", f"//127.0.0.1/{share}", "-p", str(settings.parts.port), "-U", user]
    argv += ["--client-protection=encrypt", "--configfile", "/dev/null"]
    cost = run_measured(["sh", "-c", f'exec "$@" < {shlex.quote(str(batch))}', "sh", *argv], own / "smbclient.out")
    put = len(list((served.below / "reference").iterdir()))
    assert put == len(files), (own / "smbclient.out").read_text()[-2000:]
    return Run(wall_s=cost.wall_s, cpu_s=cost.cpu_s)


def rokubox(served: Served, folder: Path, count: int) -> Run:
    """The uploader, on an archive whose owner does not run: receipts wait."""
    root = folder / "archive"
    for left in (root / "upload").glob("*"):
        left.unlink()
    config = configured(folder, table(served.settings), names=f'"{served.settings.name}"')
    argv = [sys.executable, "-P", "-m", "appliance.daemons", "upload", "--archive", str(root), "--config", str(config)]
    began_s = time.monotonic()
    with (folder / "upload.log").open("ab") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    delivered = _delivered(root, served.settings.name)
    while delivered() < count:
        assert time.monotonic() < began_s + PATIENCE_S, (folder / "upload.log").read_text()
        time.sleep(POLL_S)
    wall_s = time.monotonic() - began_s
    process.terminate()
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return Run(wall_s=wall_s, cpu_s=usage.ru_utime + usage.ru_stime)


def _delivered(root: Path, name: str) -> Callable[[], int]:
    def look() -> int:
        with suppress(QueueError), QueueView(root) as queue:
            state = queue.target_states().get(name)
            return state.delivered if state else 0
        return 0

    return look


if __name__ == "__main__":
    sys.exit(main())

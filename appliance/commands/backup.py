"""`rokubox backup`: settings, ledger, index and logs, into a directory on another disk."""

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.errors import ConfigurationError
from appliance.failures import OK, OUTPUT
from storage.archive import Archive

EPILOG = """\
Recordings are not in it (deliver them, or copy the share), and the device key never leaves the box. `rokubox record`
makes one every night ([backup] hour). Old ones go after [backup] keep_days, the newest never.
設定・台帳・索引・ログをバックアップします。録音とデバイス鍵は含みません。

examples:
  rokubox backup --config rokubox.toml
  rokubox backup --archive archive --directory /mnt/backup
"""


def add(commands: Commands) -> None:
    """Declare `rokubox backup`."""
    parser = command(
        commands,
        "backup",
        help="back up settings, ledger, index and logs",
        description="Back up what is needed to go on with the archive on another box.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    parser.add_argument("--directory", type=Path, metavar="DIR", help="where it goes (default: [backup] directory)")
    parser.set_defaults(run=_run, archive_code=OUTPUT, interrupted="the backup was not made")


def _run(arguments: argparse.Namespace) -> int:
    from storage.backup import bundle, keeping
    from storage.disk import Disk
    from storage.retention import clockfile, clockguard

    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    directory = arguments.directory or configuration.backup.directory
    if not directory:
        raise ConfigurationError("no directory: give --directory DIR, or [backup] directory in --config FILE")
    folder, disk = Path(directory), Disk()
    sources = bundle.Sources(
        archive=archive, settings=configuration.text, logs=[Path(log) for log in configuration.backup.logs]
    )
    made = bundle.make(sources, folder, keeping.name(datetime.fromtimestamp(time.time(), UTC)), disk)
    today = clockguard.today(clockfile.read(archive.retention))
    old = keeping.outdated((path.name for path in folder.iterdir()), today, configuration.backup.keep_days)
    bundle.remove(folder, old, disk)
    print(f"{made} ({made.stat().st_size:,} bytes); {len(old)} old removed / 古いバックアップ {len(old)} 件を削除")
    return OK

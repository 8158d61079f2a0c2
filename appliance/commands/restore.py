"""`rokubox restore`: a backup put into an archive on this box, whose ledger goes on with a new key."""

import argparse
import time
from pathlib import Path

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of, tell
from appliance.custody import attribution
from appliance.failures import INPUT, OK
from storage.archive import Archive

EPILOG = """\
For a new box, or a disk from which only recordings could be saved. The new box makes a key of its own, which signs the
last checkpoint of the old one; the ledger says who did this and why. Then run `rokubox verify`.
バックアップから復元します。新しいデバイス鍵が作られ、台帳は継続します。

examples:
  rokubox restore rokubox-20260102T170000Z.tar.gz --archive archive --settings rokubox.toml --why "box replaced"
"""


def add(commands: Commands) -> None:
    """Declare `rokubox restore`."""
    parser = command(
        commands,
        "restore",
        help="put a backup into an archive on this box",
        description="Restore settings, ledger, index and clock from a backup; the ledger goes on with a new key.",
        epilog=EPILOG,
    )
    parser.add_argument("backup", type=Path, metavar="FILE", help="the backup")
    archive_argument(parser)
    parser.add_argument("--settings", type=Path, metavar="FILE", help="where the configuration goes; must not exist")
    attribution.arguments(parser, needs_why=True)
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="restore it again; what is there already is kept")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.errors import ConfigurationError
    from storage.backup import restoring
    from storage.disk import Disk
    from storage.ledger.settings import Attribution
    from storage.volume import volume
    from storage.writer import ArchiveWriter

    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    if arguments.settings is not None and arguments.settings.exists():
        raise ConfigurationError(f"--settings: {arguments.settings} exists")
    volume.require(archive.root, configuration.storage.volume_uuid)
    by = Attribution(who=attribution.who(arguments), why=arguments.why)
    books = configuration.books(archive, time.time_ns)
    with ArchiveWriter(archive):
        text = restoring.restore(arguments.backup, archive, books.ledger, by, time.time_ns(), Disk())
    if text is not None and arguments.settings is not None:
        arguments.settings.write_bytes(text)
    elif text is not None:
        tell("the backup holds a configuration too: --settings FILE writes it")
    print("restored / 復元しました")
    return OK

"""`rokubox inbox`: what the carrier has delivered, what of it was set aside, and how the box is reached."""

import argparse

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.errors import ConfigurationError
from appliance.failures import OK
from storage.archive import Archive

DEFAULT_HOST_KEY = "/etc/rokubox/inbox_host_ed25519"
EPILOG = """\
Files that were set aside are never deleted: they lie in upload/quarantine/ of the archive, each with its reason. While
nothing can be received, the carrier keeps what it holds for seven days and deletes it then: the countdown tells.
--sshd-config writes the configuration of an OpenSSH server for the carrier: SFTP into [inbox] directory, nothing else.
隔離ファイルは削除せず理由とともに保管します。受信できない間の事業者側の保管は 7 日間です（残り時間を表示）。

examples:
  rokubox inbox --config rokubox.toml
  rokubox inbox --config rokubox.toml --json
  rokubox inbox --config rokubox.toml --sshd-config | sudo tee /etc/ssh/sshd_rokubox_inbox
"""


def add(commands: Commands) -> None:
    """Declare `rokubox inbox`."""
    parser = command(
        commands,
        "inbox",
        help="show what the carrier has delivered and what was set aside",
        description="Show the state of the carrier's file delivery, or write the configuration of its SFTP server.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--json", action="store_true", help="one JSON object, for programs")
    what.add_argument("--sshd-config", action="store_true", help="write sshd_config for the carrier's SFTP server")
    parser.add_argument(
        "--host-key", default=DEFAULT_HOST_KEY, metavar="FILE", help=f"its private key (default: {DEFAULT_HOST_KEY})"
    )
    parser.set_defaults(run=_run, archive_code=OK, interrupted="nothing was changed")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.presentation import inboxtable
    from uploader.inbox import sshdconfig

    configuration = configuration_of(arguments)
    if not configuration.inbox.directory:
        raise ConfigurationError("no inbox: give [inbox] directory in --config FILE")
    if arguments.sshd_config:
        print(sshdconfig.configuration(configuration.inbox, arguments.host_key), end="")
        return OK
    report = inboxtable.report(Archive(archive_of(arguments, configuration)))
    if arguments.json:
        inboxtable.print_json(report)
    else:
        inboxtable.show(report, configuration.zone)
    return OK

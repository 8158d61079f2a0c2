"""`rokubox share-config`: configuration of the read-only shares, for Samba and NFS."""

import argparse

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.failures import INPUT, OK

EPILOG = """\
Nothing is changed: the text goes to stdout, for the file that the example names. Only finished recordings are shared.
--rsyslog and --logrotate keep the access log of the SMB share apart, with its own term ([share] log_keep_days): file
names in it hold numbers.

examples:
  rokubox share-config --samba --config rokubox.toml | sudo tee /etc/samba/smb.conf
  rokubox share-config --nfs --config rokubox.toml | sudo tee /etc/exports.d/rokubox.exports
  rokubox share-config --rsyslog | sudo tee /etc/rsyslog.d/10-rokubox-share.conf
  rokubox share-config --logrotate --config rokubox.toml | sudo tee /etc/logrotate.d/rokubox-share
"""


def add(commands: Commands) -> None:
    """Declare `rokubox share-config`."""
    parser = command(
        commands,
        "share-config",
        help="write the configuration of a read-only share",
        description="Write the configuration of a read-only share of the finished recordings. 共有設定を出力します。",
        epilog=EPILOG,
    )
    archive_argument(parser)
    kind = parser.add_mutually_exclusive_group(required=True)
    for name, what in (
        ("samba", "smb.conf for SMB (Windows, macOS)"),
        ("nfs", "exports for the kernel's NFS server; needs [share] networks"),
        ("rsyslog", "where the access log goes"),
        ("logrotate", "how long it is kept"),
    ):
        kind.add_argument(f"--{name}", dest="kind", action="store_const", const=name, help=what)
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="nothing was changed")


def _run(arguments: argparse.Namespace) -> int:
    from appliance import shares

    configuration = configuration_of(arguments)
    if arguments.kind == "rsyslog":
        text = shares.rsyslog()
    elif arguments.kind == "logrotate":
        text = shares.logrotate(configuration.share)
    else:
        text = shares.served(arguments.kind, archive_of(arguments, configuration), configuration.share)
    print(text, end="")
    return OK

"""`rokubox box-settings`: network, firewall, share and SSH of the appliance, as the configuration says."""

import argparse
from pathlib import Path

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.failures import OK, OUTPUT

MACHINE_ID = Path("/etc/machine-id")
SAMBA_PASSWORDS = Path("/var/lib/samba/private/passdb.tdb")
EPILOG = """\
For the appliance's image, where a service does this at each boot and after provisioning; a server keeps its own
network, firewall and users. Files are written for systemd-networkd, systemd-timesyncd, nftables, Samba, sshd and
libnss-extrausers. What is not asked for is taken away.
アプライアンス専用です。管理ネットワーク、時刻、共有、SSH の設定を書き出します。

examples:
  rokubox box-settings --config rokubox.toml --into /tmp/look
  rokubox box-settings --config /etc/rokubox/rokubox.toml --share-passwords
"""


def add(commands: Commands) -> None:
    """Declare `rokubox box-settings`."""
    parser = command(
        commands,
        "box-settings",
        help="write network, firewall, share and SSH of the appliance",
        description="Write the settings of the machine that the configuration asks for.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    parser.add_argument("--into", type=Path, default=Path("/run"), metavar="DIR", help="where to (%(default)s)")
    parser.add_argument(
        "--share-passwords", action="store_true", help="make the readers' passwords known to Samba, and write no files"
    )
    parser.add_argument(
        "--own-serial", type=Path, metavar="DIR", help="give the box a serial number of its own in this folder, once"
    )
    parser.set_defaults(run=_run, archive_code=OUTPUT, interrupted="run it again")


def _run(arguments: argparse.Namespace) -> int:
    from appliance import shares
    from appliance.boxsettings import files, identity, passwords, readers
    from appliance.boxsettings.accounts import system_users
    from appliance.datapartition import identity as maker
    from appliance.errors import ConfigurationError

    if arguments.own_serial is not None:
        identity.give_serial(arguments.own_serial, maker.serial(), MACHINE_ID)
    configuration = configuration_of(arguments)
    if problems := list(readers.problems(configuration.share.user, system_users())):
        raise ConfigurationError("\n".join(problems))
    if arguments.share_passwords:
        told = passwords.read(configuration.share.user)
        passwords.put_in_place(told, arguments.into / files.SHARE, SAMBA_PASSWORDS)
        return OK
    # Without a share, if need be, but never without a network.
    files.put_in_place(files.files(configuration, None), arguments.into)
    if configuration.share.user:
        shared = shares.shared(archive_of(arguments, configuration), configuration.share)
        files.put_in_place(files.files(configuration, shared), arguments.into)
    return OK

"""`rokubox rotate-key`: a new device key, which the old one vouches for."""

import argparse

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.custody import attribution
from appliance.failures import INPUT, OK
from storage.archive import Archive

EPILOG = """\
The new key signs from now on. Whoever believes the old public key can go on with it: the old key has signed for the new
one. Give out the new public key (recordings/device-key.pem) all the same.
署名鍵を交換します。旧公開鍵でも引き続き検証できます。

examples:
  rokubox rotate-key --why "yearly rotation" --archive archive
"""


def add(commands: Commands) -> None:
    """Declare `rokubox rotate-key`."""
    parser = command(
        commands,
        "rotate-key",
        help="replace the key that signs the ledger",
        description="Make a new device key, enter it in the ledger, and have the old one sign for it a last time.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    attribution.arguments(parser, needs_why=True)
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="the ledger says which key is in force")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.custody.archiveclient import asking, checked
    from appliance.custody.archiverequests import RotateKey

    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    with asking(archive, configuration) as ask:
        checked(ask(RotateKey(who=attribution.who(arguments), why=arguments.why)))
    print(f"a new key signs / 鍵を交換しました: {archive.ledger / 'device.pub'}")
    return OK

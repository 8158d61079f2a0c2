"""Everything that the configuration says of the machine, as files under /run. Pure but for `put_in_place`."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from appliance.boxsettings import letin, network, readers, sshserver
from appliance.config import Configuration
from storage.share import samba
from storage.share.access import Shared

SHARE = "rokubox/share/smb.conf"
NAMES = (*network.NAMES, letin.NAME, sshserver.NAME, SHARE, readers.USERS, readers.GROUPS)
"""Every file there can be: what is not asked for must not be there either."""


def files(configuration: Configuration, shared: Shared | None) -> Mapping[str, str]:
    """Content of the files by name; `shared`: the folder of recordings, None while there is none to share."""
    found = dict(network.files(configuration.management))
    services = []
    if configuration.ssh.authorized_keys_file:
        found[sshserver.NAME] = sshserver.configuration(configuration.ssh)
        services.append((letin.SSH, configuration.ssh.networks))
    if configuration.share.user and shared is not None:
        found[SHARE] = samba.configuration(shared)
        found[readers.USERS], found[readers.GROUPS] = readers.passwd(configuration.share.user), readers.group()
        services.append((letin.SMB, configuration.share.networks))
    if services:
        found[letin.NAME] = letin.elements(services)
    return found


def put_in_place(wanted: Mapping[str, str], under: Path) -> None:
    """Write the files, each complete or not at all, and take away those that are not wanted. Raises OSError.

    They are made anew at each boot, so nothing has to survive a power cut.
    """
    for name, text in wanted.items():
        path = under / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.tmp-{os.getpid()}")
        draft.write_text(text, "utf-8")
        draft.chmod(0o644)
        draft.replace(path)
    for name in set(NAMES) - wanted.keys():
        with suppress(FileNotFoundError):
            (under / name).unlink()

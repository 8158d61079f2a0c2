"""The shares of one archive: looks at the folder as it is on this box, and lets `storage.share` write."""

import grp
from pathlib import Path

from appliance.errors import ConfigurationError
from storage.archive import Archive
from storage.errors import ArchiveError
from storage.share import nfs, samba
from storage.share.access import Shared
from storage.share.accesslog import logrotate, rsyslog
from storage.share.settings import ShareSettings

__all__ = ["logrotate", "rsyslog", "served", "shared"]


def served(kind: str, root: Path, settings: ShareSettings) -> str:
    """Return the configuration for `samba` or `nfs`.

    Raises:
        ArchiveError: there are no recordings to share.
        ConfigurationError: an export to everybody was asked for.
    """
    found = shared(root, settings)
    if kind == "samba":
        return samba.configuration(found)
    if not settings.networks:
        raise ConfigurationError("[share] networks: name the networks that may mount the NFS export")
    return nfs.exports(found)


def shared(root: Path, settings: ShareSettings) -> Shared:
    """Look at the archive's recordings. Raises ArchiveError and ConfigurationError as above."""
    folder = Archive(root).recordings.absolute()
    if any(not character.isprintable() for character in str(folder)):
        raise ConfigurationError("a share cannot have this path: control characters in it")
    try:
        group_id = folder.stat().st_gid
    except OSError as error:
        raise ArchiveError(f"{folder}: {error.strerror}; it is made by the first recording") from error
    try:
        group = grp.getgrgid(group_id).gr_name
    except KeyError:
        group = str(group_id)
    return Shared(recordings=folder, group=group, group_id=group_id, settings=settings)

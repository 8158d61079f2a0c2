"""The Samba configuration of the share: smb.conf(5), vfs_full_audit(8). Pure.

Who opened what goes to syslog facility local5 alone: the lines hold file names and so numbers, and are to be kept and
forgotten apart from other logs (`accesslog`).
"""

from storage.share.access import PREAMBLE, Shared

FACILITY = "local5"


def configuration(shared: Shared) -> str:
    """The whole `smb.conf`."""
    settings = shared.settings
    hosts = ["hosts allow = " + " ".join(settings.networks), "hosts deny = ALL"] if settings.networks else []
    top = (
        "server role = standalone server",
        "security = user",
        "map to guest = Never",
        "restrict anonymous = 2",
        "server min protocol = SMB2_10",
        "server signing = mandatory",
        # TCP 445 alone: no NetBIOS, which is older than SMB 2 and announces itself to everybody.
        "disable netbios = yes",
        "smb ports = 445",
        "unix charset = UTF-8",
        "load printers = no",
        "printcap name = /dev/null",
        "disable spoolss = yes",
        *hosts,
    )
    share = (
        "comment = finished recordings / 録音",
        f"path = {shared.recordings}",
        "read only = yes",
        "guest ok = no",
        f"valid users = {' '.join(dict.fromkeys((*settings.readers, *(user.name for user in settings.user))))}",
        # Files are 0640: who logs in reads with the group of the recordings, and writes nothing.
        f"force group = {shared.group}",
        "follow symlinks = no",
        "wide links = no",
        "veto files = /.*/",
        "vfs objects = full_audit",
        "full_audit:prefix = %u|%I|%S",
        "full_audit:success = connect disconnect create_file",
        "full_audit:failure = connect create_file",
        "full_audit:syslog = true",
        f"full_audit:facility = {FACILITY}",
        "full_audit:priority = NOTICE",
    )
    return f"# {PREAMBLE}\n{_section('global', top)}\n{_section(settings.name, share)}"


def _section(name: str, lines: tuple[str, ...]) -> str:
    return f"[{name}]\n" + "".join(f"\t{line}\n" for line in lines)

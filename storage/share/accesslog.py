"""Where the access log of the share goes and how long it is kept: rsyslog.conf(5), logrotate(8). Pure."""

from storage.share.access import PREAMBLE
from storage.share.samba import FACILITY
from storage.share.settings import ShareSettings

PATH = "/var/log/rokubox/share-access.log"


def rsyslog() -> str:
    """A file for `/etc/rsyslog.d`, early in its order: the lines go into their own file and nowhere else."""
    return (
        f"# {PREAMBLE}\n"
        f'{FACILITY}.* action(type="omfile" file="{PATH}" fileCreateMode="0640" dirCreateMode="0750" '
        'fileOwner="root" fileGroup="adm")\n'
        f"{FACILITY}.* stop\n"
    )


def logrotate(settings: ShareSettings) -> str:
    """A file for `/etc/logrotate.d`."""
    return (
        f"# {PREAMBLE}\n"
        f"{PATH} {{\n"
        "\tdaily\n"
        f"\trotate {settings.log_keep_days}\n"
        f"\tmaxage {settings.log_keep_days}\n"
        "\tdateext\n\tmissingok\n\tnotifempty\n\tcreate 0640 root adm\n"
        "\tpostrotate\n\t\t/usr/lib/rsyslog/rsyslog-rotate\n\tendscript\n"
        "}\n"
    )

"""The configuration of an OpenSSH server for the carrier: SFTP into one directory, nothing else; sshd_config(5). Pure.

The user sees the directory as the root of the file system. That root belongs to root and cannot be written, as OpenSSH
asks for; the drop is a folder in it.
"""

from pathlib import PurePath

from uploader.inbox.settings import InboxSettings

_PREAMBLE = "Made by `rokubox inbox --sshd-config` from rokubox.toml. 変更は rokubox.toml で行ってください。"


def configuration(settings: InboxSettings, host_key: str) -> str:
    """The whole `sshd_config`; `host_key`: file with the server's private key."""
    drop = PurePath(settings.directory)
    lines = (
        f"Port {settings.sftp_port}",
        *([f"ListenAddress {settings.sftp_address}"] if settings.sftp_address else []),
        f"HostKey {host_key}",
        "PidFile none",
        f"AllowUsers {settings.sftp_user}",
        "AuthenticationMethods publickey",
        f"AuthorizedKeysFile {settings.authorized_keys_file}",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin no",
        "UsePAM no",
        "LoginGraceTime 20",
        "MaxAuthTries 3",
        "MaxSessions 4",
        "MaxStartups 10:30:20",
        "ClientAliveInterval 60",
        "ClientAliveCountMax 5",
        "DisableForwarding yes",
        "PermitTTY no",
        "PermitUserRC no",
        "PermitUserEnvironment no",
        "X11Forwarding no",
        "Subsystem sftp internal-sftp",
        f"ChrootDirectory {drop.parent}",
        # Names of files hold numbers: not logged. What the carrier puts is for the group of the box alone.
        f"ForceCommand internal-sftp -l ERROR -u 0007 -d /{drop.name}",
    )
    text = "".join(f"{line}\n" for line in lines)
    return (
        f"# {_PREAMBLE}\n"
        f"# {drop.parent} belongs to root, mode 0755; {drop} to {settings.sftp_user}, group rokubox, mode 2770.\n{text}"
    )

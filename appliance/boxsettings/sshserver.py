"""The configuration of the appliance's SSH server, sshd_config(5): keys, one user without rights. Pure."""

from collections.abc import Iterator

from appliance.boxsettings.settings import SshSettings

NAME = "rokubox/ssh/sshd_config"
USER = "technician"
HOST_KEY = "/var/lib/rokubox-ssh/ssh_host_ed25519_key"
"""Made on the box at the first start, on the data partition."""
_KINDS = ("ssh-ed25519", "ecdsa-sha2-", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-", "ssh-rsa")


def configuration(settings: SshSettings) -> str:
    """The whole `sshd_config`."""
    lines = (
        "Port 22",
        f"HostKey {HOST_KEY}",
        "PidFile none",
        f"AllowUsers {USER}",
        "AuthenticationMethods publickey",
        f"AuthorizedKeysFile {settings.authorized_keys_file}",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin no",
        # The account has no password, which without PAM counts as locked.
        "UsePAM yes",
        "LoginGraceTime 20",
        "MaxAuthTries 3",
        "MaxStartups 10:30:20",
        "ClientAliveInterval 60",
        "ClientAliveCountMax 5",
        "DisableForwarding yes",
        "PermitUserRC no",
        "PermitUserEnvironment no",
        "PrintMotd no",
        "PrintLastLog no",
        "Subsystem sftp internal-sftp",
    )
    return "# Made by `rokubox box-settings` from [ssh].\n" + "".join(f"{line}\n" for line in lines)


def problems(authorized_keys: bytes) -> Iterator[str]:
    """What is wrong with a file of public keys; without one key nobody could log in."""
    try:
        lines = authorized_keys.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        yield "not a file of public keys"
        return
    keys = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if any("PRIVATE KEY" in line for line in lines):
        yield "a private key: it stays with its owner, bring the public one (*.pub)"
    elif not keys:
        yield "no public key in it"
    else:
        yield from (
            f"line {number}: no public key as `ssh-keygen` writes it into *.pub"
            for number, line in keys
            if not line.startswith(_KINDS) or len(line.split()) < 2
        )

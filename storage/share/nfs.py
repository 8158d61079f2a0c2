"""The NFS export of the recordings: exports(5). Pure.

Every client reads as nobody with the group of the recordings. `subtree_check`, because journal and ledger lie on the
same file system: without it a forged file handle reaches them. The kernel's server keeps no access log.
"""

from storage.share.access import PREAMBLE, Shared

NOBODY = 65534


def exports(shared: Shared) -> str:
    """A file for `/etc/exports.d`; `shared.settings.networks` must not be empty."""
    options = f"ro,all_squash,anonuid={NOBODY},anongid={shared.group_id},subtree_check,sec=sys"
    clients = " ".join(f"{network}({options})" for network in shared.settings.networks)
    path = "".join(
        f"\\{ord(character):03o}" if character in ' \t\n\\"#' else character for character in str(shared.recordings)
    )
    return f"# {PREAMBLE}\n{path} {clients}\n"

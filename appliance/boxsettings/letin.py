"""What the management side lets in besides answers: elements of the packet filter's sets, nft(8). Pure."""

import ipaddress
from collections.abc import Iterator, Sequence

NAME = "rokubox/firewall.d/50-services.nft"
SSH, SMB = 22, 445
_PREAMBLE = "# Made by `rokubox box-settings`: what the configuration asks for.\n"
_EVERYBODY = ("0.0.0.0/0", "::/0")


def elements(services: Sequence[tuple[int, Sequence[str]]]) -> str:
    """Let TCP ports be reached from networks, each port from its own; a port without networks is everybody's."""
    lines = [line for port, networks in services for line in _lines(port, networks or _EVERYBODY)]
    return _PREAMBLE + "".join(f"{line}\n" for line in lines)


def _lines(port: int, networks: Sequence[str]) -> Iterator[str]:
    named = [ipaddress.ip_network(text, strict=False) for text in networks]
    # Intervals that overlap would be refused, and the whole filter with them.
    for name, apart in (
        ("admitted", ipaddress.collapse_addresses([one for one in named if one.version == 4])),
        ("admitted6", ipaddress.collapse_addresses([one for one in named if one.version == 6])),
    ):
        for network in apart:
            yield f"add element inet rokubox_management {name} {{ tcp . {port} . {network[0]}-{network[-1]} }}"


def problems(networks: Sequence[str]) -> Iterator[str]:
    """Which of them are none."""
    for text in networks:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            yield f"{text!r} is no network; write one like 192.0.2.0/24"

"""What the lab tries: networks, and the calls in each; and one run of such a network with every recorder watching."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.calls import LabCall, Plan, place
from tests.lab.network import Mirror, Network, Node, host, lab_network
from tests.lab.recorders import CAPTURE, RECORDERS
from tests.lab.truth import RelayLog, expected, read_log
from tests.traffic.calls import PlayedCall
from tests.traffic.g711 import PCMA, PCMU
from tests.traffic.pcapwriter import Transport

_LIMIT_S = "60"
_SO_TIMESTAMPNS = 35
_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One network and its calls."""

    calls: tuple[LabCall, ...]
    mirror: Mirror = Mirror.BOTH
    relay: tuple[str, ...] = ()
    """Arguments of the relay behind the mirror; none: no relay."""
    reasons: tuple[str, ...] = ()
    """Why the calls are only partly recorded; empty: they are complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run left."""

    variant: Variant
    archives: dict[str, Path]
    """By the recorder's name."""
    truth: list[PlayedCall]
    log: RelayLog
    sent_by_recorder: tuple[int, int]
    """Frames that the mirror port has sent: before the recorders started, and after they ended."""


def _transferred() -> tuple[LabCall, ...]:
    first = LabCall(line=6, plan=Plan.REFER)
    return first, LabCall(line=7, transferred_from=first, seconds=2.0)


def _taken_over() -> tuple[LabCall, ...]:
    first = LabCall(line=8, plan=Plan.REFER, law=PCMA, transport=Transport.TCP)
    return first, LabCall(line=9, transferred_from=first, takes_over=True, seconds=2.0)


_TELEPHONES = (
    LabCall(line=0),
    LabCall(line=1, law=PCMA, caller=Node.CARRIER),
    LabCall(line=2, transport=Transport.TCP, ipv6=True),
    LabCall(line=3, law=PCMA, transport=Transport.TCP),
    LabCall(line=4, seconds=5.6, plan=Plan.HOLD, ipv6=True),
    LabCall(line=5, seconds=5.6, plan=Plan.MUSIC, law=PCMA),
    *_transferred(),
    *_taken_over(),
)
_TWO = (
    LabCall(line=0, seconds=3.0),
    LabCall(line=1, seconds=3.0, law=PCMA, transport=Transport.TCP, ipv6=True, caller=Node.CARRIER),
)
_LONGER = (LabCall(line=0, seconds=5.0), LabCall(line=1, seconds=5.0, law=PCMA, ipv6=True))
_SEED = ("--seed", "18")
"""With this one every stream of `_LONGER` loses two packets or more at 1 %."""
_HOLE = ("--hole-from", host(Node.PBX, 0), "--hole-at", "75", "--hole-packets", "250")

VARIANTS = {
    "telephones": Variant(calls=_TELEPHONES),
    "doubled": Variant(calls=_TWO, mirror=Mirror.DOUBLED),
    "one way": Variant(calls=_TWO[1:], mirror=Mirror.FROM_CARRIER, reasons=("one_way",)),
    "one way, answers only": Variant(
        calls=_TWO[:1], mirror=Mirror.FROM_CARRIER, reasons=("one_way", "recorder_joined_late")
    ),
    "vlan": Variant(calls=_TWO, relay=("--wrap", "vlan")),
    "qinq": Variant(calls=_TWO, relay=("--wrap", "qinq")),
    "erspan": Variant(calls=_TWO, relay=("--wrap", "erspan")),
    "vxlan": Variant(calls=_TWO, relay=("--wrap", "vxlan")),
    "loss": Variant(calls=_LONGER, relay=(*_SEED, "--loss", "0.01"), reasons=("network_loss",)),
    "reordered": Variant(calls=_LONGER, relay=(*_SEED, "--late", "0.02", "--late-ms", "50")),
    "late": Variant(calls=_LONGER, relay=(*_SEED, "--late", "0.02", "--late-ms", "200")),
    "hole": Variant(calls=(LabCall(line=0, seconds=8.0, law=PCMU),), relay=_HOLE, reasons=("network_loss",)),
}


def run(variant: Variant, folder: Path, recorders: tuple[str, ...]) -> Run:
    """Builds the network, makes the calls while all `recorders` watch, and gathers what they found."""
    archives = {name: folder / name for name in recorders}
    log_path = folder / "relay.json"
    with _stamped_once(), lab_network(variant.mirror, relayed=bool(variant.relay)) as network:
        before = network.sent_by_recorder()
        with contextlib.ExitStack() as watching:
            for name, archive in archives.items():
                watching.enter_context(RECORDERS[name](network, archive, len(variant.calls)))
            if variant.relay:
                watching.enter_context(_relay(network, variant.relay, log_path))
            place(network, variant.calls, folder)
        after = network.sent_by_recorder()
    log = read_log(log_path)
    truth = expected(variant.calls, log, variant.mirror, folder / CAPTURE)
    return Run(variant=variant, archives=archives, truth=truth, log=log, sent_by_recorder=(before, after))


@contextlib.contextmanager
def _stamped_once() -> Iterator[None]:
    """While any socket asks for it, the kernel stamps each frame once for all who watch: the recorders can agree to the
    nanosecond.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        yield


@contextlib.contextmanager
def _relay(network: Network, arguments: tuple[str, ...], log_path: Path) -> Iterator[None]:
    """The relay, from the mirror's veth to the recorder's port."""
    options = ["--seconds", _LIMIT_S, "--log", str(log_path), *arguments]
    command = network.within(Node.SWITCH, sys.executable, "-m", "tests.lab.relay", "tap1", "sw2", *options)
    with subprocess.Popen(command, cwd=_REPOSITORY, stdout=subprocess.PIPE, text=True) as relay:
        assert relay.stdout is not None
        try:
            assert relay.stdout.readline() == "ready\n"
            yield
        finally:
            relay.terminate()
            relay.wait(20)
    assert relay.returncode == 0

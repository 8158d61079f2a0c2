"""Links and counters of network ports (sysfs-class-net), sampled, so that something can be said of the last minute.

Reading them is no touching: the mirror port itself belongs to capture.
"""

import time
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from appliance.diagnosis.evidence import Cause, Check, Figure, Port, Role, State, Step, Window
from appliance.diagnosis.probes import ipcommand
from capture import niccounters
from capture.niccounters import NicCounters

WINDOW_S = 60.0
LEAST_S = 1.0
"""Samples are not closer."""
_NET = Path("/sys/class/net")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    at_s: float
    """Monotonic time."""
    at_ns: int
    """Real time."""
    counters: NicCounters
    foreign: int


@dataclass(slots=True, kw_only=True)
class PortSampler:
    """One port."""

    name: str
    role: Role
    net: Path = _NET
    """Where the kernel tells of ports."""
    _samples: deque[_Sample] = field(default_factory=deque)

    def sample(self) -> None:
        """Read the counters, unless that was done a moment ago."""
        now_s = time.monotonic()
        if self._samples and now_s - self._samples[-1].at_s < LEAST_S:
            return
        foreign = _foreign(self.name) if self.role is Role.MANAGEMENT else 0
        counters = niccounters.read(self.name, self.net)
        self._samples.append(_Sample(at_s=now_s, at_ns=time.time_ns(), counters=counters, foreign=foreign))
        while self._samples[-1].at_s - self._samples[0].at_s > WINDOW_S:
            self._samples.popleft()

    def port(self) -> Port:
        """Return how the port is, and what it counted since the oldest sample that is kept."""
        up, first, last = is_up(self.name, self.net), self._samples[0], self._samples[-1]
        counted = last.counters - first.counters
        known = last.at_s > first.at_s
        return Port(
            name=self.name,
            role=self.role,
            link_up=up,
            speed_mbps=_speed_mbps(self.net / self.name) if up else None,
            full_duplex=_full_duplex(self.net / self.name) if up else None,
            received=counted.rx_packets if known else None,
            received_bytes=counted.rx_bytes if known else None,
            sent=last.counters.tx_packets,
            peak_bps=self._peak_bps(),
            silent_s=self._silent_s() if known else None,
            foreign=max(last.foreign - first.foreign, 0) if known and self.role is Role.MANAGEMENT else None,
            crc_errors=counted.rx_crc if known else None,
            alignment_errors=counted.rx_frame if known else None,
            window=Window(begin_ns=last.at_ns - round((last.at_s - first.at_s) * 1e9), end_ns=last.at_ns),
        )

    def _silent_s(self) -> float:
        last = self._samples[-1]
        earlier = [each for each in self._samples if each.counters.rx_packets == last.counters.rx_packets]
        return round(last.at_s - earlier[0].at_s, 1)

    def _peak_bps(self) -> float | None:
        samples = list(self._samples)
        rates = [
            (later.counters - earlier.counters).rx_bytes * 8 / (later.at_s - earlier.at_s)
            for earlier, later in pairwise(samples)
        ]
        return max(rates, default=None)


def is_up(name: str, net: Path = _NET) -> bool | None:
    """Whether a port has a link; None when there is no such port."""
    if not (net / name).exists():
        return None
    try:
        return (net / name / "carrier").read_text("ascii").strip() == "1"
    except OSError:  # set down, and then nobody can tell of a carrier
        return False


def management_link(name: str) -> Check:
    """Look at the management port's link."""
    if not name:
        return Check(step=Step.MANAGEMENT_LINK, state=State.NG, cause=Cause.NO_ROUTE)
    up = is_up(name)
    if up is None:
        return Check(step=Step.MANAGEMENT_LINK, state=State.NG, cause=Cause.INTERFACE_MISSING, target=name)
    if not up:
        return Check(step=Step.MANAGEMENT_LINK, state=State.NG, cause=Cause.LINK_DOWN, target=name)
    speed = _speed_mbps(_NET / name)
    figures = () if speed is None else (Figure(name="speed", value=speed, unit="Mbit/s"),)
    return Check(step=Step.MANAGEMENT_LINK, state=State.OK, target=name, figures=figures)


def span_exists(name: str) -> Check | None:
    """A mirror port that is configured and is not there; None for one that is."""
    if is_up(name) is not None:
        return None
    return Check(step=Step.SPAN_LINK, state=State.NG, cause=Cause.INTERFACE_MISSING, target=name)


def _speed_mbps(port: Path) -> int | None:
    try:
        speed = int((port / "speed").read_text("ascii"))
    except (OSError, ValueError):
        return None
    return speed if speed > 0 else None


def _full_duplex(port: Path) -> bool | None:
    try:
        told = (port / "duplex").read_text("ascii").strip()
    except OSError:
        return None
    return {"full": True, "half": False}.get(told)


def _foreign(name: str) -> int:
    """Frames to other stations, which the kernel counts since Linux 5.19."""
    for link in ipcommand.ask("-s", "-s", "link", "show", "dev", name):
        return int(link.get("stats64", {}).get("rx", {}).get("otherhost", 0))
    return 0

"""The clock: whether a time server disciplines it, and whether it was set by a jump (adjtimex(2), SNTP RFC 4330)."""

import socket
import struct
import time
from collections.abc import Callable

from appliance import clocks
from appliance.diagnosis.evidence import Cause, Check, Figure, State, Step
from appliance.diagnosis.probes import sockets
from appliance.diagnosis.probes.wayout import WayOut
from capture.bootline import ClockReading
from capture.discipline import Discipline

STEP_NS = 100_000_000
REMEMBERED_NS = 600_000_000_000
"""A step is told of for ten minutes."""
WAIT_S = 1.5
_NTP_EPOCH_S = 2_208_988_800


class ClockWatch:
    """Remembers how real time and boot time went together."""

    def __init__(
        self,
        read: Callable[[], ClockReading] = clocks.read,
        discipline: Callable[[], Discipline] = clocks.clock_discipline,
    ) -> None:
        self._read = read
        self._discipline = discipline
        self._apart_ns: int | None = None
        self._step_ns = 0
        self._stepped_boot_ns = -REMEMBERED_NS

    def look(self) -> Check:
        """Look at the clock. It drifts or is slewed slowly; a jump is a step."""
        reading, discipline = self._read(), self._discipline()
        apart_ns = reading.real_ns - reading.boot_ns
        if self._apart_ns is not None and abs(apart_ns - self._apart_ns) > STEP_NS:
            self._step_ns, self._stepped_boot_ns = apart_ns - self._apart_ns, reading.boot_ns
        self._apart_ns = apart_ns
        if reading.boot_ns - self._stepped_boot_ns < REMEMBERED_NS:
            figures: tuple[Figure, ...] = (Figure(name="clock_step", value=round(self._step_ns / 1e6, 1), unit="ms"),)
            return Check(step=Step.CLOCK, state=State.NG, cause=Cause.STEPPED, figures=figures)
        figures = ()
        if discipline.offset_ms is not None:
            figures = (Figure(name="clock_offset", value=round(discipline.offset_ms, 3), unit="ms"),)
        if not discipline.synchronised:
            return Check(step=Step.CLOCK, state=State.NG, cause=Cause.NOT_SYNCHRONISED, figures=figures)
        return Check(step=Step.CLOCK, state=State.OK, figures=figures)


def ask_server(host: str, way: WayOut, port: int = 123) -> Figure | None:
    """Ask a time server how far our clock is off; None when it does not answer."""
    try:
        family, address = sockets.resolve(host, port, socket.SOCK_DGRAM)
        with socket.socket(family, socket.SOCK_DGRAM) as opened:
            sockets.bind_to(opened, way.interface, address[0])
            opened.settimeout(WAIT_S)
            opened.connect(address)
            sent = time.time()
            opened.send(b"\x23" + bytes(47))
            answer = opened.recv(512)
            received = time.time()
    except OSError:
        return None
    if len(answer) < 48 or answer[0] & 7 != 4:
        return None
    times = struct.unpack("!4I", answer[32:48])
    arrived, left = (times[at] - _NTP_EPOCH_S + times[at + 1] / 2**32 for at in (0, 2))
    return Figure(name="clock_offset", value=round(((arrived - sent) + (left - received)) * 500, 3), unit="ms")

"""The onlooker of the live assembly: what the mirror shows goes to `run/wire.json` every few seconds, and which sides
of calls are silent to `run/levels.json`.

Whatever goes wrong with one of them is told once, and there are no more reports of it: recording goes on.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from appliance.assembly.isolation import cause_of
from appliance.assembly.state import AssemblyState
from appliance.condition import observed
from appliance.diagnosis.wire import wirefile
from appliance.diagnosis.wire.levels import NAME as LEVELS
from appliance.diagnosis.wire.levels import LevelWatch
from appliance.diagnosis.wire.placement import Sides
from appliance.diagnosis.wire.watch import WireWatch
from capture.endpoint import Endpoint
from capture.journal import Event, MediaBlock, SignallingBlock
from capture.packets import ReadInto
from capture.rules import Enterprise
from capture.sip import SipMessage
from capture.sipcall import SipCall

REPORT_S = 3.0
"""How often a report is written: an answer is due within 30 s."""


class WireReport:
    """Hears what assembly reads, and reports."""

    def __init__(
        self,
        sides: Sides,
        sip_ports: frozenset[int],
        enterprises: Sequence[Enterprise],
        read_into: ReadInto,
        run: Path,
        tell: Callable[[str], None],
    ) -> None:
        """`enterprises`: whose calls are recorded; reports go into the
        directory `run`."""
        self._watch: WireWatch | None = WireWatch(sides, sip_ports, read_into)
        self._levels: LevelWatch | None = LevelWatch(enterprises, read_into)
        self._run = run
        self._tell = tell
        self._due_s = time.monotonic() + REPORT_S

    def media(self, block: MediaBlock) -> None:
        """Pass on a media block."""
        self._pass(lambda watch: watch.media(block))
        self._pass_levels(lambda levels: levels.media(block))

    def frames(self, block: SignallingBlock) -> None:
        """Pass on a signalling block."""
        self._pass(lambda watch: watch.frames(block))

    def said(self, ts_ns: int, source: Endpoint, destination: Endpoint, transport: str, message: SipMessage) -> None:
        """Pass on a message."""
        self._pass(lambda watch: watch.said(ts_ns, source, destination, transport, message))

    def changed(self, ts_ns: int, call: SipCall) -> None:
        """Pass on a call."""
        self._pass(lambda watch: watch.changed(ts_ns, call))
        self._pass_levels(lambda levels: levels.changed(ts_ns, call))

    def event(self, event: Event) -> None:
        """Pass on an event."""
        self._pass(lambda watch: watch.event(event))

    def report(self, state: AssemblyState) -> None:
        """Write a report when it is due; to be called when the journal is read to its end."""
        if time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + REPORT_S
        self._pass(lambda watch: self._write(watch, state))
        self._pass_levels(lambda levels: observed.write(self._run, LEVELS, levels.seen(time.time_ns())))

    def _write(self, watch: WireWatch, state: AssemblyState) -> None:
        wire, ports = watch.seen(state.signalling.losses, state.shift_at(watch.now_ns))
        report = wirefile.Report(at_ns=time.time_ns(), wire=wire, ports=ports)
        observed.write(self._run, wirefile.NAME, report)  # if the disk does not take it, the next one may find a way

    def _pass(self, act: Callable[[WireWatch], None]) -> None:
        if self._watch is None:
            return
        try:
            act(self._watch)
        except Exception as error:
            self._watch = None
            self._tell(f"alarm: what the mirror shows is no longer counted: {cause_of(error)}")

    def _pass_levels(self, act: Callable[[LevelWatch], object]) -> None:
        if self._levels is None:
            return
        try:
            act(self._levels)
        except Exception as error:
            self._levels = None
            self._tell(f"alarm: silent channels are no longer looked for: {cause_of(error)}")

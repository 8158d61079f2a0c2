"""Which sides of calls in progress are silent, from a few packets of each second. Pure; bounded in channels and work.

A channel is one side of an answered call that is to be recorded and not on hold: G.711 that goes to where the other
side receives. It is silent while every packet looked at stays below -60 dBFS; one that sends nothing is not judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from capture import rules
from capture.flows import FLOW
from capture.journal import ROW_PREFIX_BYTES, MediaBlock
from capture.packets import ReadInto
from capture.rules import Enterprise
from capture.sipcall import Side, SipCall
from dsp import levels
from dsp.g711 import Law

NAME = "levels.json"
"""Where assembly reports, in `run/` of the archive."""
NS = 1_000_000_000
FRESH_NS = 5 * NS
"""What has sent nothing for so long is not judged."""
PACKETS = 5
"""Looked at of each flow in each block, the latest."""
MAX_AT_ONCE = 200
"""Flows looked at in a block; of more they take turns: of 2,000 each every tenth block, which is 5 s."""
MAX_CHANNELS = 20_000
MAX_TOLD = 500
NO_LINE = "no contracted line"
_RTP_BYTES = 12
_LAWS = {0: Law.PCMU, 8: Law.PCMA}
_ADDRESS_BYTES = {4: 4, 6: 16}
_DESTINATION_AT, _PORT_AT, _VERSION_AT = 32, 50, 59
"""Where these lie in a flow record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentChannel:
    """The side of a line that is silent, in the call in which it has been so for longest."""

    line: str
    """Enterprise and place of the line, without its number."""
    side: Side
    had_signal: bool
    """It was heard before in this call."""
    silent_s: float
    """For how long: since it was heard last, else since the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is known of calls in progress."""

    at_ns: int
    """Real time when it was written, nanoseconds since 1970."""
    calls: int
    """Answered calls that are not over."""
    silent: tuple[SilentChannel, ...]


@dataclass(slots=True, kw_only=True)
class _Channel:
    call: SipCall
    line: str
    side: Side
    since_ns: int
    """When it was heard last; before that, the answer."""
    had_signal: bool = False
    heard_ns: int = 0
    """Its latest packet."""


@dataclass(slots=True)
class LevelWatch:
    """Hears of calls and media as assembly does."""

    enterprises: Sequence[Enterprise]
    read_into: ReadInto
    now_ns: int = 0
    """Packet time of the latest block."""
    _channels: dict[bytes, _Channel] = field(default_factory=dict)
    """By receiver: packed address and port."""
    _calls: dict[str, list[bytes]] = field(default_factory=dict)
    """Receivers of each answered call."""
    _turn: int = 0

    def changed(self, now_ns: int, call: SipCall) -> None:
        """Take note of a call that was answered, has new media, or is over."""
        self.now_ns = max(self.now_ns, now_ns)
        before = {receiver: self._channels.pop(receiver, None) for receiver in self._calls.pop(call.key, ())}
        if call.answered_ns is None or call.is_over or len(self._channels) >= MAX_CHANNELS:
            return
        line = self._line(call)
        receivers = self._receivers(call) if line else {}
        for receiver, side in receivers.items():
            kept = before.get(receiver)
            self._channels[receiver] = kept or _Channel(call=call, line=line, side=side, since_ns=call.answered_ns)
        self._calls[call.key] = list(receivers)

    def media(self, block: MediaBlock) -> None:
        """Look at a few packets of the channels in a block. Raises JournalError when it cannot be read any more."""
        self.now_ns = max(self.now_ns, block.last_ns)
        if not self._channels:
            return
        chosen = self._of_channels(block.extents)
        stride = -(-len(chosen) // MAX_AT_ONCE) or 1
        self._turn += 1
        for extent, channel in chosen[self._turn % stride :: stride]:
            self._listen(block.extents[extent], channel)

    def seen(self, real_ns: int) -> Report:
        """What is known now; of several calls of a line the one that has been silent for longest."""
        worst: dict[tuple[str, Side, bool], float] = {}
        for channel in self._channels.values():
            silent_s = (self.now_ns - channel.since_ns) / NS
            fresh = self.now_ns - channel.heard_ns <= FRESH_NS
            if fresh and silent_s > 0 and not channel.call.held_at(self.now_ns):
                key = channel.line, channel.side, channel.had_signal
                worst[key] = max(worst.get(key, 0.0), silent_s)
        told = [
            SilentChannel(line=line, side=side, had_signal=had_signal, silent_s=round(silent_s, 1))
            for (line, side, had_signal), silent_s in worst.items()
        ]
        told.sort(key=lambda one: -one.silent_s)
        return Report(at_ns=real_ns, calls=len(self._calls), silent=tuple(told[:MAX_TOLD]))

    def _line(self, call: SipCall) -> str:
        """The line that a call is recorded for; empty when it is not wanted."""
        decision = rules.decide(
            self.enterprises,
            caller=call.caller.number,
            asserted=call.asserted,
            callee=call.callee.number,
            dialled=call.dialled,
            diversion=call.diversion,
        )
        if not decision.wanted:
            return ""
        for enterprise in self.enterprises:
            for place, line in enumerate(enterprise.lines, 1):
                if (enterprise.id, line.number) == (decision.enterprise, decision.line):
                    return f"{enterprise.id} line {place}"
        return decision.enterprise or NO_LINE

    def _receivers(self, call: SipCall) -> Mapping[bytes, Side]:
        """Where each side's speech goes: the latest that the other side said."""
        found = {}
        for epoch in call.media:
            if epoch.media == "audio" and epoch.ip is not None and epoch.port:
                found[epoch.side.other] = epoch.ip + epoch.port.to_bytes(2, "big")
        return {receiver: side for side, receiver in found.items()}

    def _of_channels(self, extents: npt.NDArray[np.void]) -> list[tuple[int, _Channel]]:
        found = []
        for at, flow in enumerate(extents["flow"].copy().view(f"V{FLOW.itemsize}").tolist()):
            size = _ADDRESS_BYTES.get(flow[_VERSION_AT], 4)
            channel = self._channels.get(flow[_DESTINATION_AT : _DESTINATION_AT + size] + flow[_PORT_AT : _PORT_AT + 2])
            if channel is not None:
                found.append((at, channel))
        return found

    def _listen(self, extent: np.void, channel: _Channel) -> None:
        """Look at the latest packets of an extent."""
        width, rows = ROW_PREFIX_BYTES + int(extent["captured"]), int(extent["rows"])
        count = min(rows, PACKETS)
        if width <= ROW_PREFIX_BYTES + _RTP_BYTES or not count:
            return
        octets = np.empty((count, width), np.uint8)
        self.read_into(int(extent["address"]) + (rows - count) * width, octets.reshape(-1).data)
        head = octets[:, ROW_PREFIX_BYTES:]
        last_ns = int(extent["last_ns"])
        # Plain headers only: version 2, no padding, extension or sources; others are rare and not worth the work.
        plain = head[:, 0] == 0x80
        for payload_type, law in _LAWS.items():
            mine = head[plain & (head[:, 1] & 0x7F == payload_type), _RTP_BYTES:]
            if len(mine):
                found = levels.measure(np.ascontiguousarray(mine).reshape(-1), law, mine.shape[1])
                channel.heard_ns = max(channel.heard_ns, last_ns)
                if found.silent_frames < found.frames:
                    channel.since_ns, channel.had_signal = max(channel.since_ns, last_ns), True

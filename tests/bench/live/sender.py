"""Plays a plan onto an interface at its own times, with so little work that the processors are left to the recorder.

    python -m tests.bench.live.sender --interface m0 --lines 2000 --seconds 60 --talk 60 --log sent.json

Nothing is done packet by packet: every 20 ms numpy moves sequence numbers, timestamps, checksums and the places of the
payloads on in all headers at once, and every millisecond sendmmsg(2) takes what is due, straight from the arrays: a
`struct mmsghdr` is a row of one, a `struct iovec` of another, and a payload is never copied to make a frame.

It prints `ready`, begins when it is told to (a line on stdin), and ends by itself.
"""

import argparse
import contextlib
import ctypes
import json
import os
import resource
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.bench.live.plan import LAWS, LiveCall, Plan, first_track_slot, ssrc
from tests.traffic.bulk import SLOT_NS, SLOT_SAMPLES, SLOTS_PER_S, TRACK_SLOTS, TRACKS, tracks
from tests.traffic.pcapwriter import Address, FrameWriter, Packet
from tests.traffic.rtcp import sender_report

LEAD_NS = 1_500_000_000
"""From the order to begin until slot 0: the first calls ring before."""
STEP_NS = 1_000_000
"""What is due is sent this often."""
REPORT_SLOTS = 5 * SLOTS_PER_S
PRIORITY = 30
"""`SCHED_FIFO`, above the recorder: a mirror port does not wait for programs either."""
HEADER = np.dtype(
    [("until_udp", "V34"), ("ports", "V4"), ("udp_length", ">u2"), ("udp_checksum", ">u2"), ("rtp_flags", "u1"),
     ("rtp_type", "u1"), ("sequence", ">u2"), ("timestamp", ">u4"), ("ssrc", ">u4")]
)  # fmt: skip
"""What comes before a frame's payload."""
IOVEC = np.dtype([("base", np.uint64), ("len", np.uint64)])
MMSGHDR = np.dtype(
    [("name", np.uint64), ("name_len", np.uint64), ("iov", np.uint64), ("iov_len", np.uint64), ("control", np.uint64),
     ("control_len", np.uint64), ("flags", np.uint64), ("sent", np.uint64)]
)  # fmt: skip
"""With the padding of a 64-bit machine in the fields before it."""
_SOL_PACKET, _PACKET_QDISC_BYPASS = 263, 20
_MOST_MESSAGES = 1024


class Streams:
    """The RTP of all calls, one row a stream, in the order of their phase within a slot."""

    def __init__(self, calls: Sequence[LiveCall], lines: int) -> None:
        order = sorted((call.line * 0x9E3779B1 % 0x10000, call.number, side) for call in calls for side in (0, 1))
        self._calls = [(calls[number], side) for _, number, side in order]
        number = np.array([2 * call + side for _, call, side in order])
        self._phase_ns = np.arange(len(order)) * SLOT_NS // len(order)
        self._first_slot = np.array([call.first_slot for call, _ in self._calls])
        self._end_slot = self._first_slot + [call.slots for call, _ in self._calls]
        self._headers = np.frombuffer(bytearray(b"".join(_head(call, side) for call, side in self._calls)), HEADER)
        self._constant_sum = 0xFFFF ^ self._headers["udp_checksum"].astype(np.int64)
        self._first_sequence = number * 4099 + 17 & 0xFFFF
        self._first_timestamp = number * 0x3C6EF372 + 12345 & 0xFFFFFFFF
        self._pool = np.stack([tracks(law) for law in LAWS])
        self._pool_sums = _word_sums(self._pool).reshape(-1)
        law = number // 2 % 2
        self._track = (law * TRACKS + number % TRACKS) * TRACK_SLOTS
        self._track_slot = np.array([first_track_slot(int(stream)) for stream in number])
        self._iovecs = self._own_iovecs()
        self._messages = np.zeros(2 * lines + len(order) // lines, MMSGHDR)
        self._messages["iov_len"] = 2

    def prepare(self, slot: int) -> tuple[npt.NDArray[np.int64], list[Packet]]:
        """Move on to a slot; return where in its messages each millisecond begins, and the reports due in it."""
        rows = np.flatnonzero((self._first_slot <= slot) & (slot < self._end_slot))
        passed = slot - self._first_slot[rows]
        sequence = self._first_sequence[rows] + passed & 0xFFFF
        timestamp = self._first_timestamp[rows] + passed * SLOT_SAMPLES & 0xFFFFFFFF
        place = self._track[rows] + (self._track_slot[rows] + passed) % TRACK_SLOTS
        total = self._constant_sum[rows] + sequence + (timestamp >> 16) + (timestamp & 0xFFFF) + self._pool_sums[place]
        self._headers["sequence"][rows] = sequence
        self._headers["timestamp"][rows] = timestamp
        self._headers["udp_checksum"][rows] = _checksum(total)
        self._iovecs["base"][rows, 1] = self._pool.ctypes.data + place * SLOT_SAMPLES
        if len(rows) > len(self._messages):
            self._messages = np.zeros(len(rows), MMSGHDR)
            self._messages["iov_len"] = 2
        self._messages["iov"][: len(rows)] = self._iovecs.ctypes.data + rows * (2 * IOVEC.itemsize)
        due = passed % REPORT_SLOTS == REPORT_SLOTS - 1
        reports = [self._report(*each) for each in zip(rows[due], passed[due], timestamp[due], strict=True)]
        return np.searchsorted(self._phase_ns[rows], np.arange(0, SLOT_NS + 1, STEP_NS)), reports

    def address(self, message: int) -> int:
        """Where in memory a message of the slot is."""
        return int(self._messages.ctypes.data) + message * MMSGHDR.itemsize

    def _own_iovecs(self) -> npt.NDArray[np.void]:
        iovecs = np.zeros((len(self._headers), 2), IOVEC)
        iovecs["base"][:, 0] = self._headers.ctypes.data + np.arange(len(self._headers)) * HEADER.itemsize
        iovecs["len"] = HEADER.itemsize, SLOT_SAMPLES
        return iovecs

    def _report(self, row: int, passed: int, timestamp: int) -> Packet:
        call, side = self._calls[row]
        here, there = (call.parties[each].rtp for each in (side, 1 - side))
        ts_ns, packets = time.time_ns(), int(passed) + 1
        return Packet(
            ts_ns=ts_ns,
            source=Address(here.host, here.port + 1),
            destination=Address(there.host, there.port + 1),
            payload=sender_report(ts_ns, ssrc(2 * call.number + side), int(timestamp), packets, packets * SLOT_SAMPLES),
        )


def _head(call: LiveCall, side: int) -> bytes:
    """A frame's header with sequence number and timestamp 0, and the checksum that goes with silence of zeros."""
    here, there = (call.parties[each].rtp for each in (side, 1 - side))
    rtp = struct.pack("!BBHII", 0x80, 8 * LAWS.index(call.law), 0, 0, ssrc(2 * call.number + side))
    packet = Packet(ts_ns=0, source=here, destination=there, payload=rtp + bytes(SLOT_SAMPLES))
    (frame,) = FrameWriter().frames(packet)
    return frame.octets[: HEADER.itemsize]


def _word_sums(octets: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Sum of the 16-bit big-endian words along the last axis."""
    sums: npt.NDArray[np.int64] = octets.view(">u2").sum(axis=-1, dtype=np.int64)
    return sums


def _checksum(total: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """UDP's checksum of sums below 2^32."""
    total = (total & 0xFFFF) + (total >> 16)
    total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return np.where(total == 0, 0xFFFF, total)


class Sender:
    """Sends a plan and notes what it did."""

    def __init__(self, plan: Plan, interface: str) -> None:
        self._plan = plan
        calls = plan.calls()
        self._streams = Streams(calls, plan.lines)
        self._writer = FrameWriter()
        told = [(packet, call) for call in calls for packet in call.signalling()]
        told.sort(key=lambda each: each[0].ts_ns)
        self._signalling = deque(
            (packet.ts_ns, octets, call.number if packet.payload.startswith(b"BYE") else -1)
            for packet, call in told
            for _, octets in self._writer.frames(packet)
        )
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
        self._socket.bind((interface, 0))
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.frames = 0
        self.latest_ns = 0
        """How far behind its time the sender was at worst."""
        self.bye_ns: dict[int, int] = {}
        """Per call, when its BYE was sent (real time)."""

    def play(self) -> None:
        """Send everything."""
        origin_ns = time.monotonic_ns() + LEAD_NS
        self._begin(origin_ns)
        for slot in range(self._plan.slots):
            bounds, reports = self._streams.prepare(slot)
            for report in reports:
                for _, octets in self._writer.frames(report):
                    self._send(octets)
            for step, (low, high) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
                self._wait(origin_ns + slot * SLOT_NS + (step + 1) * STEP_NS)
                self._send_messages(low, high)
                self._signal(slot * SLOT_NS + (step + 1) * STEP_NS)
        while self._signalling:
            self._wait(origin_ns + self._signalling[0][0])
            self._signal(self._signalling[0][0])

    def _begin(self, origin_ns: int) -> None:
        """Signalling before slot 0."""
        while self._signalling and self._signalling[0][0] < 0:
            self._wait(origin_ns + self._signalling[0][0])
            self._signal(self._signalling[0][0])

    def _wait(self, until_ns: int) -> None:
        left_ns = until_ns - time.monotonic_ns()
        if left_ns > 0:
            time.sleep(left_ns / 1e9)
        self.latest_ns = max(self.latest_ns, -left_ns)

    def _signal(self, until_ns: int) -> None:
        while self._signalling and self._signalling[0][0] <= until_ns:
            _, octets, ended = self._signalling.popleft()
            self._send(octets)
            if ended >= 0:
                self.bye_ns[ended] = time.time_ns()

    def _send(self, octets: bytes) -> None:
        self._socket.send(octets)
        self.frames += 1

    def _send_messages(self, low: int, high: int) -> None:
        while low < high:
            count = min(high - low, _MOST_MESSAGES)
            address = ctypes.c_void_p(self._streams.address(low))
            sent = self._libc.sendmmsg(self._socket.fileno(), address, count, 0)
            if sent < 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            low += sent
            self.frames += sent


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Send many concurrent calls.")
    parser.add_argument("--interface", required=True)
    parser.add_argument("--lines", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--talk", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    wanted = parser.parse_args()
    plan = Plan(lines=wanted.lines, seconds=wanted.seconds, talk_s=wanted.talk)
    sender = Sender(plan, wanted.interface)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    print("ready", flush=True)
    if not sys.stdin.readline():
        sys.exit("whoever was to begin is gone")
    before = resource.getrusage(resource.RUSAGE_SELF)
    sender.play()
    after = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "frames": sender.frames,
        "latest_s": sender.latest_ns / 1e9,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "user_s": after.ru_utime - before.ru_utime,
        "bye_ns": sender.bye_ns,
    }
    wanted.log.write_text(json.dumps(told))


if __name__ == "__main__":
    main()

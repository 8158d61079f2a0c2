"""What the measurement of live recording stands on: the sender sends what the plan says, and the bench works at all."""

import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.bench.live import bench_live
from tests.bench.live.plan import RAMP_SLOTS, SHORTEST_SLOTS, Plan, ssrc
from tests.bench.live.recorder import recording
from tests.bench.live.sender import REPORT_SLOTS
from tests.bench.live.span import mirror_port, why_not
from tests.capture.private_network import in_private_network, ip, veth
from tests.traffic.bulk import SLOT_SAMPLES, SLOTS_PER_S
from tests.traffic.pcapwriter import checksum

_ETH_P_ALL = 3


@pytest.mark.parametrize(("lines", "seconds", "talk_s"), [(1, 4, 60), (50, 20, 7), (300, 60, 30)])
def test_every_line_is_busy_all_along(lines: int, seconds: int, talk_s: int) -> None:
    calls = Plan(lines=lines, seconds=seconds, talk_s=talk_s).calls()
    assert [call.number for call in calls] == list(range(len(calls)))
    for line in range(lines):
        own = [call for call in calls if call.line == line]
        assert 0 <= own[0].first_slot < RAMP_SLOTS
        assert sum(call.slots for call in own) == seconds * SLOTS_PER_S
        assert all(one.first_slot + one.slots == two.first_slot for one, two in pairwise(own))
        assert all(SHORTEST_SLOTS <= call.slots < (talk_s + 4) * SLOTS_PER_S for call in own)
    assert len({ssrc(2 * call.number + side) for call in calls for side in (0, 1)}) == 2 * len(calls)
    assert len({call.parties[0].rtp for call in calls}) == len(calls)


def test_calls_end_evenly() -> None:
    plan = Plan(lines=1000, seconds=60, talk_s=30)
    changes = [call.first_slot for call in plan.calls() if call.first_slot >= RAMP_SLOTS]
    a_second = Counter(slot // SLOTS_PER_S for slot in changes)
    steady = [a_second[second] for second in range(6, 56)]
    assert 20 < min(steady) <= max(steady) < 50


@in_private_network
def test_what_is_sent_is_what_the_plan_says(tmp_path: Path) -> None:
    veth("s0", "m0")
    ip("link set dev s0 up")
    plan = Plan(lines=7, seconds=5, talk_s=2)
    frames, log = _played(plan, tmp_path / "sent.json")
    calls = plan.calls()
    assert len(frames) == log["frames"]
    media, signalling, reports = _sorted(frames)
    assert reports == sum(2 * (call.slots // REPORT_SLOTS) for call in calls) > 0
    for call in calls:
        for side in (0, 1):
            packets = media.pop(ssrc(2 * call.number + side))
            assert b"".join(payload for _, _, payload in packets) == call.codes(side).tobytes()
            assert set(np.diff([sequence for sequence, _, _ in packets]) & 0xFFFF) == {1}
            assert set(np.diff([timestamp for _, timestamp, _ in packets]) & 0xFFFFFFFF) == {SLOT_SAMPLES}
    assert not media
    assert Counter(line.split(b" ")[0] for line in signalling)[b"BYE"] == len(calls) == len(log["bye_ns"])
    assert Counter(line.split(b" ")[0] for line in signalling)[b"INVITE"] == len(calls)


def test_a_quick_measurement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if os.geteuid() != 0 or why_not():
        pytest.skip(f"needs root, and its tools: {why_not()}")
    assert bench_live.main(["--quick", "--json", "--folder", str(tmp_path)]) == 0
    (section,) = json.loads(capsys.readouterr().out)
    found = {figure["name"]: figure["value"] for figure in section["figures"]}
    assert found["packets lost by capture's own account"] == found["packets sent that are not in the journal"] == 0
    assert found["calls recorded without a missing packet, %"] == 100
    assert found["calls that ended while others went on"] > 50
    # A recording waits for late packets, and is not made before its call has ended.
    assert found["BYE to recording, median, s"] > 0.5
    assert 0 < found["pickup delay, median, ms"] <= found["pickup delay, greatest, ms"]
    assert found["CPU per packet: capture and assembly, µs"] > found["CPU per packet: capture, µs"] > 0
    assert found["memory of all processes at its peak, MiB"] > 256
    assert list(tmp_path.iterdir()) == []


def test_no_process_of_the_recorder_is_left_out(tmp_path: Path) -> None:
    if os.geteuid() != 0 or why_not():
        pytest.skip(f"needs root, and its tools: {why_not()}")
    with mirror_port() as span, recording(span, tmp_path / "archive") as pids:
        found = subprocess.run(["ip", "netns", "pids", span.name], check=True, capture_output=True, text=True)
        assert set(pids) == {"capture", "assemble", "keeper", "supervisor"}
        assert sorted(pids.values()) == sorted(map(int, found.stdout.split()))


def test_others_than_root_are_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert bench_live.main([]) == bench_live.PERMISSION
    assert "only root" in capsys.readouterr().err


def _played(plan: Plan, log: Path) -> tuple[list[bytes], dict]:
    """Frames at the other end of the cable, and the sender's account."""
    command = [sys.executable, "-m", "tests.bench.live.sender", "--interface", "m0", "--log", str(log)]
    command += ["--lines", str(plan.lines), "--seconds", str(plan.seconds), "--talk", str(plan.talk_s)]
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)) as end,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sender,
    ):
        end.bind(("s0", _ETH_P_ALL))
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        assert sender.stdout is not None
        assert sender.stdout.readline() == "ready\n"
        _receive(end, 0.0)  # what the kernel itself said when the ports came up
        sender.communicate("go\n", timeout=60)
        frames = _receive(end, 0.2)
    return [frame for frame in frames if frame[12:14] == b"\x08\x00"], json.loads(log.read_bytes())


def _receive(end: socket.socket, wait_s: float) -> list[bytes]:
    frames, deadline = [], time.monotonic() + wait_s
    while select.select([end], [], [], max(0.0, deadline - time.monotonic()))[0]:
        frames.append(end.recv(2048))
    return frames


def _sorted(frames: list[bytes]) -> tuple[defaultdict[int, list[tuple[int, int, bytes]]], list[bytes], int]:
    """RTP by SSRC as (sequence number, timestamp, payload), the start lines of SIP, and how many reports there are."""
    media: defaultdict[int, list[tuple[int, int, bytes]]] = defaultdict(list)
    signalling, reports = [], 0
    for frame in frames:
        header, datagram = frame[14:34], frame[34:]
        pseudo = header[12:20] + struct.pack("!HH", 17, len(datagram))
        assert checksum(header) == checksum(pseudo + datagram) == 0
        payload = datagram[8:]
        if payload[0] >> 6 != 2:
            signalling.append(payload.split(b"\r\n")[0])
        elif payload[1] == 200:
            reports += 1
        else:
            _, _, sequence, timestamp, source = struct.unpack("!BBHII", payload[:12])
            media[source].append((sequence, timestamp, payload[12:]))
    return media, signalling, reports

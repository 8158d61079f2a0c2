"""`python -m tests.crash.sender`: sends the calls of a plan to an interface, each frame at its own time.

It prints `ready` when it begins. SIGTERM ends it once the calls in progress are over; `--limit` does so in any case.
Then it writes what it sent as JSON: `{"calls": [[line, number], ...], "frames": n, "latest_ms": n}`.
"""

import argparse
import contextlib
import heapq
import json
import os
import signal
import socket
import time
from pathlib import Path

from tests.crash.calls import Call, Plan
from tests.traffic.bulk import tracks
from tests.traffic.g711 import PCMA, PCMU

PRIORITY = 30
"""`SCHED_FIFO`: telephones do not wait for the recorder's processor."""
_NAP_NS = 2_000_000
"""Frames are sent up to so much late, many at a time."""


def send(plan: Plan, interface: str, stopped: list[int], limit_s: float) -> dict[str, object]:
    """Sends until the plan is done and returns what was sent."""
    calls: list[tuple[int, int]] = []
    frames = latest_ns = 0
    begin_ns = time.monotonic_ns()

    def note(call: Call) -> None:
        calls.append((call.line, call.number))

    def is_over() -> bool:
        return bool(stopped) or time.monotonic_ns() > begin_ns + limit_s * 1e9

    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
        wire.bind((interface, 0))
        for at_ns, octets in heapq.merge(*(plan.frames(line, note, is_over) for line in range(plan.lines))):
            ahead_ns = begin_ns + at_ns - time.monotonic_ns()
            if ahead_ns > 0:
                time.sleep(max(ahead_ns, _NAP_NS) / 1e9)
            latest_ns = max(latest_ns, -ahead_ns)
            wire.send(octets)
            frames += 1
    return {"calls": calls, "frames": frames, "latest_ms": latest_ns // 1_000_000}


def main() -> None:
    """Sends as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interface")
    parser.add_argument("log", type=Path)
    parser.add_argument("--lines", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--shortest", type=float, required=True, metavar="SECONDS")
    parser.add_argument("--longest", type=float, required=True, metavar="SECONDS")
    parser.add_argument("--rounds", type=int, help="calls on each line")
    parser.add_argument("--limit", type=float, required=True, metavar="SECONDS", help="no call begins later")
    chosen = parser.parse_args()
    plan = Plan(
        lines=chosen.lines,
        seed=chosen.seed,
        shortest_s=chosen.shortest,
        longest_s=chosen.longest,
        rounds=chosen.rounds,
    )
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    for law in (PCMU, PCMA):
        tracks(law)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    print("ready", flush=True)
    chosen.log.write_text(json.dumps(send(plan, chosen.interface, stopped, chosen.limit)))


if __name__ == "__main__":
    main()

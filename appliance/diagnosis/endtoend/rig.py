"""The rig of the end-to-end self-test, in a network and a folder of its own: `python -m ... FOLDER`, by `testcall`.

    scapycall ── rig1 ═ veth ═ rig0 ── CaptureDaemon ── journal ── AssembleDaemon ── recording, call record

The daemons are those that record customers' calls; ring, kernel filter, journal, fold and writer too. What comes out is
printed as one JSON object, an `Outcome`.
"""

import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from appliance.assembling.assembledaemon import AssembleDaemon, AssembleSettings
from appliance.assembly.settings import AssemblySettings
from appliance.capturing.capturedaemon import CaptureDaemon
from appliance.capturing.settings import CaptureSettings
from appliance.diagnosis.endtoend import knowncall
from capture.ring import RingSettings
from dsp import g711
from dsp.g711 import Law
from storage import partreader
from storage.archive import Archive
from storage.call_record import CallRecord
from storage.json_form import from_json
from storage.vocabulary import Source

PORT, PEER = "rig0", "rig1"
LIMIT_S = 60.0
SEND_LIMIT_S = 180.0
"""Scapy alone takes a minute to begin on an emulated machine that has other work."""
SETTLE_S = 1.5
"""A call lingers for half a second; then its end is in the journal."""
_RING = RingSettings(ring_bytes=4 << 20, block_bytes=1 << 18)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of the known call."""

    samples: int = 0
    """Samples that were compared, both sides."""
    wrong: int = 0
    """Of those, not what was said."""
    trouble: str = ""
    """Why there is nothing to compare, or what else is not as it should be; empty when all is well."""


def main() -> int:
    """Run the test in the folder that is named."""
    folder = Path(sys.argv[1])
    try:
        outcome = _run(folder)
    except Exception as error:  # whatever it is, it is the test's result
        outcome = Outcome(trouble=f"{type(error).__name__}: {error}")
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    return 0


def _run(folder: Path) -> Outcome:
    _do("mount --make-rprivate /")
    _do("mount -t sysfs sysfs /sys")
    _do(f"ip link add {PORT} type veth peer name {PEER}")
    with suppress(FileNotFoundError):  # the kernel has no IPv6
        Path(f"/proc/sys/net/ipv6/conf/{PEER}/disable_ipv6").write_text("1")
    _do(f"ip link set dev {PEER} arp off up")
    archive = Archive(folder / "archive")
    archive.root.mkdir()
    _capture(archive, folder)
    assembling = AssembleDaemon(AssembleSettings(archive=archive.root, assembly=AssemblySettings(source=Source.SPAN)))
    assembling.stop()  # to the journal's end, and no further
    assembling.run()
    return compare(archive)


def _do(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True, timeout=LIMIT_S)


def _capture(archive: Archive, folder: Path) -> None:
    """Capture while the call is sent."""
    daemon = CaptureDaemon(
        CaptureSettings(
            interfaces=(PORT,),
            journal=archive.journal,
            run=archive.run,
            volume=archive.root,
            sip_ports=frozenset({5060}),
            ring=_RING,
        )
    )
    reader, writer = socket.socketpair()
    with reader, writer:
        thread = threading.Thread(target=daemon.run, args=(reader,), daemon=True)
        thread.start()
        _wait_for_journal(archive, thread)
        _send(folder)
        time.sleep(SETTLE_S)
        daemon.stop()
        thread.join(LIMIT_S)


def _wait_for_journal(archive: Archive, thread: threading.Thread) -> None:
    """The journal begins when the ring is open."""
    until = time.monotonic() + LIMIT_S
    while not any(file.stat().st_size for file in archive.journal.glob("*") if file.is_file()):
        if time.monotonic() > until or not thread.is_alive():
            raise TimeoutError("capture did not begin")
        time.sleep(0.05)
    time.sleep(0.2)


def _send(folder: Path) -> None:
    said = []
    for side in (0, 1):
        said.append(folder / f"side{side}.ulaw")
        said[-1].write_bytes(knowncall.codes(side))
    program = Path(__file__).with_name("scapycall.py")
    command = [sys.executable, "-I", str(program), PEER, *map(str, said)]
    sent = subprocess.run(command, capture_output=True, text=True, timeout=SEND_LIMIT_S, check=False)
    if sent.returncode:
        last = (sent.stderr.strip().splitlines() or ["no word"])[-1]
        raise RuntimeError(f"the call could not be sent: {last}")


def compare(archive: Archive) -> Outcome:
    """Hold the one recording that is there against what was said."""
    parts = sorted(archive.recordings.rglob("*.zip"))
    records = [from_json(file.read_bytes(), CallRecord) for file in (archive.root / "calls").rglob("*.json")]
    if len(parts) != 1 or len(records) != 1:
        return Outcome(trouble=f"{len(parts)} recordings of {len(records)} calls, 1 of 1 expected")
    audio, record = partreader.read_samples(parts[0]), partreader.read_record(parts[0])
    wrong, heard = 0, []
    for side, channel in enumerate(record.channels):
        said = g711.decode(np.frombuffer(knowncall.codes(side), np.uint8), Law.PCMU)
        begin = channel.streams[0].first_sample if channel.streams else 0
        found = audio[begin : begin + len(said), side]
        silence = np.delete(audio[:, side], np.s_[begin : begin + len(said)])
        wrong += len(said) - len(found) + int((found != said[: len(found)]).sum()) + int(np.count_nonzero(silence))
        heard.append(found)
    trouble = ""
    if not wrong and knowncall.digest(*heard) != knowncall.SAMPLES_SHA256:
        trouble = "the samples are not those of ITU-T G.711"
    elif records[0].outcome != "recorded":
        trouble = f"the call is {records[0].outcome}: {', '.join(records[0].reasons)}"
    return Outcome(samples=2 * knowncall.CODES, wrong=wrong, trouble=trouble)


if __name__ == "__main__":
    sys.exit(main())

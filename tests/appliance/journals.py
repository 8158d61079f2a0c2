"""Journals of generated calls, as a capture leaves them, and the assembling of them by the daemon itself."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from appliance.assembling.assembledaemon import AssembleDaemon, AssembleSettings
from appliance.assembly.settings import AssemblySettings
from capture import journal, journalscan
from capture.events import EventKind
from capture.intake import Intake
from capture.journal import Event
from capture.journalfile import OFFSET_BITS, OFFSET_MASK
from capture.journalstore import JournalStore
from capture.records import GUARD_BYTES, LINK_ETHERNET, RecordBatch
from storage.vocabulary import Source
from tests.traffic.pcapwriter import Frame, Packet, frames_of

CYCLE_NS = 500_000_000
"""Capture time of a block."""
SETTINGS = AssemblySettings(source=Source.SPAN)


def one_port(_: Frame) -> int:
    """Everything is seen at the first mirror port."""
    return 0


def batch_of(frames: list[Frame], port_of: Callable[[Frame], int] = one_port) -> RecordBatch:
    """Frames as intake takes them, each seen at a mirror port."""
    sizes = np.array([len(frame.octets) for frame in frames])
    octets = b"".join(frame.octets for frame in frames)
    return RecordBatch(
        buffer=np.concatenate((np.frombuffer(octets, np.uint8), np.zeros(GUARD_BYTES, np.uint8))),
        start=np.cumsum(sizes) - sizes,
        captured=sizes,
        wire=sizes,
        ts_ns=np.array([frame.ts_ns for frame in frames]),
        interface=np.array([port_of(frame) for frame in frames], np.uint16),
        link_type=np.full(len(frames), LINK_ETHERNET, np.uint16),
    )


def write_journal(
    directory: Path,
    packets: Iterable[Packet],
    *,
    tail_s: float = 40,
    continued: int = 0,
    file_bytes: int = 256 << 20,
    digest: str | None = None,
    port_of: Callable[[Frame], int] = one_port,
    told: Sequence[Event] = (),
) -> list[int]:
    """Write what a capture of the packets would, and of a quiet line for `tail_s` after them.

    `continued`: its ring outlived another capture. `digest`: of the configuration in force. `told`: what capture says
    of its ports meanwhile, in order. Returns the addresses of the media blocks.
    """
    frames = sorted(frames_of(packets), key=lambda frame: frame.ts_ns)
    intake, addresses = Intake(frozenset({5060})), []
    with JournalStore(directory, file_bytes=file_bytes) as store:
        _tell(store, frames[0].ts_ns, EventKind.START, continued=continued)
        if digest is not None:
            _tell(store, frames[0].ts_ns, EventKind.CONFIGURATION, digest=digest)
        left = list(told)
        for cycle in _cycles(frames):
            while left and left[0].ts_ns < cycle[0].ts_ns:
                store.append(journal.serialize_events([left.pop(0)]))
            for window in intake.windows(batch_of(cycle, port_of)):
                if len(window.extents):
                    media = journal.serialize_media(window.first_ns, window.last_ns, window.extents, window.rows)
                    addresses.append(store.append(media))
                if window.signalling is not None:
                    store.append(journal.serialize_signalling(window.signalling))
            _tell(store, cycle[-1].ts_ns - CYCLE_NS // 2, EventKind.TICK)
        for ahead_ns in range(0, int(tail_s * 1e9), CYCLE_NS):
            _tell(store, frames[-1].ts_ns + ahead_ns, EventKind.TICK)
    return addresses


def damage(directory: Path, address: int, offset: int, size: int = 1) -> None:
    """Change bytes of the journal, `offset` from a block's beginning."""
    with journalscan.path_of(directory, address >> OFFSET_BITS).open("r+b") as file:
        file.seek((address & OFFSET_MASK) + offset)
        octets = file.read(size)
        file.seek((address & OFFSET_MASK) + offset)
        file.write(bytes(octet ^ 0xFF for octet in octets))


def assemble(archive: Path, settings: AssemblySettings = SETTINGS) -> None:
    """Run the daemon until it has read the whole journal."""
    archive.mkdir(exist_ok=True)
    daemon = AssembleDaemon(AssembleSettings(archive=archive, assembly=settings))
    daemon.stop()
    daemon.run()


def _cycles(frames: list[Frame]) -> Iterator[list[Frame]]:
    cycle: list[Frame] = []
    for frame in frames:
        if cycle and frame.ts_ns - cycle[0].ts_ns >= CYCLE_NS:
            yield cycle
            cycle = []
        cycle.append(frame)
    yield cycle


def _tell(store: JournalStore, ts_ns: int, kind: EventKind, **detail: int | str) -> None:
    store.append(journal.serialize_events([Event(ts_ns=ts_ns, kind=kind, detail=dict(detail))]))

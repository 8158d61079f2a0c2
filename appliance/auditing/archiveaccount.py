"""What an archive says of the capture it was imported from: our side of `rokubox audit`.

Read back from the written records, not from the importer's memory, so that the audit judges what a customer would see.
"""

from collections.abc import Iterable, Iterator

from appliance.auditing.audit import Account, StreamKey
from appliance.auditing.auditrules import StreamFigures
from storage import partreader
from storage.archive import Archive
from storage.call_record import CallRecord
from storage.errors import DamagedRecordError
from storage.part_record import StreamRecord


def read_account(archive: Archive, *, packets: int) -> Account:
    """Return the account of `archive`, which holds one import alone; `packets` is the number of frames read for it.

    Raises `DamagedRecordError` or `DamagedPartError` for what cannot be read, and `ArchiveError`.
    """
    calls = list(archive.calls(_refuse))
    signalled = [(call, call.sip.call_ids) for call in calls if call.sip is not None]
    return Account(
        packets=packets,
        sip_calls=frozenset(name for _, call_ids in signalled for name in call_ids),
        answered=frozenset(name for call, call_ids in signalled if call.answered_at is not None for name in call_ids),
        streams=_summed([*_recorded(archive, calls), *_unrecorded(calls)]),
    )


def _refuse(error: DamagedRecordError) -> None:
    raise error


def _summed(pieces: Iterable[tuple[StreamKey, StreamFigures]]) -> dict[StreamKey, StreamFigures]:
    streams: dict[StreamKey, StreamFigures] = {}
    for key, figures in pieces:
        streams[key] = streams[key] + figures if key in streams else figures
    return streams


def _recorded(archive: Archive, calls: Iterable[CallRecord]) -> Iterator[tuple[StreamKey, StreamFigures]]:
    for call in calls:
        for entry in call.parts:
            part = partreader.read_record(archive.part_path(entry.name))
            for channel in part.channels:
                yield from map(_figures, channel.streams)


def _figures(stream: StreamRecord) -> tuple[StreamKey, StreamFigures]:
    return StreamKey(int(stream.ssrc, 16), stream.source, stream.destination), StreamFigures(
        packets=stream.packets + stream.too_late,
        lost=stream.lost + stream.capture_lost,
        duplicates=stream.duplicates,
        reordered=stream.reordered,
        codec=stream.codec,
    )


def _unrecorded(calls: Iterable[CallRecord]) -> Iterator[tuple[StreamKey, StreamFigures]]:
    for call in calls:
        for stream in call.unrecorded:
            if stream.ssrc is not None:
                key = StreamKey(int(stream.ssrc, 16), stream.source, stream.destination)
                yield key, StreamFigures(packets=stream.packets, lost=None, codec=stream.codec)

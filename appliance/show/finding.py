"""A call in an archive by its id, the beginning of it, or the file of one of its parts; with the index or without."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ConfigurationError
from storage.archive import Archive, dated, read_record
from storage.call_record import CallRecord
from storage.errors import IndexDamagedError, IndexMissingError
from storage.index.reader import IndexReader
from storage.layout import ID_DIGITS, day_folder

LEAST_DIGITS = 6
_ID = re.compile(f"[0-9a-f]{{{LEAST_DIGITS},64}}")
_PART = re.compile(r"[0-9]{8}T[0-9]{6}[+-][0-9]{4}_.+_([0-9a-f]{10})_p([0-9]{2,9})\.(?:zip|wav|json)")
_SHOWN_IDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCall:
    """A call, and where its files are."""

    call_id: str
    """All of it, or its first digits when only parts tell of the call."""
    record: CallRecord | None
    """None when it has none: in progress."""
    parts: tuple[Path, ...]
    """Its parts that are there, in order."""
    legal_holds: tuple[str, ...]
    followers: tuple[tuple[str, str], ...]


def find(archive: Archive, wanted: str) -> FoundCall:
    """The call that `wanted` names.

    Raises:
        ConfigurationError: `wanted` names no call, or several.
        DamagedRecordError: its record cannot be read.
        StorageError: the archive or its index cannot be read.
    """
    named = _PART.fullmatch(Path(wanted).name)
    digits = named[1] if named else wanted.lower()
    if not _ID.fullmatch(digits):
        raise ConfigurationError(
            f"no call is named so: give the first {LEAST_DIGITS} or more hexadecimal digits of its id, or a part's file"
        )
    try:
        with IndexReader(archive.index) as index:
            return _by_index(archive, index, digits)
    except (IndexMissingError, IndexDamagedError):
        return _by_files(archive, digits)


def _by_index(archive: Archive, index: IndexReader, digits: str) -> FoundCall:
    hits = index.calls(digits, _SHOWN_IDS)
    if not hits:
        return _by_files(archive, digits)  # it may have come since
    hit = hits[0]
    _check_alone(digits, [each.call_id for each in hits])
    days = {f"{part.day}" for part in hit.parts}
    path = archive.records / day_folder(hit.started_at.isoformat()) / f"{hit.call_id}.json"
    return FoundCall(
        call_id=hit.call_id,
        record=read_record(path) if hit.outcome is not None else None,
        parts=_parts((archive.recordings / day_folder(day) for day in days), hit.call_id),
        legal_holds=hit.legal_holds,
        followers=index.followers(hit.call_id),
    )


def _by_files(archive: Archive, digits: str) -> FoundCall:
    """Without an index every day has to be looked at."""
    paths = [path for day in dated(archive.records) for path in day.glob(f"{digits}*.json")]
    parts = _parts(dated(archive.recordings), digits)
    found = {path.stem for path in paths} or {_id_of(part) for part in parts}
    if not found:
        raise ConfigurationError(f"{digits}: there is no such call in the archive")
    _check_alone(digits, sorted(found))
    (call_id,) = found
    return FoundCall(
        call_id=call_id,
        record=read_record(paths[0]) if paths else None,
        parts=tuple(part for part in parts if call_id.startswith(_id_of(part))),
        legal_holds=(),
        followers=(),
    )


def _check_alone(digits: str, ids: list[str]) -> None:
    if len(ids) > 1:
        shown = ", ".join(call_id[:16] for call_id in ids[:_SHOWN_IDS])
        raise ConfigurationError(f"{digits}: several calls begin so; give more digits: {shown}")


def _parts(folders: Iterator[Path], digits: str) -> tuple[Path, ...]:
    """The parts of a call, or of all whose id begins so, in order of their numbers."""
    prefix = digits[:ID_DIGITS]
    pattern = f"*_{prefix}{'*' if len(prefix) < ID_DIGITS else ''}_p*"
    found: list[tuple[int, Path]] = []
    for folder in folders:
        with suppress(FileNotFoundError):
            for path in folder.glob(pattern):
                named = _PART.fullmatch(path.name)
                if named and path.suffix != ".json":
                    found.append((int(named[2]), path))
    return tuple(path for _, path in sorted(found))


def _id_of(part: Path) -> str:
    named = _PART.fullmatch(part.name)
    assert named is not None  # that is how it was found
    return named[1]

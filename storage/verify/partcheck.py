"""One file of the archive against its ledger entry, every byte of it.

The bytes of audio and metadata are held against their hashes. What the ZIP adds to them is made again from them (see
`zipstore`) and must be the same; the file's name must be the one that follows from `call.json`.
"""

import hashlib
import re
import struct
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from isal import isal_zlib

from storage import zipstore
from storage.call_record import CallRecord
from storage.errors import DamagedRecordError
from storage.json_form import from_json
from storage.late_record import LateRecord
from storage.layout import ID_DIGITS, file_safe
from storage.ledger.entries import Call, Late, Part
from storage.part_record import PartRecord
from storage.partfile import AUDIO_NAME, METADATA_NAME
from storage.timestamps import NS_PER_S, instant_ns
from storage.vocabulary import SAMPLE_RATE_HZ, Form

Read = Callable[[BinaryIO, int], bytes]
"""Reads from a file; a scrub counts and slows down in it."""
CHUNK_BYTES = 1 << 20
MAX_METADATA_BYTES = 64 << 20
_SIZES = struct.Struct("<14xIII")
"""CRC-32, compressed and plain size in a local header (APPNOTE 6.3.10, section 4.3.7)."""
_START = re.compile(r"([0-9]{8}T[0-9]{6})([+-][0-9]{4})")
_ZONE_STEP_S = 3600


def part_problems(path: Path, entry: Part, read: Read, *, stem: str | None = None) -> Iterator[str]:
    """What is wrong with the part whose ZIP or WAV lies at `path`. Raises OSError.

    `stem`: its name in the archive, when it has another here.
    """
    stem = stem or path.stem
    if entry.form is Form.ZIP:
        with path.open("rb", buffering=0) as file:
            problems, call_json = _zip_problems(file, stem, entry, read)
        yield from problems
    else:
        with path.open("rb", buffering=0) as file:
            if _hash(file, read).hexdigest() != entry.wav_sha256:
                yield "the audio is not what was recorded"
        with path.with_suffix(".json").open("rb", buffering=0) as file:
            call_json = _content(file, read)
        if hashlib.sha256(call_json).hexdigest() != entry.call_json_sha256:
            yield "the metadata are not what was recorded"
    yield from _record_problems(call_json, stem, entry)


def record_problems(path: Path, entry: Call | Late, read: Read) -> Iterator[str]:
    """What is wrong with the record of a call or of late packets at `path`. Raises OSError."""
    with path.open("rb", buffering=0) as file:
        stored = _content(file, read)
    if hashlib.sha256(stored).hexdigest() != entry.record_sha256:
        yield "the record is not what was written"
        return
    try:
        fits = _is_of(from_json(stored, CallRecord), entry) if isinstance(entry, Call) else _is_late_of(stored, entry)
    except (DamagedRecordError, ValueError):
        yield "the record is none"
        return
    if not fits:
        yield "the ledger's line names another call, day or stream"


def _is_of(record: CallRecord, entry: Call) -> bool:
    return (record.call_id, record.started_at[:10]) == (entry.call_id, entry.day)


def _is_late_of(stored: bytes, entry: Late) -> bool:
    record = from_json(stored, LateRecord)
    said = (record.call_id, record.first_at[:10], record.ssrc, instant_ns(record.first_at))
    return said == (entry.call_id, entry.day, entry.ssrc, entry.first_ns)


def _zip_problems(file: BinaryIO, stem: str, entry: Part, read: Read) -> tuple[list[str], bytes]:
    """What is wrong with a ZIP, and its `call.json` as far as it can be found."""
    moment = _local_start(stem)
    audio = zipstore.Entry(name=AUDIO_NAME, crc32=0, size_bytes=0, offset_bytes=0, modified=moment)
    head = read(file, len(zipstore.local_header(audio)))
    if len(head) < len(zipstore.local_header(audio)):
        return ["the ZIP is cut short"], b""
    size = _SIZES.unpack_from(head)[2]
    wav, crc = _hash_and_crc(file, size, read)
    audio = zipstore.Entry(name=AUDIO_NAME, crc32=crc, size_bytes=size, offset_bytes=0, modified=moment)
    rest = _content(file, read)
    offset = len(head) + size
    described = zipstore.Entry(name=METADATA_NAME, crc32=0, size_bytes=0, offset_bytes=offset, modified=moment)
    header_bytes = len(zipstore.local_header(described))
    end_bytes = len(zipstore.central_directory((audio, described), 0))
    call_json = rest[header_bytes : max(len(rest) - end_bytes, header_bytes)]
    described = zipstore.Entry(
        name=METADATA_NAME,
        crc32=isal_zlib.crc32(call_json),
        size_bytes=len(call_json),
        offset_bytes=offset,
        modified=moment,
    )
    directory = zipstore.central_directory((audio, described), offset + header_bytes + len(call_json))
    problems = []
    if wav != entry.wav_sha256:
        problems.append("the audio is not what was recorded")
    if hashlib.sha256(call_json).hexdigest() != entry.call_json_sha256:
        problems.append("the metadata are not what was recorded")
    if head != zipstore.local_header(audio) or rest != zipstore.local_header(described) + call_json + directory:
        problems.append("the ZIP around audio and metadata was changed")
    return problems, call_json


def _record_problems(call_json: bytes, stem: str, entry: Part) -> Iterator[str]:
    """Whether ledger line, metadata and file name speak of the same part."""
    try:
        record = from_json(call_json, PartRecord)
    except DamagedRecordError:
        yield "the metadata are no record of a part"
        return
    said = (record.call_id, record.part, record.form, record.wav_sha256)
    if said != (entry.call_id, entry.part, entry.form, entry.wav_sha256):
        yield "the ledger's line names another call, part, form or WAV than the metadata"
    if stem != expected_stem(record, stem):
        yield "the file's name is not the one that follows from the metadata"


def expected_stem(record: PartRecord, stem: str) -> str:
    """The name that the part must have; of `stem` only the offset from UTC is believed, within a step of the clocks."""
    caller = "" if record.privacy else record.caller.number
    numbers = (caller or next(iter(record.asserted), ""), record.callee.number or record.dialled)
    start_s = (instant_ns(record.origin_at) + record.first_sample * NS_PER_S // SAMPLE_RATE_HZ) // NS_PER_S
    named = _START.match(stem)
    offset = f"{record.origin_at[29:32]}{record.origin_at[33:]}"
    moment = datetime.fromtimestamp(start_s, datetime.strptime(offset, "%z").tzinfo)
    if named:
        other = datetime.fromtimestamp(start_s, datetime.strptime(named[2], "%z").tzinfo)
        step_s = abs(((other.utcoffset() or other - other) - (moment.utcoffset() or moment - moment)).total_seconds())
        moment = other if step_s <= _ZONE_STEP_S else moment
    start = moment.strftime("%Y%m%dT%H%M%S%z")
    caller, callee = (file_safe(number) for number in numbers)
    return f"{start}_{record.direction}_{caller}_{callee}_{record.call_id[:ID_DIGITS]}_p{record.part:02d}"


def _local_start(stem: str) -> datetime:
    named = _START.match(stem)
    try:
        return datetime.strptime(named[1], "%Y%m%dT%H%M%S") if named else datetime(1980, 1, 1)
    except ValueError:
        return datetime(1980, 1, 1)


def _hash_and_crc(file: BinaryIO, size_bytes: int, read: Read) -> tuple[str, int]:
    digest, crc = hashlib.sha256(), 0
    while size_bytes > 0 and (chunk := read(file, min(CHUNK_BYTES, size_bytes))):
        digest.update(chunk)
        crc = isal_zlib.crc32(chunk, crc)
        size_bytes -= len(chunk)
    return digest.hexdigest(), crc


def _hash(file: BinaryIO, read: Read) -> "hashlib._Hash":
    digest = hashlib.sha256()
    while chunk := read(file, CHUNK_BYTES):
        digest.update(chunk)
    return digest


def _content(file: BinaryIO, read: Read) -> bytes:
    """The rest of a file; of one that is too long for metadata, enough to see that it is none."""
    content = bytearray()
    while len(content) <= MAX_METADATA_BYTES and (chunk := read(file, CHUNK_BYTES)):
        content += chunk
    return bytes(content)
